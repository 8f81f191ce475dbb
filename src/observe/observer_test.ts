import assert from "node:assert/strict";
import { QUIET_BACKEND } from "../../tests/support/backend_status.ts";
import { countRule, FakeAppliance, RING_SIZE } from "../../tests/support/fake_appliance.ts";
import { parseMetrics, parseSample, sumOf } from "../../tests/support/metrics.ts";
import { type MetricName, METRICS } from "./metric_families.ts";
import { carriedCounters, renderMetrics } from "./metrics.ts";
import { Observer } from "./observer.ts";

const RELOADS = { counts: { applied: 2, unchanged: 1, refused: 0 }, last: undefined };
const BUILD = { version: "1.2.3" };

/**
 * A box that has something of everything. The first interface is lo: whether an interface is there is read from the
 * kernel.
 */
function busyBox(): FakeAppliance {
  const box = new FakeAppliance({ interfaces: [["lo", 2], ["no-such0", 1]] });
  box.setRules([countRule("game", 8080), countRule("chat", 9090, "hash")]);
  box.serve("game", 0, 0, "counted", 10, 600);
  box.serve("game", 1, 2, "tx_ring_full", 4, 240);
  box.serve("", 0, 1, "malformed", 1, 60);
  box.decide("chat", 0, "dropped", 7);
  box.decide("chat", 1, "passed", 8);
  box.decide("chat", 1, "delivered", 9);
  const [lo, other] = box.interfaces;
  lo!.program.countReason("NOT_UDP", 3);
  Object.assign(other!, { attach: "generic", fallbackReason: "no native XDP" });
  const [first, second] = lo!.queues[0]!.sockets;
  Object.assign(first!.numbers!, {
    rx_dropped: 1,
    rx_ring_full: 2,
    rx_fill_ring_empty_descs: 5,
    tx_ring_empty_descs: 9,
  });
  Object.assign(second!.numbers!, { rx_dropped: 10, rx_ring_full: 20, rx_fill_ring_empty_descs: 5 });
  for (let entry = 0; entry < 16; entry++) second!.rxRing.produce(0);
  for (let entry = 0; entry < 4; entry++) first.fill.produce(0);
  box.workers.counters[1]!.values[0] = 77; // turns
  box.states[1] = "stalled";
  box.still.add(1);
  box.captures = [{ rule: "game", written: 3, dropped: 2 } as FakeAppliance["captures"][number]];
  const way = { interface: "lo", mac: "02:00:00:00:00:01", mtu: 1500 };
  const backend = { rules: ["dns"], sessions: 0, ...QUIET_BACKEND, health: null, nextHop: way, noWay: null };
  box.backends = [
    { ...backend, name: "10.0.0.1:53" },
    {
      ...backend,
      name: "10.0.0.2:53",
      nextHop: { ...way, mac: null },
      noWay: { kind: "no_neighbour", interface: "lo", text: "the next hop behind lo does not answer" },
    },
  ];
  return box;
}

Deno.test("Observer.snapshot() tells every packet once in each account", () => {
  const box = busyBox();
  const { generation, rules, totals, interfaces, workers, backends, captures } = new Observer(box).snapshot();
  assert.equal(generation, 1);
  const zero = { ...totals.fates };
  for (const fate of Object.keys(zero)) zero[fate] = 0;
  assert.deepEqual(totals, {
    seen: 15 + 15 + 9 + 3,
    verdicts: { redirect: 15, pass: 8 + 9 + 3, drop: 7 },
    received: 15,
    redirectErrors: 0,
    socketDrops: 33,
    fates: { ...zero, counted: 10, tx_ring_full: 4, malformed: 1 },
  });
  assert.deepEqual(
    interfaces.map(({ name, attach, fallbackReason, seen }) => ({ name, attach, fallbackReason, seen })),
    [
      { name: "lo", attach: "native", fallbackReason: "", seen: 10 + 1 + 7 + 3 },
      { name: "no-such0", attach: "generic", fallbackReason: "no native XDP", seen: 4 + 8 + 9 },
    ],
  );
  assert.deepEqual(workers.map(({ received, cpu }) => [received, cpu]), [[11, 3], [4, null]]);
  assert.equal(workers[1]!.loop.turns, 77);
  assert.deepEqual(workers.map(({ thread, state, stillMs, cpuWaitMs }) => [thread, state, stillMs, cpuWaitMs]), [
    [100, "running", 0, 2000],
    [101, "stalled", 1000, 2000],
  ]);
  const queue = interfaces[0]!.queues[0]!;
  assert.deepEqual([queue.fill, queue.completion, queue.sockets.map(({ rx, tx }) => [rx, tx])], [4, 0, [[0, 0], [
    16,
    0,
  ]]]);
  assert.deepEqual(queue.ringSizes, { rx: RING_SIZE, tx: RING_SIZE, fill: RING_SIZE, completion: RING_SIZE });
  assert.deepEqual(rules.map(({ name, inForce, ports, worker, action }) => [name, inForce, ports, worker, action]), [
    ["game", true, "8080", 0, "count"],
    ["chat", true, "9090", "hash", "count"],
    ["", false, "", null, null],
  ]);
  assert.deepEqual(rules[0]!.workers[1]!.received, [
    { interface: "lo", queue: 0, packets: 0 },
    { interface: "lo", queue: 1, packets: 0 },
    { interface: "no-such0", queue: 0, packets: 4 },
  ]);
  assert.deepEqual([backends.length, captures.length], [2, 1]);
});

