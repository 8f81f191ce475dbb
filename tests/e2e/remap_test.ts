import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { runTraffic, type TrafficReport } from "../support/traffic_cli.ts";
import { fatesOf, passedFor, receivedByWorker, ruleOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import { SteadyTraffic } from "./support/background.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { ConfigMap } from "./support/config_map.ts";
import { refusedFrames } from "./support/link.ts";
import { wentBack } from "../support/metrics.ts";
import { KernelServer } from "./support/python.ts";
import { until } from "./support/wait.ts";
import { SIZE } from "../support/sizes.ts";

const TRAFFIC = { ports: [8080, 9090], flows: 200, cpus: [0, 1] };
/** Packets between two looks at the counters. */
const PACKETS = 50_000;

/** Three workers, of which the third is never named. */
const steering = (game: number, chat: number): TestConfig => ({
  workers: 3,
  rules: [`{ name: game, ports: 8080, worker: ${game} }`, `{ name: chat, ports: 9090, worker: ${chat} }`],
});
const BEFORE = steering(0, 1);
const AFTER = steering(1, 0);

/** Everything that was sent reached a worker and was counted once, under its own rule. */
function assertNothingLost(status: Status, { sent, sentPerPort }: TrafficReport): void {
  assert.equal(status.totals.verdicts.redirect, sent, "redirected = sent");
  assert.equal(status.totals.received, sent, "received = sent");
  assert.deepEqual(fatesOf(status, "game"), { counted: sentPerPort["8080"] });
  assert.deepEqual(fatesOf(status, "chat"), { counted: sentPerPort["9090"] });
  for (const rule of ["game", "chat"]) {
    assert.equal(receivedByWorker(status, rule)[2], 0, `no packet of "${rule}" goes to a worker that nothing names`);
  }
}

/** From `earlier` to `later` a rule's packets went to one worker only. */
function assertOnly(worker: number, rule: string, earlier: Status, later: Status): void {
  const before = receivedByWorker(earlier, rule);
  const after = receivedByWorker(later, rule);
  for (const [id, packets] of after.entries()) {
    if (id === worker) assert.ok(packets > before[id]!, `worker ${id} gets packets of "${rule}" now`);
    else assert.equal(packets, before[id], `worker ${id} gets no packets of "${rule}" any more`);
  }
}

const CHANGES: Readonly<Record<string, (box: Appliance) => Promise<void>>> = {
  "a save in place": (box) => box.saveInPlace(AFTER),
  "a rename": (box) => box.writeConfig(AFTER),
  "SIGHUP": async (box) => {
    await box.writeConfig(AFTER);
    box.signal("SIGHUP");
  },
  "POST /v1/reload": async (box) => {
    await box.writeConfig(AFTER);
    const { code, body } = await box.request("POST", "/v1/reload");
    assert.equal(code, 200, body);
  },
  "PUT /v1/config": async (box) => {
    const { code, body } = await box.put(AFTER);
    assert.equal(code, 200, body);
    const { generation, changes } = JSON.parse(body);
    assert.equal(generation, 2);
    assert.deepEqual(changes, ["~ game: worker 0 -> 1", "~ chat: worker 1 -> 0"]);
  },
};

for (const [way, change] of Object.entries(CHANGES)) {
  Deno.test(`two ports swap workers by ${way} under load: no packet is lost or goes astray`, async () => {
    await using network = await TestNetwork.create();
    await using box = await startAppliance(network, BEFORE);
    await swapUnderLoad(network, box, change);
  });
}

Deno.test("two ports swap workers by a ConfigMap's symlink swap under load: no packet is lost or goes astray", async () => {
  await using network = await TestNetwork.create();
  await using map = await ConfigMap.create("steering.yaml", (socket) => configText(BEFORE, socket));
  await using box = await startAppliance(network, BEFORE, { directory: map.path, configFile: "steering.yaml" });
  await swapUnderLoad(network, box, () => map.update(configText(AFTER, box.socket)));
});

async function swapUnderLoad(
  network: TestNetwork,
  box: Appliance,
  change: (box: Appliance) => Promise<void>,
): Promise<void> {
  await using traffic = await SteadyTraffic.start(network, box, TRAFFIC);
  await traffic.more(PACKETS);
  await change(box);
  await box.waitForGeneration(2);
  const earlier = await traffic.drained();
  await traffic.more(PACKETS);
  const later = await box.status();
  assertOnly(1, "game", earlier, later);
  assertOnly(0, "chat", earlier, later);

  const report = await traffic.stop();
  const status = await settled(box);
  assertNothingLost(status, report);
  assert.equal(status.generation, 2);
  // Whoever watches the file may have been faster; what was asked for then finds nothing to change.
  const { unchanged, ...reloads } = status.reloads;
  assert.deepEqual(reloads, { applied: 1, refused: 0 });
  assert.ok(unchanged <= 1);
}

const SWAPS = SIZE.swaps;

Deno.test(`${SWAPS} swaps in a row under load lose no packet`, async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, BEFORE);
  await using traffic = await SteadyTraffic.start(network, box, TRAFFIC);
  for (let swap = 1; swap <= SWAPS; swap++) {
    const { code, body } = await box.put(swap % 2 === 1 ? AFTER : BEFORE);
    assert.equal(code, 200, body);
    assert.equal(JSON.parse(body).generation, swap + 1);
  }
  const report = await traffic.stop();
  const status = await settled(box);
  assert.equal(status.generation, SWAPS + 1);
  assertNothingLost(status, report);
  const metrics = await box.metrics();
  assert.equal(metrics.get("xdpsteer_config_generation"), SWAPS + 1);
  assert.equal(metrics.get('xdpsteer_config_reloads_total{result="applied"}'), SWAPS);
});

