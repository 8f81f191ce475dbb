import assert from "node:assert/strict";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import { writeForwardRule } from "../../tests/support/forward_rule.ts";
import { LoopRig } from "../../tests/support/loop_rig.ts";
import type { Rule } from "../steering/rule.ts";
import { buildFrame } from "../traffic/frames.ts";
import { BATCH_SIZE } from "./batch.ts";
import { COMMAND } from "./control_words.ts";
import type { WaitMode } from "./idle.ts";

const CLIENT = { mac: "02:00:00:00:00:01", address: "10.1.2.3" };
const BOX = { mac: "02:00:00:00:00:02", address: "10.1.2.4" };
const BACKEND = { mac: "02:00:00:00:00:03", address: "10.9.0.11", port: 9000 };

const [COUNT, ECHO, FORWARD] = [1, 2, 3];
const rule = (name: string, port: number, action: Rule["action"]): Rule => ({
  name,
  ports: [{ first: port, last: port }],
  worker: 0,
  action,
});
const RULES = [rule("count", 8080, "count"), rule("echo", 7777, "echo"), rule("forward", 53, "forward")];

const payload = (index: number): Uint8Array<ArrayBuffer> => Uint8Array.of(index >> 8, index & 0xff, ...new Array(20));
/** A client's packet; its payload and its source port tell it from others. */
const to = (port: number, index = 0): Uint8Array =>
  buildFrame({
    source: { ...CLIENT, port: 40_000 + index },
    destination: { ...BOX, port },
    payload: payload(index),
  }).bytes;
const many = (count: number, port: number): Uint8Array[] =>
  Array.from({ length: count }, (_, index) => to(port, index));
const indexOf = (frame: Uint8Array): number => new DataView(frame.buffer, frame.byteOffset).getUint16(42);

function assertAllChunks(queue: FakeQueue): void {
  assert.deepEqual(queue.takeAllChunks(), Array.from({ length: queue.chunks }, (_, chunk) => chunk));
}

Deno.test("Loop gives each packet one fate, sends what is echoed, and every chunk goes round", () => {
  const [one, other] = [new FakeQueue(), new FakeQueue({ queue: 1 })];
  const rig = new LoopRig({ queues: [one, other] });
  rig.setRules(RULES);
  for (let round = 0; round < 20; round++) {
    rig.deliver([...many(3, 8080), ...many(5, 7777), to(5555), new Uint8Array(60)]);
    rig.deliver(many(7, 8080), 1);
    rig.step();
    assert.deepEqual(one.transmit().map(indexOf), [0, 1, 2, 3, 4]);
    assert.deepEqual(other.transmit(), []);
  }
  rig.step();
  assert.deepEqual(rig.fates(COUNT), { counted: 20 * 10 });
  assert.deepEqual(rig.fates(ECHO), { echoed: 20 * 5 });
  assert.deepEqual(rig.fates(0), { unlisted: 20, malformed: 20 });
  assert.deepEqual(rig.received(), [20 * 10, 20 * 7]);
  assert.equal(rig.counters.loop("batches"), 40);
  assert.equal(rig.counters.loop("turns"), 21);
  assertAllChunks(one);
  assertAllChunks(other);
});

Deno.test("Loop takes a batch of each queue a turn, so that none waits for another", () => {
  const queues = [new FakeQueue({ chunks: 256 }), new FakeQueue({ queue: 1 })];
  const rig = new LoopRig({ queues });
  rig.setRules(RULES);
  rig.deliver(many(150, 8080));
  rig.deliver(many(3, 8080), 1);
  rig.step();
  assert.deepEqual(rig.received(), [BATCH_SIZE, 3]);
  rig.step(2);
  assert.deepEqual(rig.received(), [150, 3]);
  assert.deepEqual(rig.sleeps, []);
  rig.step();
  assert.deepEqual(rig.sleeps, [-1]);
});

