/**
 * A saved file, or a request, with what the running process cannot change itself: another process takes over with it
 * under traffic, no packet is lost, and every packet has its account in one of the two.
 */
import assert from "node:assert/strict";
import type { Difference } from "../../src/appliance/difference.ts";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { assertConserved, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { configText, ROOMY, type TestConfig } from "./support/config.ts";
import { putInForce, saved } from "./support/live_change.ts";
import { finish, productCommand } from "./support/command.ts";
import { until } from "./support/wait.ts";
import { MIXED_NAMES, MIXED_PORTS, MIXED_RULES, mixedFates } from "./support/mixed_rules.ts";

/** So few that an rx ring holds what comes while a slow machine has no CPU for a worker. */
const RATE_PPS = 3000;
const CONFIG = { rules: MIXED_RULES, workers: 2 } satisfies TestConfig;

/** One after the other, each a change of the one before. */
const CHANGES: readonly (readonly [what: string, config: TestConfig])[] = [
  ["log and captures", { ...CONFIG, log: "debug" }],
  ["how workers wait", { ...CONFIG, wait: "poll" }],
  ["how workers wait, and a rule", { ...CONFIG, rules: [...MIXED_RULES, "{ name: more, ports: 6000 }"] }],
  ["more workers", { ...CONFIG, workers: 4 }],
  ["smaller rings", { ...CONFIG, workers: 4, memory: ROOMY.replaceAll("rx: 32768", "rx: 16384") }],
  ["larger rings", { ...CONFIG, workers: 4 }],
  ["fewer workers", CONFIG],
];

Deno.test("a saved file is put in force by another process under load: no packet is lost, and counters go on", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  await using traffic = await BackgroundTraffic.udp(network, box, { ports: MIXED_PORTS, flows: 40, ratePps: RATE_PPS });
  let seen = 0;
  for (const [what, config] of CHANGES) {
    await saved(box, config);
    const { totals } = await box.status();
    assert.ok(totals.seen >= seen, `a counter went back: ${what}`);
    seen = totals.seen;
  }
  const { sent } = await traffic.stop();
  const status = await settled(box, sent);
  assertConserved(status);
  assert.equal(mixedFates(status), sent, JSON.stringify([status.rules, status.totals, status.interfaces]));
  assert.equal(status.totals.socketDrops, 0);
  assert.equal(status.generation, 3, "two of the changes were of rules");
  const metrics = await box.metrics();
  assert.equal(metrics.get('xdpsteer_handovers_total{result="done"}'), CHANGES.length);
  assert.equal(metrics.get('xdpsteer_config_reloads_total{result="applied"}'), CHANGES.length);
});

Deno.test("a request with what a process cannot change is put in force too, and the file stays what it is", async () => {
  await using network = await TestNetwork.create();
  const config = { ...CONFIG, http: "127.0.0.1:9470" };
  await using box = await startAppliance(network, config);
  const mine = await box.put(configText({ ...config, http: "127.0.0.1:9471" }, box.socket));
  assert.equal(mine.code, 422, "what bounds requests is changed by none");
  assert.match(mine.body, /control\.http cannot be changed by a request; nothing was applied/);
  const text = configText({ ...config, log: "debug", rules: MIXED_RULES.slice(0, 2) }, box.socket);

  const diff = JSON.parse((await box.request("POST", "/v1/diff", text)).body) as Difference;
  assert.deepEqual(diff.handover, ["log.level: info -> debug"]);
  assert.deepEqual([diff.live.length, diff.restart.length], [1, 0]);
  const dry = JSON.parse((await box.request("PUT", "/v1/config?dry_run", text)).body);
  assert.deepEqual([dry.handover, dry.changes.length], ["needed", 2]);
  const unsure = await box.request("PUT", "/v1/config?confirm=60", text);
  assert.equal(unsure.code, 422);
  assert.match(unsure.body, /cannot be taken back by itself/);

  const { pid } = box;
  const { handover, generation } = await putInForce(box, text);
  assert.notEqual(handover.pid, pid);
  assert.equal(generation, 2);
  assert.equal(await network.exec("steer", ["curl", "-fsS", "http://127.0.0.1:9470/livez"]), "ok");
  const status = await box.status();
  assert.equal(status.generation, 2);
  await until("the file to have other rules", () => box.problem("config_unsaved"));
  const argv = [...productCommand(), "reload", "--socket", box.socket];
  const { code, stdout, stderr } = await finish(network, argv);
  assert.equal(code, 0, `${stderr}\n${box.stderr}`);
  assert.match(stdout, /log\.level.*\n[^]*has taken over from process/);
  box.followTo((await box.status()).pid);
  assert.deepEqual((await box.status()).rules.map(({ name }) => name).slice(0, 3), MIXED_NAMES);
});

