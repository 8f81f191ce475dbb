import assert from "node:assert/strict";
import { INTERFACES, IPV4, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { type MetricName, METRICS } from "../../src/observe/metric_families.ts";
import { assertSameCounts, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { TempDir } from "./support/command.ts";
import type { TestConfig } from "./support/config.ts";
import { parseMetrics, parseSample, sumOf, wentBack } from "../support/metrics.ts";
import { assertCleanMetrics } from "./support/promtool.ts";
import { freezeWorker } from "./support/freeze.ts";
import { until } from "./support/wait.ts";

/** The six counters of XDP_STATISTICS, as linux/if_xdp.h has them. */
const XDP_STATISTICS = [
  "rx_dropped",
  "rx_fill_ring_empty_descs",
  "rx_invalid_descs",
  "rx_ring_full",
  "tx_invalid_descs",
  "tx_ring_empty_descs",
];
const RULES = [
  "{ name: game, ports: 7777, worker: 0, action: echo }",
  "{ name: telemetry, ports: 9090, worker: 1 }",
  "{ name: scanners, ports: 19, action: drop }",
  "{ name: local, ports: 5300, action: { deliver: { port: 5353 } } }",
  `{ name: guarded, ports: 5400, sources: { deny: ["${IPV4.client}"] } }`,
  "{ name: limited, ports: 5401, limit: { total: { packets: 10/s } } }",
];
const PORTS = [7777, 9090, 19, 5300, 5400, 5401];

async function scrape(box: Appliance): Promise<string> {
  const { code, body } = await box.request("GET", "/metrics");
  assert.equal(code, 200, body);
  return body;
}

/** What a scrape has of each family, held against the table that docs/metrics.md is made from. */
function assertAsDocumented(text: string): Set<string> {
  const present = new Set<string>();
  for (const key of parseMetrics(text).keys()) {
    const { name, labels } = parseSample(key);
    assert.ok(name in METRICS, `${name} is not in the table`);
    assert.deepEqual(Object.keys(labels), METRICS[name as MetricName].labels, key);
    assert.ok(!present.has(key), `${key} is there twice`);
    present.add(key).add(name);
  }
  return present;
}

Deno.test("promtool has nothing to say of /metrics: without rules, with rules and traffic, after remaps", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: [] });
  const empty = await scrape(box);
  await assertCleanMetrics(empty, "without rules");
  assertAsDocumented(empty);

  const captured = `{ name: captured, ports: 4000, capture: ${directory.path}/all.pcapng }`;
  const forwarded = `{ name: forwarded, ports: 53, action: { forward: { to: ["${IPV4.client}:53"] } } }`;
  const named = "{ name: named, ports: 54, action: { forward: { to: [game.example.test:53] } } }";
  const lists = "lists: [{ name: office, entries: [192.0.2.0/24] }]";
  const { code, body } = await box.put({ rules: [...RULES, captured, forwarded, named], sections: [lists] });
  assert.equal(code, 200, body);
  await runTraffic(network, "udp", { ports: PORTS, flows: 20, packetsPerFlow: 300 });
  await settled(box);
  const before = await scrape(box);
  await assertCleanMetrics(before, "with rules and traffic");
  const present = assertAsDocumented(before);
  for (const name of Object.keys(METRICS)) assert.ok(present.has(name), `${name} has no sample`);

  // A rule that is gone for two generations gives its slot and its counts up.
  for (let round = 0; round < 4; round++) await box.put({ rules: [`{ name: other${round}, ports: 7777 }`] });
  await runTraffic(network, "udp", { ports: PORTS, flows: 20, packetsPerFlow: 300 });
  const status = await settled(box);
  const after = await scrape(box);
  await assertCleanMetrics(after, "after remaps");
  assertAsDocumented(after);
  assertSameCounts(status, parseMetrics(after));
  assert.equal(parseMetrics(after).get("xdpsteer_config_generation"), status.generation);
  const sum = (text: string): number => sumOf(parseMetrics(text), "xdpsteer_rule_packets_total");
  // What each rule had may have moved to "(retired)", so that only the sums can be compared.
  assert.deepEqual(wentBack(withoutRules(before), withoutRules(after)), []);
  assert.ok(sum(after) > sum(before), "the sum over all rules grew");
});