Deno.test("rules come and go under load: every packet is steered or passed, and workers know each port they get", async () => {
  await using network = await TestNetwork.create();
  const added = [7001, 7002, 7003, 7004, 7005, 7006];
  const rules = [
    ...BEFORE.rules,
    ...added.map((port) => `{ name: added-${port}, ports: ${port}, worker: ${port % 2} }`),
  ];
  const first = (count: number): TestConfig => ({ workers: 3, rules: rules.slice(0, count) });
  await using box = await startAppliance(network, BEFORE);
  await using traffic = await SteadyTraffic.start(network, box, { ...TRAFFIC, ports: [8080, 9090, ...added] });
  // One rule more each time, then one less, and the same once more with rules that were there before.
  for (const count of [3, 4, 5, 6, 7, 8, 7, 6, 5, 4, 3, 2, 3, 4, 5, 6, 7, 8, 2]) {
    const { code, body } = await box.put(first(count));
    assert.equal(code, 200, body);
    const { totals: { seen } } = await box.status();
    await box.untilStatus("packets to all ports", ({ totals }) => totals.seen > seen + 2 * (added.length + 2));
  }
  const { sent } = await traffic.stop();
  const status = await settled(box);
  const passed = passedFor(status, "unlisted_port");
  assert.equal(status.totals.verdicts.redirect + passed + await refusedFrames(network), sent);
  assert.equal(status.totals.fates["counted"], status.totals.verdicts.redirect, "no other fate, no socket drop");
  assert.equal(status.generation, 20);
  for (const port of added) {
    const byWorker = receivedByWorker(status, `added-${port}`);
    assert.ok(byWorker[port % 2]! > 0, `port ${port} was steered for a while`);
    assert.equal(byWorker[1 - port % 2]! + byWorker[2]!, 0, `port ${port} went to its own worker only`);
  }
});

Deno.test("a removed port passes to the kernel stack, an added one is steered, and no counter goes back", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, BEFORE);
  await using server = await KernelServer.start(network, "udp", 8080);
  const send = (): Promise<TrafficReport> =>
    runTraffic(network, "udp", { ports: [8080, 9090], flows: 10, packetsPerFlow: 200 }); // 1,000 to each port
  const removed: TestConfig = { workers: 3, rules: BEFORE.rules.slice(1) };

  await send();
  const steered = await settled(box);
  assert.deepEqual(receivedByWorker(steered, "game"), [1000, 0, 0]);
  assert.deepEqual(server.datagrams, []);
  const countersBefore = await box.metrics();

  assert.equal((await box.put(removed)).code, 200);
  await send();
  await until("1,000 datagrams at the kernel's socket", () => server.datagrams.length >= 1000);
  const passed = await settled(box);
  assert.equal(server.datagrams.length, 1000);
  assert.equal(passed.interfaces[0]!.verdicts.pass["unlisted_port"], 1000);
  assert.equal(ruleOf(passed, "game").inForce, false);
  assert.deepEqual(receivedByWorker(passed, "game"), [1000, 0, 0], "a rule that is gone keeps its counts");
  assert.deepEqual(receivedByWorker(passed, "chat"), [0, 2000, 0]);
  const countersRemoved = await box.metrics();

  assert.equal((await box.put(BEFORE)).code, 200);
  await send();
  const again = await settled(box);
  assert.deepEqual(receivedByWorker(again, "game"), [2000, 0, 0], "a rule that is back goes on counting");
  assert.equal(server.datagrams.length, 1000);
  const countersAgain = await box.metrics();
  assert.deepEqual(wentBack(countersBefore, countersRemoved), []);
  assert.deepEqual(wentBack(countersRemoved, countersAgain), []);
});
