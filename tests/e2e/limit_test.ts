/** How much a rule takes, and who is banned: on a running appliance, over veth. */
import assert from "node:assert/strict";
import type { BanStatus } from "../../src/guard/bans.ts";
import { TestNetwork } from "../support/netns.ts";
import { sumOf } from "../support/metrics.ts";
import { assertSameCounts, fatesOf, ruleOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { finish, type Finished, productCommand, TempDir } from "./support/command.ts";
import { addSources, sendFrom } from "./support/senders.ts";
import { until } from "./support/wait.ts";

const SOURCES = ["10.11.0.50", "10.11.0.51"] as const;

Deno.test("a rule takes what its limit says of each source, and every packet that is dropped is counted", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  await addSources(network, SOURCES);
  const rules = [
    "{ name: each, ports: 53, action: count, limit: { per_source: { packets: 1/s, burst: 50 } } }",
    "{ name: all, ports: 54, action: count, limit: { total: { packets: 1/s, burst: 60 } } }",
    "{ name: seen, ports: 55, action: count, limit: { per_source: { packets: 1/s, burst: 10 }, mode: observe } }",
  ];
  const startMs = performance.now();
  await using box = await startAppliance(network, { rules });
  for (const port of [53, 54, 55]) {
    await sendFrom(network, SOURCES[0], port, 500);
    await sendFrom(network, SOURCES[1], port, 40);
  }
  const status = await settled(box, 3 * 540);
  const seconds = Math.ceil((performance.now() - startMs) / 1000);
  const countsOf = (name: string): Guarded => ({
    counted: fatesOf(status, name).counted ?? 0,
    ...ruleOf(status, name).guarded,
  });
  const [each, all, seen] = [countsOf("each"), countsOf("all"), countsOf("seen")];
  assert.equal(each.counted + each.limited, 540);
  assert.ok(each.counted >= 50 + 40 && each.counted <= 50 + 40 + seconds, `${each.counted} in ${seconds} s`);
  assert.equal(all.counted + all.limited, 540);
  assert.equal(all.overTotal, all.limited);
  assert.ok(all.counted >= 60 && all.counted <= 60 + seconds, `${all.counted} in ${seconds} s`);
  assert.equal(seen.counted, 540);
  assert.ok(seen.limited === 0 && seen.observed >= 540 - 20 - seconds && seen.observed <= 520, `${seen.observed}`);
  const metrics = await box.metrics();
  assertSameCounts(status, metrics);
  const limited = each.limited + all.limited;
  assert.equal(sumOf(metrics, "xdpsteer_xdp_packets_total", { verdict: "drop", reason: "limited" }), limited);
  const observed = { rule: "seen", reason: "limited", mode: "observe" };
  assert.equal(sumOf(metrics, "xdpsteer_rule_guarded_packets_total", observed), seen.observed);
});

interface Guarded {
  readonly counted: number;
  readonly limited: number;
  readonly observed: number;
  readonly overTotal: number;
}

function ban(network: TestNetwork, box: Appliance, ...words: string[]): Promise<Finished> {
  return finish(network, [...productCommand(), "ban", ...words, "--socket", box.socket]);
}