Deno.test("Loop drops and counts echoes that find the tx ring full, and goes on when there is room", () => {
  const queue = new FakeQueue({ tx: 16 });
  const rig = new LoopRig({ queues: [queue] });
  rig.setRules(RULES);
  rig.deliver(many(20, 7777));
  rig.step();
  rig.deliver(many(4, 7777));
  rig.step(); // the kernel has sent nothing yet
  assert.deepEqual(rig.fates(ECHO), { echoed: 16, tx_ring_full: 8 });
  assert.equal(queue.transmit().length, 16);
  rig.deliver(many(4, 7777));
  rig.step();
  assert.deepEqual(rig.fates(ECHO), { echoed: 20, tx_ring_full: 8 });
  assert.equal(queue.transmit().length, 4);
  assertAllChunks(queue);
});

Deno.test("Loop uses the worker table in force for what it takes next, and says which one it uses", () => {
  const rig = new LoopRig();
  rig.setRules([rule("first", 8080, "count")]);
  rig.deliver(many(2, 8080));
  rig.step();
  assert.equal(rig.control.tableSeen(0), 1);
  rig.deliver(many(3, 8080));
  rig.setRules([rule("other", 8080, "echo")]);
  assert.equal(rig.control.tableSeen(0), 1, "before its next turn");
  rig.step();
  assert.equal(rig.control.tableSeen(0), 0);
  assert.deepEqual(rig.fates(), { counted: 2, echoed: 3 });
});

Deno.test("Loop acknowledges a change in a turn without packets too, and answers how large its heap is", () => {
  const rig = new LoopRig();
  rig.setRules(RULES);
  rig.control.askHeap(0);
  rig.step();
  assert.equal(rig.control.tableSeen(0), 1);
  assert.equal(rig.control.heapAsked(0), false);
  assert.equal(rig.control.heapKib(0), 5 << 10);
});

Deno.test("Loop looks at no packet of a worker's only rule once those of the generation before are through", () => {
  const rig = new LoopRig();
  rig.setRules(RULES);
  rig.step();
  rig.deliver([to(7777), to(5555)]); // steered under the generation before
  rig.control.setSoleRules([COUNT]);
  rig.step();
  assert.deepEqual(rig.fates(), { echoed: 1, unlisted: 1 });
  rig.deliver([to(8080), new Uint8Array(60)]); // no UDP packet at all, as looking would show
  rig.step();
  assert.deepEqual(rig.fates(COUNT), { counted: 2 });
  rig.deliver([to(7777)]);
  rig.control.setSoleRules([0]);
  rig.step();
  assert.deepEqual(rig.fates(ECHO), { echoed: 2 });
  rig.queues[0]!.transmit();
  assertAllChunks(rig.queues[0]!);
});

Deno.test("Loop hands packets to a tap while the plan captures any, as they were received", () => {
  const tapped: number[] = [];
  const noted: number[] = [];
  const tap = {
    note: (plan: number) => noted.push(plan) < 3,
    tap: (_umem: DataView, { count }: { count: number }) => void tapped.push(count),
  };
  let opened = 0;
  const rig = new LoopRig({ openTap: () => (opened++, tap) });
  rig.setRules(RULES);
  rig.deliver(many(1, 7777));
  rig.step();
  for (let plan = 1; plan <= 3; plan++) {
    rig.control.capturePlan = plan;
    rig.deliver(many(1 + plan, 7777));
    rig.step();
  }
  assert.deepEqual({ opened, noted, tapped }, { opened: 1, noted: [1, 2, 3], tapped: [2, 3] });
});

/** A worker whose rule forwards to a backend behind the second interface. */
function forwardRig(options: { reachable?: boolean; idle?: number; wait?: WaitMode } = {}): LoopRig {
  const queues = [
    new FakeQueue({ chunks: 256, reserve: 64 }),
    new FakeQueue({ chunks: 256, reserve: 64, interfaceName: "test1" }),
  ];
  const { wait = "poll" } = options;
  const rig = new LoopRig({ queues, interfaces: [0, 1], wait });
  rig.setRules(RULES);
  writeForward(rig, 0, options);
  return rig;
}