/** A backend that no rule names and no session has is gone, and its counts with it. */
function withoutRules(text: string): Map<string, number> {
  return new Map(
    [...parseMetrics(text)].filter(([key]) => {
      const { rule, backend } = parseSample(key).labels;
      return rule === undefined && backend === undefined;
    }),
  );
}

const SMALL = { rx: 64, tx: 128, fill: 256, completion: 512 } as const;

Deno.test("all six XDP_STATISTICS, exact after a worker was held up, and rings with their sizes", async () => {
  await using network = await TestNetwork.create();
  const memory =
    `umem: { chunks: 256 }, rings: { rx: ${SMALL.rx}, tx: ${SMALL.tx}, fill: ${SMALL.fill}, completion: ${SMALL.completion} }`;
  await using box = await startAppliance(network, { rules: RULES, memory });
  const at = { interface: INTERFACES.steer };
  const quiet = await box.metrics();
  for (const queue of [0, 1]) {
    for (const ring of ["rx", "tx", "fill", "completion"] as const) {
      const sockets = ring === "rx" || ring === "tx" ? 2 : 1;
      assert.equal(sumOf(quiet, "xdpsteer_ring_size", { ...at, queue, ring }), SMALL[ring] * sockets, ring);
    }
    for (const ring of ["rx", "tx", "completion"]) {
      assert.equal(sumOf(quiet, "xdpsteer_ring_fill", { ...at, queue, ring }), 0);
    }
    assert.equal(
      sumOf(quiet, "xdpsteer_ring_fill", { ...at, queue, ring: "fill" }),
      SMALL.fill,
      "all chunks are offered",
    );
  }

  {
    await using _frozen = await freezeWorker(box, 1); // nobody takes packets from its rings: they overflow
    await runTraffic(network, "udp", { ports: [9090], flows: 50, packetsPerFlow: 40 });
  }
  const status = await settled(box);
  const metrics = await box.metrics();
  const drops = [...metrics].map(([key, value]) => ({ ...parseSample(key), value }))
    .filter(({ name }) => name === "xdpsteer_xsk_drops_total");
  assert.deepEqual([...new Set(drops.map(({ labels }) => labels.reason))].sort(), XDP_STATISTICS);
  const lost = drops.filter(({ labels }) => /^rx_(dropped|ring_full)$/.test(labels.reason!));
  const sum = lost.reduce((total, { value }) => total + value, 0);
  assert.equal(sum, status.totals.verdicts.redirect - status.totals.received, "lost = redirected - received");
  assert.ok(sum >= 2000 - 2 * SMALL.rx - 2 * SMALL.fill, `${sum} of 2000 were lost`);
  assert.ok(lost.every(({ labels, value }) => labels.worker === "1" || value === 0), "at worker 1 only");
  assertSameCounts(status, metrics);
  // The fill ring is the queue's: one number a queue, however many sockets report it.
  const fillEmpty = drops.filter(({ labels }) => labels.reason === "rx_fill_ring_empty_descs");
  assert.deepEqual(fillEmpty.map(({ labels }) => `${labels.queue} ${labels.worker}`), ["0 0", "1 0"]);
});