Deno.test("Observer.snapshot() keeps a rule that is gone, as one that is not in force", () => {
  const box = busyBox();
  box.setRules([countRule("chat", 9090)]);
  const game = new Observer(box).snapshot().rules.find(({ name }) => name === "game")!;
  assert.deepEqual([game.inForce, game.ports, game.redirected.packets], [false, "", 14]);
});

Deno.test("Observer takes the ratio of busy time over at least a second", () => {
  const box = new FakeAppliance({ workers: 3 });
  let nowMs = 10_000;
  const observer = new Observer(box, () => nowMs);
  const busy = (): number[] => observer.snapshot().workers.map(({ busyRatio }) => busyRatio);
  assert.deepEqual(busy(), [0, 0, 0]);
  box.idleMs.splice(0, 3, 250, 0, 5000); // the last clock is wrong: never below 0
  nowMs += 999;
  assert.deepEqual(busy(), [0, 0, 0], "not yet");
  nowMs += 1;
  assert.deepEqual(busy(), [0.75, 1, 0]);
  nowMs += 500;
  assert.deepEqual(busy(), [0.75, 1, 0], "the last one");
  nowMs += 500;
  assert.deepEqual(busy(), [1, 1, 1]);
});

function scrape(box: FakeAppliance, reloads: Parameters<typeof renderMetrics>[1] = RELOADS): Map<string, number> {
  const { text } = renderMetrics(new Observer(box).snapshot(), reloads, [], BUILD);
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const metrics = parseMetrics(text);
  assert.equal(metrics.size, lines.length, "no sample twice");
  for (const [key, value] of metrics) {
    const { name, labels } = parseSample(key);
    assert.ok(name in METRICS, `${name} is not in the table`);
    assert.deepEqual(Object.keys(labels), METRICS[name as MetricName].labels, key);
    assert.ok(Number.isFinite(value), `${key} is ${value}`);
  }
  return metrics;
}

Deno.test("renderMetrics() has a sample of each metric in the table, and no other", () => {
  const box = busyBox();
  for (const what of ["denied", "overTotal"] as const) box.guard(0, "game", what, 1);
  box.cut(0, "game", 1);
  const list = { name: "bad", entries: 7, badLines: 1, firstBad: "", error: "", successMs: 1e12 };
  box.steering.lists = [list, { ...list, name: "none", successMs: null }];
  const name = { backends: ["10.0.0.1:53"], error: null, lastSuccess: "2026-01-01T00:00:00.000Z", againSeconds: 1 };
  box.names = [{ ...name, name: "a.example:53" }, { ...name, name: "b.example:53", error: "no", lastSuccess: null }];
  const names = new Set([...scrape(box).keys()].map((key) => parseSample(key).name));
  for (const name of Object.keys(METRICS)) assert.ok(names.has(name), `${name} has no sample`);
  scrape(new FakeAppliance());
});

Deno.test("renderMetrics() tells what guards dropped, by rule and reason, and of all packets their verdict", () => {
  const box = busyBox();
  const guarded = { denied: 10, banned: 20, limited: 30, observed: 40, overTotal: 5 } as const;
  for (const [what, packets] of Object.entries(guarded)) box.guard(1, "chat", what as keyof typeof guarded, packets);
  const metrics = scrape(box);
  const of = (reason: string, mode = "enforce"): number =>
    sumOf(metrics, "xdpsteer_rule_guarded_packets_total", { rule: "chat", reason, mode });
  assert.deepEqual([of("denied"), of("banned"), of("limited"), of("limited", "observe")], [10, 20, 30, 40]);
  assert.equal(sumOf(metrics, "xdpsteer_rule_over_total_packets_total", { rule: "chat" }), 5);
  assert.equal(sumOf(metrics, "xdpsteer_xdp_seen_packets_total"), 33 + 9 + 60, "one that is only observed goes on");
  for (const reason of ["denied", "banned", "limited"] as const) {
    const at = { interface: "no-such0", verdict: "drop", reason };
    assert.equal(sumOf(metrics, "xdpsteer_xdp_packets_total", at), guarded[reason]);
  }
});

Deno.test("renderMetrics() tells the fragments of a rule, which are packets with a reason of their own", () => {
  const box = busyBox();
  const seen = sumOf(scrape(box), "xdpsteer_xdp_seen_packets_total");
  box.cut(0, "game", 7);
  const metrics = scrape(box);
  assert.equal(sumOf(metrics, "xdpsteer_rule_dropped_fragments_total", { rule: "game" }), 7);
  assert.equal(sumOf(metrics, "xdpsteer_xdp_packets_total", { verdict: "drop", reason: "fragment_dropped" }), 7);
  assert.equal(sumOf(metrics, "xdpsteer_xdp_seen_packets_total"), seen + 7);
});