function writeForward(rig: LoopRig, index: number, more: { reachable?: boolean; idle?: number }): void {
  const table = rig.forwardTables[index]!;
  writeForwardRule(table, { rule: FORWARD!, backend: BACKEND, box: BOX, networkInterface: 1, ...more });
}

Deno.test("Loop forwards from its first turn with a forward table, and says which table it uses", () => {
  const rig = forwardRig();
  rig.deliver(many(2, 53));
  rig.step();
  assert.deepEqual(rig.fates(), { unlisted: 2 });
  assert.equal(rig.control.forwardSeen(0), 0);
  rig.control.activeForward = 1;
  rig.deliver(many(3, 53));
  rig.step();
  assert.equal(rig.control.forwardSeen(0), 1);
  assert.deepEqual(rig.fates(FORWARD), { unlisted: 2, forwarded: 3 });
  assert.equal(rig.counters.loop("sessions"), 3);
  assert.deepEqual(rig.queues[1]!.transmit().map(indexOf), [0, 1, 2]);
  assert.deepEqual(rig.queues[0]!.transmit(), []);
  rig.step();
  rig.queues.forEach(assertAllChunks);
});

Deno.test("Loop keeps packets whose next hop is not known, and sends them first and in order when it is", () => {
  const rig = forwardRig({ reachable: false });
  rig.control.activeForward = 1;
  rig.deliver(many(5, 53));
  rig.step();
  assert.deepEqual(rig.fates(), {}, "they have no fate yet");
  rig.step(3);
  assert.deepEqual(rig.sleeps, [1, 1, 1], "it looks again soon");
  writeForward(rig, 1, {});
  rig.deliver([to(53, 5), to(53, 6)]);
  rig.control.activeForward = 2;
  rig.step();
  assert.deepEqual(rig.fates(), { forwarded: 7 });
  assert.deepEqual(rig.queues[1]!.transmit().map(indexOf), [0, 1, 2, 3, 4, 5, 6]);
  rig.step();
  assert.equal(rig.sleeps.at(-1), 100, "no packet waits");
  rig.queues.forEach(assertAllChunks);
});

Deno.test("Loop keeps a packet for three seconds, however often tables change, also while packets come without a pause", () => {
  for (const others of [0, 1]) {
    const rig = forwardRig({ reachable: false });
    rig.control.activeForward = 1;
    rig.deliver([to(53)]);
    rig.step();
    const start = rig.nowMs;
    writeForward(rig, 1, { reachable: false });
    for (let change = 1; rig.nowMs - start < 2998; change++) {
      rig.control.activeForward = 1 + change % 2;
      rig.control.askHeap(0); // as every request for the status does
      rig.deliver(many(others, 8080));
      rig.step();
      rig.nowMs += 100 * others; // each turn without packets sleeps for a millisecond
      if (rig.nowMs - start < 2998) assert.equal(rig.fates(FORWARD).no_neighbour, undefined);
    }
    rig.nowMs = start + 3001;
    rig.deliver(many(others, 8080));
    rig.step();
    assert.deepEqual(rig.fates(FORWARD), { no_neighbour: 1 });
    rig.queues.forEach(assertAllChunks);
  }
});

Deno.test("Loop decides at once on packets for which it has no room to keep them", () => {
  const rig = forwardRig({ reachable: false });
  rig.control.activeForward = 1;
  rig.deliver(many(60, 53));
  rig.step();
  rig.deliver(many(5, 53));
  rig.step();
  assert.deepEqual(rig.fates(), { no_neighbour: 5 });
  rig.deliver(many(4, 53));
  rig.step();
  assert.deepEqual(rig.fates(), { no_neighbour: 5 });
  rig.nowMs += 3001;
  rig.step();
  assert.deepEqual(rig.fates(), { no_neighbour: 69 });
  rig.queues.forEach(assertAllChunks);
});

