/** A worker whose thread never goes on: another one finds in memory what was in its hands, and no chunk is lost. */
import assert from "node:assert/strict";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import { assertAllChunks, COUNT, ECHO, failingRig, packetsTo, TOLD_TO_FAIL } from "../../tests/support/loop_rig.ts";
import { lockHolder, unlockQueue } from "../xsk/chunks.ts";
import { NO_RULE } from "../steering/slots.ts";

/** A worker that stands still, as far as others see, in the middle of a batch that it is told. */
const hangingRig = (queues: readonly FakeQueue[]): ReturnType<typeof failingRig> => failingRig(queues, { takes: true });

Deno.test("another thread takes what a thread has left that never goes on: packets are counted as lost, chunks go back", () => {
  const queues = [0, 1].map(() => new FakeQueue({ chunks: 256, reserve: 64 }));
  const { rig, failAt: hangAt } = hangingRig(queues);
  rig.deliver(packetsTo(8080, 30));
  rig.step();
  rig.deliver(packetsTo(7777, 5), 0);
  rig.deliver(packetsTo(8080, 100), 1);
  hangAt(2); // the first batch of the second queue
  assert.throws(() => rig.step(), TOLD_TO_FAIL);
  const next = rig.succeed();
  assert.deepEqual(next.resumed, [64]);
  assert.deepEqual(next.fates(NO_RULE), { worker_failed: 64 });
  next.step(3);
  assert.deepEqual([next.fates(COUNT), next.fates(ECHO)], [{ counted: 66 }, { echoed: 5 }]);
  assert.deepEqual(next.received(), [35, 100]);
  for (const queue of queues) {
    queue.transmit();
    next.step();
    assertAllChunks(queue);
  }
});

Deno.test("another thread has nothing to take where the one before has given its ends up, or holds none", () => {
  const queue = new FakeQueue({ chunks: 256 });
  const { rig } = hangingRig([queue]);
  rig.deliver(packetsTo(8080, 70));
  rig.step(2);
  const next = rig.succeed();
  assert.deepEqual([next.resumed, next.fates(COUNT), next.fates(NO_RULE)], [[0], { counted: 70 }, {}]);
  next.loop.abandon();
  const third = next.succeed();
  assert.deepEqual(third.resumed, []);
  assertAllChunks(queue);
});

Deno.test("unlockQueue() opens a lock of the worker that it is told, or of any worker of a process", () => {
  const { state } = new FakeQueue();
  const words = new Int32Array(state);
  words[0] = lockHolder(3, 1);
  for (const [process, worker] of [[3, 0], [2, 1]] as const) unlockQueue(state, process, worker);
  unlockQueue(state, 2);
  assert.equal(words[0], lockHolder(3, 1));
  unlockQueue(state, 3, 1);
  assert.equal(words[0], 0);
  words[0] = lockHolder(3, 1);
  unlockQueue(state, 3);
  assert.equal(words[0], 0);
});
