/** What a worker does in its last act: nothing of what it had in hand is lost without being counted. */
import assert from "node:assert/strict";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import { writeForwardRule } from "../../tests/support/forward_rule.ts";
import {
  assertAllChunks,
  BOX,
  COUNT,
  ECHO,
  failingRig,
  FORWARD,
  LoopRig,
  packetsTo,
} from "../../tests/support/loop_rig.ts";
import { NO_RULE } from "../steering/slots.ts";
import { TABLE } from "./control_words.ts";
import { Hand } from "./hand.ts";

Deno.test("Loop.abandon() counts the batch in hand as lost, sends what was decided, and gives every chunk back", () => {
  const queues = [new FakeQueue({ chunks: 256 }), new FakeQueue({ chunks: 256 })];
  const { rig, failAt } = failingRig(queues);
  rig.deliver(packetsTo(8080, 30));
  rig.step();
  rig.deliver(packetsTo(7777, 5), 0);
  rig.deliver(packetsTo(8080, 100), 1);
  failAt(2); // the first batch of the second queue
  assert.throws(() => rig.step(), /told to fail/);
  assert.equal(rig.loop.abandon(), 64);
  assert.deepEqual(rig.fates(NO_RULE), { worker_failed: 64 });
  assert.deepEqual([rig.fates(COUNT), rig.fates(ECHO)], [{ counted: 30 }, { echoed: 5 }]);
  assert.deepEqual(rig.counters.receivedFrom(1), 64, "the other 36 wait for whoever goes on");
  assert.equal(queues[0]!.transmit().length, 5);
});

Deno.test("Loop.abandon() counts packets that wait for a next hop, too", () => {
  const queues = [0, 1].map(() => new FakeQueue({ chunks: 256, reserve: 64 }));
  const { rig, failAt } = failingRig(queues);
  const version = rig.control.version(TABLE.forward) + 1;
  const backend = { mac: "02:00:00:00:00:03", address: "10.9.0.11", port: 9000 };
  writeForwardRule(rig.forwardTables[version & 1]!, {
    ...{ rule: FORWARD, backend, box: BOX, networkInterface: 1, reachable: false },
  });
  rig.control.publish(TABLE.forward, version);
  rig.deliver(packetsTo(53, 3));
  rig.step();
  assert.deepEqual(rig.fates(FORWARD), {}, "they are parked");
  rig.deliver(packetsTo(8080, 5));
  failAt(1);
  assert.throws(() => rig.step(), /told to fail/);
  assert.equal(rig.loop.abandon(), 8);
  assert.deepEqual(rig.fates(NO_RULE), { worker_failed: 8 });
  for (const queue of queues) assertAllChunks(queue);
});

Deno.test("Loop.abandon() loses nothing where nothing is in hand", () => {
  const queue = new FakeQueue({ chunks: 256 });
  const { rig } = failingRig([queue]);
  rig.deliver(packetsTo(8080, 70));
  rig.step(2);
  assert.equal(rig.loop.abandon(), 0);
  assert.deepEqual([rig.fates(COUNT), rig.fates(NO_RULE)], [{ counted: 70 }, {}]);
  assertAllChunks(queue);
});

Deno.test("Loop counts what a worker had in hand whose process was killed, once, and nothing else", () => {
  const queues = [new FakeQueue({ chunks: 256 }), new FakeQueue({ chunks: 256 })];
  const { rig, failAt } = failingRig(queues);
  rig.deliver(packetsTo(8080, 30));
  rig.step();
  rig.deliver(packetsTo(8080, 100), 1);
  failAt(1); // of which 64 are in hand, and nobody comes back to them
  assert.throws(() => rig.step(), /told to fail/);
  /** A worker of another process, which finds counters, and empty hands. */
  const heirOf = (before: LoopRig): LoopRig =>
    new LoopRig({
      ...{ queues, interfaces: [0, 1], takes: true, openTap: () => ({ note: () => false, tap: () => {} }) },
      before: Object.assign(Object.create(before), { hand: new Hand(queues.map(({ chunks }) => chunks)) }),
    });
  let heir = rig;
  for (let process = 0; process < 3; process++) {
    heir = heirOf(heir);
    heir.step(3);
    assert.deepEqual([heir.fates(NO_RULE), heir.fates(COUNT)], [{ worker_failed: 64 }, { counted: 66 }], `${process}`);
  }
  assert.deepEqual([0, 1].map((place) => heir.counters.receivedFrom(place)), [30, 100]);
});
