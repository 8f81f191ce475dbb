import assert from "node:assert/strict";
import { countRule, FakeAppliance } from "../../tests/support/fake_appliance.ts";
import { FakeSeconds } from "../../tests/support/fake_seconds.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { History } from "./history.ts";
import { OUTCOMES } from "./vocabulary.ts";

type Pair = [count: number, perSecond: number];
interface Latest {
  readonly time: number;
  readonly seen: Pair;
  readonly rules: readonly [received: number, dropped: number, passed: number, perSecond: number][];
  readonly workers: readonly { readonly state: string; readonly busyPercent: number }[];
  readonly places: readonly Pair[];
  readonly socketDrops: readonly Pair[];
  readonly reasons: readonly Pair[];
}
interface Past {
  readonly times: readonly number[];
  readonly seen: readonly number[];
  readonly rules: Readonly<Record<string, readonly number[]>>;
  readonly workers: readonly number[][];
  readonly busyPercent: readonly number[][];
  readonly reasons: readonly number[][];
}

/** A history of an appliance with two workers, two queues and two rules. */
class Rig implements Disposable {
  readonly box = new FakeAppliance();
  readonly seconds = new FakeSeconds();
  readonly history: History;

  constructor() {
    this.box.setRules([countRule("game", 8080), countRule("chat", 9090, 1)]);
    this.history = new History(this.box, this.seconds);
  }

  get latest(): Latest {
    return this.history.latest() as unknown as Latest;
  }

  get past(): Past {
    return this.history.past() as unknown as Past;
  }

  reason<Value>(values: readonly Value[], where: string, reason: string): Value {
    const index = OUTCOMES.findIndex((each) => each.where === where && each.reason === reason);
    assert.ok(index >= 0, reason);
    return values[index]!;
  }

  [Symbol.dispose](): void {
    this.history[Symbol.dispose]();
  }
}

Deno.test("History tells counts and rates of rules, queues and reasons over the time that passed", () => {
  using rig = new Rig();
  const { box, seconds } = rig;
  box.serve("game", 0, 0, "counted", 100);
  box.interfaces[0]!.program.countReason("NOT_UDP", 8);
  seconds.pass(); // as long as it takes: 1000 ms
  assert.deepEqual(rig.latest.rules, [[100, 0, 0, 100, 0], [0, 0, 0, 0, 0]]);
  box.serve("game", 0, 0, "counted", 300);
  box.serve("game", 1, 1, "tx_ring_full", 20);
  box.decide("chat", 0, "dropped", 50);
  seconds.pass(2000); // a second that was late
  const { rules, seen, places, reasons } = rig.latest;
  assert.deepEqual(rules, [[420, 0, 0, 160, 0], [0, 50, 0, 25, 0]]);
  assert.deepEqual(seen, [420 + 50 + 8, 185]);
  assert.deepEqual(places, [[400, 150], [0, 0], [0, 0], [20, 10]]);
  assert.deepEqual(rig.reason(reasons, "worker", "counted"), [400, 150]);
  assert.deepEqual(rig.reason(reasons, "worker", "tx_ring_full"), [20, 10]);
  assert.deepEqual(rig.reason(reasons, "xdp", "steered"), [420, 160]);
  assert.deepEqual(rig.reason(reasons, "xdp", "rule_drop"), [50, 25]);
  assert.deepEqual(rig.reason(reasons, "xdp", "not_udp"), [8, 0]);
});

Deno.test("History counts what a queue's fill ring lacked once, and what its sockets dropped for each", () => {
  using rig = new Rig();
  const [first, second] = rig.box.interfaces[0]!.queues[1]!.sockets;
  Object.assign(first!.numbers!, { rx_fill_ring_empty_descs: 7, rx_dropped: 1, rx_ring_full: 2 });
  Object.assign(second!.numbers!, { rx_fill_ring_empty_descs: 7, rx_dropped: 10, rx_ring_full: 20 });
  rig.seconds.pass();
  const { reasons, socketDrops } = rig.latest;
  assert.deepEqual(rig.reason(reasons, "socket", "rx_fill_ring_empty_descs"), [7, 7]);
  assert.deepEqual(rig.reason(reasons, "socket", "rx_dropped"), [11, 11]);
  assert.deepEqual(rig.reason(reasons, "socket", "rx_ring_full"), [22, 22]);
  assert.deepEqual(socketDrops, [[0, 0], [3, 3], [0, 0], [30, 30]]);
});

Deno.test("History tells how busy workers were: between 0 and 100 percent, whatever their clocks say", () => {
  using rig = new Rig();
  rig.box.idleMs.splice(0, 2, 250, 1200);
  rig.seconds.pass();
  assert.deepEqual(rig.latest.workers.map(({ busyPercent }) => busyPercent), [75, 0]);
  rig.seconds.pass();
  assert.deepEqual(rig.latest.workers.map(({ busyPercent }) => busyPercent), [100, 100]);
  assert.deepEqual(rig.past.busyPercent, [[75, 100], [0, 100]]);
});