Deno.test("renderMetrics() tells the numbers of the snapshot", () => {
  const metrics = scrape(busyBox());
  const sum = (name: MetricName, labels: Record<string, string | number> = {}): number => sumOf(metrics, name, labels);
  assert.equal(sum("xdpsteer_xdp_seen_packets_total"), 33 + 9);
  assert.equal(sum("xdpsteer_xdp_packets_total"), 33 + 9);
  assert.equal(sum("xdpsteer_xdp_packets_total", { interface: "lo", verdict: "pass", reason: "not_udp" }), 3);
  assert.equal(sum("xdpsteer_rule_packets_total"), 15 + 15 + 9);
  assert.equal(sum("xdpsteer_rule_bytes_total", { rule: "game", fate: "counted" }), 600);
  assert.equal(sum("xdpsteer_rule_packets_total", { rule: "chat", worker: "xdp", fate: "passed" }), 8);
  assert.equal(sum("xdpsteer_worker_received_packets_total"), 15);
  assert.equal(sum("xdpsteer_worker_received_packets_total", { worker: 1, interface: "no-such0", queue: 0 }), 4);
  // The fill ring is the queue's: told by its first socket only.
  assert.equal(sum("xdpsteer_xsk_drops_total", { reason: "rx_fill_ring_empty_descs" }), 5);
  assert.equal(sum("xdpsteer_xsk_drops_total", { reason: "rx_ring_full" }), 22);
  assert.equal(sum("xdpsteer_xsk_drops_total", { reason: "tx_ring_empty_descs" }), 9);
  const at = { interface: "lo", queue: 0 };
  assert.equal(sum("xdpsteer_ring_fill", { ...at, ring: "rx" }), 16);
  assert.equal(sum("xdpsteer_ring_size", { ...at, ring: "rx" }), 2 * RING_SIZE, "of both sockets");
  assert.equal(sum("xdpsteer_ring_size", { ...at, ring: "fill" }), RING_SIZE);
  assert.equal(sum("xdpsteer_socket_ring_used_ratio", { ...at, worker: 1, ring: "rx" }), 16 / RING_SIZE);
  assert.deepEqual([0, 1].map((worker) => sum("xdpsteer_worker_up", { worker })), [1, 0]);
  assert.equal(sum("xdpsteer_worker_still_seconds_total", { worker: 1 }), 1);
  assert.equal(sum("xdpsteer_worker_cpu_wait_seconds_total", { worker: 0 }), 2);
  assert.equal(sum("xdpsteer_interface_fallback", { interface: "no-such0" }), 1);
  assert.equal(sum("xdpsteer_interface_up", { interface: "no-such0" }), 0);
  assert.equal(sum("xdpsteer_capture_packets_total", { rule: "game", result: "dropped" }), 2);
  assert.equal(sum("xdpsteer_backend_reachable", { backend: "10.0.0.1:53" }), 1);
  assert.equal(sum("xdpsteer_backend_reachable", { backend: "10.0.0.2:53" }), 0);
  assert.equal(sum("xdpsteer_backend_healthy"), 2, "unchecked ones count as healthy");
  assert.equal(sum("xdpsteer_config_rules"), 2);
  assert.equal(sum("xdpsteer_build_info", BUILD), 1);
});

Deno.test("carriedCounters() are what a process counts by itself: the next one begins where it was", () => {
  const box = busyBox();
  box.pauses.totalMs = 2000;
  const handovers = { adopted: 0, done: 1, refused: 0, rolled_back: 0 };
  const carry = (carried: ReadonlyMap<string, number>): Map<string, number> =>
    new Map(carriedCounters(new Observer(box).snapshot(), RELOADS, [], BUILD, { handovers, carried }));
  const first = carry(new Map());
  assert.equal(first.get("xdpsteer_paused_seconds_total{}"), 2);
  assert.equal(first.get('xdpsteer_worker_still_seconds_total{worker="1"}'), 1);
  assert.equal(first.get('xdpsteer_config_reloads_total{result="applied"}'), 2);
  assert.deepEqual([...carry(first)], [...first].map(([key, value]) => [key, 2 * value]));
});

Deno.test("renderMetrics() tells of the last configuration that was offered, and of the start before there was one", () => {
  const box = busyBox();
  const start = scrape(box);
  assert.equal(start.get("xdpsteer_config_last_reload_successful"), 1);
  const at = "xdpsteer_config_last_reload_timestamp_seconds";
  assert.equal(start.get(at), start.get("process_start_time_seconds"));
  const time = "2026-01-02T03:04:05.000Z";
  for (const [result, good] of [["applied", 1], ["unchanged", 1], ["refused", 0]] as const) {
    const metrics = scrape(box, { ...RELOADS, last: { time, result, message: "" } });
    assert.equal(metrics.get("xdpsteer_config_last_reload_successful"), good, result);
    assert.equal(metrics.get(at), Date.parse(time) / 1000);
  }
  assert.equal(start.get('xdpsteer_config_reloads_total{result="applied"}'), 2);
});
