import assert from "node:assert/strict";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import {
  assertAllChunks,
  COUNT,
  ECHO,
  indexOf,
  LoopRig,
  packetsTo,
  packetTo,
  portRule,
  RULES,
} from "../../tests/support/loop_rig.ts";
import { NO_RULE } from "../steering/slots.ts";
import { BATCH_SIZE } from "./batch.ts";
import { COMMAND, TABLE } from "./control_words.ts";

Deno.test("Loop gives each packet one fate, sends what is echoed, and every chunk goes round", () => {
  const [one, other] = [new FakeQueue(), new FakeQueue({ queue: 1 })];
  const rig = new LoopRig({ queues: [one, other] });
  rig.setRules(RULES);
  for (let round = 0; round < 20; round++) {
    rig.deliver([...packetsTo(8080, 3), ...packetsTo(7777, 5), packetTo(5555), new Uint8Array(60)]);
    rig.deliver(packetsTo(8080, 7), 1);
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
  rig.deliver(packetsTo(8080, 150));
  rig.deliver(packetsTo(8080, 3), 1);
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
  rig.deliver(packetsTo(7777, 20));
  rig.step();
  rig.deliver(packetsTo(7777, 4));
  rig.step(); // the kernel has sent nothing yet
  assert.deepEqual(rig.fates(ECHO), { echoed: 16, tx_ring_full: 8 });
  assert.equal(queue.transmit().length, 16);
  rig.deliver(packetsTo(7777, 4));
  rig.step();
  assert.deepEqual(rig.fates(ECHO), { echoed: 20, tx_ring_full: 8 });
  assert.equal(queue.transmit().length, 4);
  assertAllChunks(queue);
});

Deno.test("Loop uses the worker table in force for what it takes next, and says which one it uses", () => {
  const rig = new LoopRig();
  rig.setRules([portRule("first", 8080, "count")]);
  rig.deliver(packetsTo(8080, 2));
  rig.step();
  assert.equal(rig.control.seen(0, TABLE.rules), 1);
  rig.deliver(packetsTo(8080, 3));
  rig.setRules([portRule("other", 8080, "echo")]);
  assert.equal(rig.control.seen(0, TABLE.rules), 1, "before its next turn");
  rig.step();
  assert.equal(rig.control.seen(0, TABLE.rules), 2);
  assert.deepEqual(rig.fates(), { counted: 2, echoed: 3 });
});

Deno.test("Loop acknowledges a change in a turn without packets too, and answers how large its heap is", () => {
  const rig = new LoopRig();
  rig.setRules(RULES);
  rig.control.askHeap(0);
  rig.step();
  assert.equal(rig.control.seen(0, TABLE.rules), 1);
  assert.equal(rig.control.heapAsked(0), false);
  assert.equal(rig.control.heapKib(0), 5 << 10);
});

Deno.test("Loop says when all packets that it had are through, and then looks at none of a worker's only rule", () => {
  const rig = new LoopRig({ queues: [new FakeQueue({ chunks: 256 })] });
  rig.setRules(RULES);
  rig.step();
  rig.deliver([...packetsTo(7777, BATCH_SIZE), packetTo(7777), packetTo(5555)]); // steered under the generation before
  const asked = rig.control.askPass();
  rig.step();
  assert.equal(rig.control.passed(0), asked - 1, "there is more than a batch");
  rig.step();
  assert.equal(rig.control.passed(0), asked);
  assert.deepEqual(rig.fates(), { echoed: BATCH_SIZE + 1, unlisted: 1 });
  rig.setSoleRule(COUNT);
  rig.deliver([packetTo(8080), new Uint8Array(60)]); // no UDP packet at all, as looking would show
  rig.step();
  assert.deepEqual(rig.fates(COUNT), { counted: 2 });
  rig.deliver([packetTo(7777)]);
  rig.setSoleRule(NO_RULE);
  rig.step();
  assert.deepEqual(rig.fates(ECHO), { echoed: BATCH_SIZE + 2 });
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
  rig.deliver(packetsTo(7777, 1));
  rig.step();
  for (let plan = 1; plan <= 3; plan++) {
    rig.control.publish(TABLE.capture, plan);
    rig.deliver(packetsTo(7777, 1 + plan));
    rig.step();
  }
  assert.deepEqual({ opened, noted, tapped }, { opened: 1, noted: [1, 2, 3], tapped: [2, 3] });
});

Deno.test("Loop gives up draining when the kernel does not send, after 200 turns of a millisecond", () => {
  const rig = new LoopRig();
  rig.setRules(RULES);
  rig.deliver(packetsTo(7777, 3));
  rig.step();
  rig.control.command = COMMAND.drain;
  assert.equal(rig.stepToEnd(1000), 201);
  assert.deepEqual(rig.sleeps, new Array(200).fill(1));
});

Deno.test("Loop stops at the end of the turn in which it is told to", () => {
  const rig = new LoopRig();
  rig.setRules(RULES);
  rig.step();
  rig.deliver(packetsTo(8080, 2));
  rig.control.command = COMMAND.stop;
  assert.equal(rig.stepToEnd(5), 2);
  assert.deepEqual(rig.fates(), { counted: 2 });
});

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
    one.deliver(packetsTo(7777, 6));
    other.deliver(packetsTo(8080, 5));
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