Deno.test("History keeps five minutes, of all times that there are", () => {
  using rig = new Rig();
  for (let second = 1; second <= 310; second++) {
    rig.box.serve("game", 0, 0, "counted", second);
    rig.seconds.pass();
  }
  const { times, seen, rules, workers, reasons } = rig.past;
  const expected = Array.from({ length: 300 }, (_, index) => 11 + index);
  assert.deepEqual(seen, expected);
  assert.deepEqual(rules, { game: expected }, "a rule without packets takes no place");
  assert.deepEqual(workers, [expected, new Array(300).fill(0)]);
  assert.deepEqual(rig.reason(reasons, "worker", "counted"), expected);
  assert.equal(times.length, 300);
  assert.equal(times.at(-1)! - times[0]!, 299_000);
  assert.equal(times.at(-1), rig.latest.time);
});

Deno.test("History follows the rules in force: one that is gone has no past, and one in its slot no negative rate", () => {
  const box = new FakeAppliance({ ruleSlots: 3 });
  const seconds = new FakeSeconds();
  box.setRules([countRule("one", 1)]);
  using history = new History(box, seconds);
  box.serve("one", 0, 0, "counted", 1000);
  seconds.pass();
  box.setRules([countRule("two", 1)]);
  box.setRules([countRule("three", 1)]); // has the first one's slot
  box.serve("three", 0, 0, "counted", 5);
  seconds.pass();
  assert.equal(history.generation, 3);
  assert.deepEqual(history.rules.map(({ name }) => name), ["three"]);
  assert.deepEqual(history.latest().rules, [[5, 0, 0, 0, 0]], "it went from 1000 to 5");
  assert.deepEqual(history.past().rules, {});
  box.serve("three", 0, 0, "counted", 5);
  seconds.pass();
  assert.deepEqual(history.latest().rules, [[10, 0, 0, 5, 0]]);
  assert.deepEqual(history.past().rules, { three: [0, 0, 5] });
});

Deno.test("History tells the past of the 32 rules with the most packets", () => {
  const box = new FakeAppliance({ ruleSlots: 64 });
  const seconds = new FakeSeconds();
  box.setRules(Array.from({ length: 40 }, (_, index) => countRule(`rule-${index}`, index + 1)));
  using history = new History(box, seconds);
  for (let rule = 0; rule < 40; rule++) box.serve(`rule-${rule}`, 0, 0, "counted", 100 + rule);
  seconds.pass();
  const names = Object.keys(history.past().rules as object);
  assert.deepEqual(names, Array.from({ length: 32 }, (_, index) => `rule-${39 - index}`));
});

Deno.test("History tells its watchers of each sample until they leave, and of the end", () => {
  const rig = new Rig();
  const { history, seconds } = rig;
  const told: string[] = [];
  const watcher = (name: string): Parameters<History["watch"]>[0] => ({
    sampled: () => void told.push(name),
    ended: () => void told.push(`${name} ended`),
  });
  history.watch(watcher("one"));
  const leave = history.watch(watcher("other"));
  seconds.pass();
  leave();
  seconds.pass();
  history[Symbol.dispose]();
  history.watch(watcher("late"));
  assert.deepEqual(told, ["one", "other", "one", "one ended", "late ended"]);
  assert.equal(seconds.running, 0, "the clock is stopped");
});

Deno.test("History says once that counters cannot be read, tells its watchers nothing, and goes on when they can", () => {
  using log = new LogRecords();
  using rig = new Rig();
  const socket = rig.box.interfaces[0]!.queues[0]!.sockets[0]!;
  const { numbers } = socket;
  let sampled = 0;
  rig.history.watch({ sampled: () => sampled++, ended: () => {} });
  const failing = ["error: The counters cannot be read: getsockopt failed with EBADF"];
  rig.box.serve("game", 0, 0, "counted", 10);
  rig.seconds.pass();
  const before = rig.latest;
  rig.box.serve("game", 0, 0, "counted", 200);
  socket.numbers = undefined;
  for (let second = 0; second < 3; second++) rig.seconds.pass();
  assert.deepEqual([log.lines, sampled], [failing, 1]);
  assert.deepEqual(rig.latest, before, "the last good sample");
  socket.numbers = numbers;
  rig.seconds.pass();
  assert.deepEqual([log.lines, sampled], [failing, 2]);
  assert.deepEqual(rig.latest.rules[0], [210, 0, 0, 50, 0], "over the four seconds");
  socket.numbers = undefined;
  rig.seconds.pass();
  assert.equal(log.lines.length, 2, "it is another time");
});