async function bansOf(network: TestNetwork, box: Appliance): Promise<readonly BanStatus[]> {
  const { code, stdout, stderr } = await ban(network, box, "list", "--json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout).bans;
}

Deno.test("bans hold at once, through a reload and a restart, and no longer than they are to", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  await addSources(network, SOURCES);
  await using directory = await TempDir.create();
  await Deno.mkdir(`${directory.path}/state`, { mode: 0o700 });
  const rules = ["{ name: one, ports: 53, action: count }", "{ name: two, ports: 54, action: count }"];
  {
    await using box = await startAppliance(network, { rules }, { directory: directory.path });
    const added = await ban(network, box, "add", SOURCES[0], "--rule", "two", "--reason", "floods", "--for", "1h");
    assert.match(added.stdout, /^10\.11\.0\.50 is banned from rule two until \d{4}-/, added.stderr);
    assert.equal((await ban(network, box, "add", "10.11.0.51/32")).code, 0);
    for (const source of SOURCES) for (const port of [53, 54]) await sendFrom(network, source, port, 20);
    let status = await settled(box, 80);
    assert.deepEqual(["one", "two"].map((name) => ruleOf(status, name).guarded.banned), [20, 40]);
    assert.deepEqual(["one", "two"].map((name) => fatesOf(status, name).counted ?? 0), [20, 0]);
    assert.deepEqual((await bansOf(network, box)).map(({ prefix, rule, packets, by }) => [prefix, rule, packets, by]), [
      ["10.11.0.50", "two", 20, "root"],
      ["10.11.0.51", null, 40, "root"],
    ]);
    assert.equal(sumOf(await box.metrics(), "xdpsteer_bans", { origin: "operator" }), 2);
    await box.put({ rules: ["{ name: two, ports: 54, action: count }", "{ name: three, ports: 56, action: count }"] });
    for (const port of [54, 56]) await sendFrom(network, SOURCES[0], port, 20);
    await sendFrom(network, SOURCES[1], 56, 20);
    status = await settled(box, 140);
    assert.deepEqual(["two", "three"].map((name) => ruleOf(status, name).guarded.banned), [60, 20]);
    await ban(network, box, "add", "192.0.2.0/24", "--for", "1s");
    await until("the end of a ban", async () => (await bansOf(network, box)).length === 2);
    const wide = await ban(network, box, "add", "0.0.0.0/0");
    assert.deepEqual([wide.code, wide.stderr.includes("is wider than /8")], [1, true], wide.stderr);
    const wrong = await ban(network, box, "remove", "192.0.2.77");
    assert.deepEqual([wrong.code, wrong.stderr.includes("192.0.2.77 is not banned")], [1, true], wrong.stderr);
    // What has been answered is on the disk, whatever becomes of the process.
    await ban(network, box, "add", "192.0.2.9");
    const names = [...Deno.readDirSync(`${directory.path}/state`)].map(({ name }) => name);
    const file = names.find((name) => name.startsWith("bans."));
    assert.match(await Deno.readTextFile(`${directory.path}/state/${file}`), /"192\.0\.2\.9"/);
    await ban(network, box, "remove", "192.0.2.9");
  }
  await using box = await startAppliance(network, { rules }, { directory: directory.path });
  assert.deepEqual((await bansOf(network, box)).map(({ prefix, rule, reason }) => [prefix, rule, reason]), [
    ["10.11.0.50", "two", "floods"],
    ["10.11.0.51", null, null],
  ]);
  assert.equal((await ban(network, box, "remove", SOURCES[1])).code, 0);
  for (const source of SOURCES) for (const port of [53, 54]) await sendFrom(network, source, port, 20);
  const status = await settled(box, 80);
  assert.deepEqual(["one", "two"].map((name) => ruleOf(status, name).guarded.banned), [0, 20]);
});

Deno.test("a source that sends more than its limit is banned where the rule says so", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  await addSources(network, SOURCES);
  const limit = "limit: { per_source: { packets: 1/s, burst: 30 }, ban: 10m }";
  await using box = await startAppliance(network, { rules: [`{ name: game, ports: 53, action: count, ${limit} }`] });
  await sendFrom(network, SOURCES[1], 53, 30);
  await sendFrom(network, SOURCES[0], 53, 300);
  await until("a ban", async () => (await bansOf(network, box)).length > 0);
  const [first, ...others] = await bansOf(network, box);
  assert.deepEqual([first!.prefix, first!.rule, first!.by, first!.origin, others], [
    ...[SOURCES[0], "game", "limit of rule game", "limit"],
    [],
  ]);
  const before = ruleOf(await settled(box, 330), "game").guarded;
  await sendFrom(network, SOURCES[0], 53, 100);
  assert.equal(ruleOf(await settled(box, 430), "game").guarded.banned, before.banned + 100);
});