Deno.test("Loop drains what is in its rings, what waits and what is to be sent, then ends", () => {
  const rig = forwardRig({ reachable: false });
  const [queue] = rig.queues;
  rig.control.activeForward = 1;
  rig.deliver(many(2, 53));
  rig.step();
  rig.deliver([...many(100, 8080), ...many(3, 7777)]);
  rig.control.command = COMMAND.drain;
  rig.whileAsleep = () => void queue!.transmit();
  const turns = rig.stepToEnd(10);
  assert.deepEqual(rig.fates(), { counted: 100, echoed: 3, no_neighbour: 2 });
  assert.ok(turns >= 3, `${turns} turns`);
  assert.ok(rig.sleeps.every((ms) => ms === 1), `${rig.sleeps}`);
  rig.queues.forEach(assertAllChunks);
});

Deno.test("Loop gives up draining when the kernel does not send, after 200 turns of a millisecond", () => {
  const rig = new LoopRig();
  rig.setRules(RULES);
  rig.deliver(many(3, 7777));
  rig.step();
  rig.control.command = COMMAND.drain;
  assert.equal(rig.stepToEnd(1000), 201);
  assert.deepEqual(rig.sleeps, new Array(200).fill(1));
});

Deno.test("Loop stops at the end of the turn in which it is told to", () => {
  const rig = new LoopRig();
  rig.setRules(RULES);
  rig.step();
  rig.deliver(many(2, 8080));
  rig.control.command = COMMAND.stop;
  assert.equal(rig.stepToEnd(5), 2);
  assert.deepEqual(rig.fates(), { counted: 2 });
});

const FLOWS: Readonly<Record<string, (rig: LoopRig) => void>> = {
  "no packets": () => {},
  "no packets, a driver that waits to be told of its fill ring": (rig) => rig.queues[0]!.fill.setNeedWakeup(true),
  "packets that are forwarded": (rig) => rig.deliver([to(53, 63)]),
  "packets that are counted": (rig) => rig.deliver([to(8080)]),
  "packets of the only rule": (rig) => {
    rig.control.setSoleRules([COUNT!]);
    rig.deliver([to(8080)]);
  },
};

for (const wait of ["adaptive", "poll", "busy"] as const) {
  for (const [what, come] of Object.entries(FLOWS)) {
    Deno.test(`Loop ends sessions that have expired: wait ${wait}, ${what}`, () => {
      const rig = forwardRig({ idle: 10, wait });
      rig.control.activeForward = 1;
      rig.deliver(many(40, 53));
      rig.step();
      assert.equal(rig.counters.loop("sessions"), 40);
      const turns = (): void => {
        for (let turn = 0; turn < 2000; turn++) {
          come(rig);
          rig.step();
          rig.queues[1]!.transmit();
        }
      };
      const left = what === "packets that are forwarded" ? 1 : 0;
      rig.nowMs += 12_000;
      turns();
      assert.equal(rig.counters.loop("sessions"), left);
    });
  }
}

Deno.test("two workers of one queue share its chunks, and one that finds the lock taken tries again", () => {
  const queue = new FakeQueue({ workers: 2 });
  const one = new LoopRig({ queues: [queue], workers: 2 });
  const other = new LoopRig({ queues: [queue], workers: 2, worker: 1, control: one.control });
  const lock = new Int32Array(queue.state);
  one.setRules(RULES);
  other.tables.forEach((table, index) => {
    table.ruleOfPort.set(one.tables[index]!.ruleOfPort);
    table.actionOfRule.set(one.tables[index]!.actionOfRule);
  });
  for (let round = 0; round < 30; round++) {
    one.deliver(many(6, 7777));
    other.deliver(many(5, 8080));
    Atomics.store(lock, 0, round % 3 === 0 ? 1 : 0); // a third worker is at it
    one.step();
    other.step();
    Atomics.store(lock, 0, 0);
    one.step();
    other.step();
    assert.equal(queue.transmit(0).length, 6);
  }
  assert.deepEqual([one.fates(), other.fates()], [{ echoed: 180 }, { counted: 150 }]);
  assert.ok(one.counters.loop("lock_misses") >= 9 && other.counters.loop("lock_misses") >= 9);
  assertAllChunks(queue);
});