Deno.test("what the workers' loops count", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  await runTraffic(network, "udp", { ports: [9090], flows: 20, packetsPerFlow: 300 });
  const { workers } = await settled(box);
  const metrics = await box.metrics();
  for (const { worker, idleMs, loop, received } of workers) {
    const value = (name: MetricName): number => sumOf(metrics, name, { worker });
    assert.equal(value("xdpsteer_worker_up"), 1);
    assert.equal(value("xdpsteer_worker_batches_total"), loop.batches);
    assert.ok(worker === 0 ? loop.batches === 0 : loop.batches >= received / 64, `${loop.batches} for ${received}`);
    assert.ok(value("xdpsteer_worker_sleeps_total") >= loop.sleeps);
    const idle = value("xdpsteer_worker_idle_seconds_total");
    assert.ok(idle >= idleMs / 1000 && idle < 300, `idle for ${idle} s`);
    const busy = value("xdpsteer_worker_busy_ratio");
    assert.ok(busy >= 0 && busy <= 1, `busy ${busy}`);
  }
});

Deno.test("process metrics are the kernel's numbers of this process", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  const { pid } = await box.status();
  const metrics = await box.metrics();
  const proc = (name: string): string => Deno.readTextFileSync(`/proc/${pid}/${name}`);
  const kib = (name: string): number =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(proc("status"))![1]);
  const near = (name: MetricName, expected: number, by: number): void => {
    const found = metrics.get(name)!;
    assert.ok(Math.abs(found - expected) <= by, `${name} is ${found}, the kernel says ${expected}`);
  };
  near("process_resident_memory_bytes", kib("VmRSS"), 16 << 20);
  near("process_virtual_memory_bytes", kib("VmSize"), 256 << 20);
  near("process_open_fds", [...Deno.readDirSync(`/proc/${pid}/fd`)].length, 2);
  near("process_max_fds", Number(/^Max open files\s+(\d+)/m.exec(proc("limits"))![1]), 0);
  near("process_threads", [...Deno.readDirSync(`/proc/${pid}/task`)].length, 2);
  const upSeconds = Date.now() / 1000 - metrics.get("process_start_time_seconds")!;
  assert.ok(upSeconds > 0 && upSeconds < 300, `it started ${upSeconds} s ago`);
  const cpu = metrics.get("process_cpu_seconds_total")!;
  assert.ok(cpu > 0 && cpu < 300, `it used ${cpu} s`);
  assert.ok((await box.metrics()).get("process_cpu_seconds_total")! >= cpu);
});

/** The loopback device takes generic XDP only. */
const NO_NATIVE: TestConfig = { rules: RULES, interface: "lo", attach: "auto" };

Deno.test("what was granted is shown: the mode, a fallback, zero-copy, and whether the interface is there", async () => {
  await using network = await TestNetwork.create();
  {
    await using box = await startAppliance(network, NO_NATIVE);
    const metrics = await box.metrics();
    assert.equal(metrics.get('xdpsteer_interface_info{interface="lo",attach="generic"}'), 1);
    assert.equal(metrics.get('xdpsteer_interface_fallback{interface="lo"}'), 1);
  }
  await using box = await startAppliance(network, { rules: RULES });
  const metrics = await box.metrics();
  assert.equal(metrics.get(`xdpsteer_interface_info{interface="${INTERFACES.steer}",attach="native"}`), 1);
  assert.equal(metrics.get(`xdpsteer_interface_fallback{interface="${INTERFACES.steer}"}`), 0);
  assert.equal(metrics.get(`xdpsteer_queue_zero_copy{interface="${INTERFACES.steer}",queue="1"}`), 0);

  const up = async (): Promise<number | undefined> =>
    (await box.metrics()).get(`xdpsteer_interface_up{interface="${INTERFACES.steer}"}`);
  const peer = (...words: string[]): Promise<string> => network.exec("client", ["ip", "link", ...words]);
  assert.equal(await up(), 1);
  await peer("set", "dev", INTERFACES.client, "down");
  await until("no carrier", async () => await up() === 0);
  await peer("set", "dev", INTERFACES.client, "up");
  await until("a carrier", async () => await up() === 1);
  await peer("delete", "dev", INTERFACES.client); // and its other end with it
  await until("an interface that is gone", async () => await up() === 0);
});