Deno.test("what no process can take over is refused as a whole, and so is what the new one does not get on with", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG, {
    env: { XDPSTEER_TEST_HANDOVER: "taken fail", XDPSTEER_UNCONFINED: "1" },
  });
  const { pid } = box;
  const other = await box.put(configText({ ...CONFIG, attach: "generic", log: "debug" }, box.socket));
  assert.equal(other.code, 422);
  assert.match(other.body, /interfaces\.steer0\.attach cannot change while xdpsteer runs; nothing was applied/);
  assert.match(other.body, /systemctl restart xdpsteer/);

  await box.writeConfig({ ...CONFIG, log: "debug" });
  await box.untilStatus("the handover to be rolled back", ({ reloads }) => reloads.refused === 2);
  const status = await box.status();
  assert.deepEqual([status.pid, status.generation, status.handovers.rolledBack], [pid, 1, 1]);
  assert.match(status.lastReload!.message, /did not take over: It was told to fail at step "taken"/);
  await until("the problem", () => box.problem("config_refused"));
  const argv = [...productCommand(), "reload", "--socket", box.socket];
  const { code, stderr } = await finish(network, argv);
  assert.equal(code, 3, `whoever asks has it tried again: ${stderr}`);
  assert.match(stderr, /did not take over/);
  assert.equal((await box.status()).handovers.rolledBack, 2);
});

Deno.test("an interface is added under load, comes first, and the other one is all there is again: nothing is lost", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const name = "more0";
  await network.exec("steer", ["ip", "link", "add", name, "type", "veth", "peer", "name", "more1"]);
  for (const each of [name, "more1"]) await network.exec("steer", ["ip", "link", "set", each, "up"]);
  await using traffic = await BackgroundTraffic.udp(network, box, { ports: MIXED_PORTS, flows: 40, ratePps: RATE_PPS });
  const both = { ...CONFIG, others: [`{ name: ${name}, attach: native, ${ROOMY} }`] };
  await saved(box, both);
  assert.deepEqual((await box.status()).interfaces.map((each) => `${each.name} ${each.state}`), [
    "steer0 attached",
    `${name} attached`,
  ]);
  await saved(box, { ...both, interface: name, others: [`{ name: steer0, attach: native, ${ROOMY} }`] });
  const { totals: { seen } } = await box.status();
  await saved(box, CONFIG);
  assert.deepEqual((await box.status()).interfaces.map(({ name }) => name), [INTERFACES.steer]);
  assert.ok((await box.status()).totals.seen >= seen, "a counter went back");
  const { sent } = await traffic.stop();
  const status = await settled(box, sent);
  assertConserved(status);
  assert.equal(mixedFates(status), sent, JSON.stringify(status.totals));
});

Deno.test("an interface that is not there, or cannot be steered, is told, and nothing changes", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const { pid } = box;
  for (const [name, says] of [["none0", /interface "none0"/], ["lo", /"lo"/]] as const) {
    const other = { ...CONFIG, others: [`{ name: ${name}, attach: native, ${ROOMY} }`] };
    const { code, body } = await box.put(other);
    assert.equal(code, 422, body);
    assert.match(JSON.parse(body).error, says);
  }
  const { handovers, interfaces } = await box.status();
  assert.deepEqual([(await box.status()).pid, interfaces.length, handovers.done], [pid, 1, 0]);
});
