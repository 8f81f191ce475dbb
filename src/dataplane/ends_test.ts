import assert from "node:assert/strict";
import { addressOf, FakeQueue, ringAddress } from "../../tests/support/fake_queue.ts";
import { Batch } from "./batch.ts";
import { createEndTables, type EndPlace, type OpenEnd, viewEndTables } from "./end_table.ts";
import { ChunkHand } from "../xsk/hand.ts";
import { Ends } from "./ends.ts";

/** How the control thread describes a queue's only socket. */
function describe(queue: FakeQueue, fd: number): OpenEnd {
  const { rx, tx } = queue.sockets[0]!;
  const { fill, completion, memory } = queue;
  return {
    ...{ fd, zeroCopy: false, rx: ringAddress(rx), tx: ringAddress(tx), fill: ringAddress(fill) },
    ...{ completion: ringAddress(completion), umem: addressOf(memory) },
  };
}

const placeOf = (queue: FakeQueue, number: number): EndPlace => ({
  ...{ networkInterface: number, queue: 0, chunkSize: queue.chunkSize, chunks: queue.chunks, reserve: 0, workers: 1 },
  state: queue.state,
});

const handsOf = (queues: readonly FakeQueue[]): ChunkHand[] => queues.map(({ chunks }) => new ChunkHand(chunks));

Deno.test("EndTable keeps every number of a socket, and a closed one has none", () => {
  const queue = new FakeQueue();
  const [table] = viewEndTables(createEndTables(2, 3), 3);
  const end = describe(queue, 17);
  // As high as user space goes.
  const high = { ...end, zeroCopy: true, umem: { address: 0x7fff_ffff_f000n, length: 2 ** 31 - 4096 } };
  table!.write(1, 2, 5, high);
  table!.write(0, 2, 6, end);
  assert.deepEqual([table!.opened(1, 2), table!.opened(0, 2), table!.opened(1, 1)], [5, 6, 0]);
  assert.deepEqual(table!.read(1, 2), high);
  assert.deepEqual(table!.read(0, 2), end);
  table!.write(1, 2, 7, undefined);
  assert.equal(table!.opened(1, 2), 0);
});

Deno.test("Ends takes over what was opened, lets go of what was closed, and leaves the others as they are", () => {
  const queues = [new FakeQueue(), new FakeQueue()];
  const tables = viewEndTables(createEndTables(1, 2), 2);
  const sockets = [0, 0];
  const ends = new Ends(
    tables,
    queues.map(placeOf),
    0,
    { setSocket: (place, fd) => sockets[place] = fd },
    handsOf(queues),
  );
  assert.deepEqual(ends.list.map(({ isOpen }) => isOpen), [false, false]);
  queues.forEach((queue, place) => tables[1]!.write(0, place, 1 + place, describe(queue, 10 + place)));
  assert.deepEqual(ends.leaving(1), [], "none was open");
  ends.follow(1);
  assert.deepEqual([ends.list.map(({ fd }) => fd), sockets], [[10, 11], [10, 11]]);
  const [first] = ends.list;

  tables[0]!.copyFrom(tables[1]!);
  tables[0]!.write(0, 1, 3, undefined);
  assert.deepEqual(ends.leaving(2), [1]);
  ends.follow(2);
  assert.equal(ends.list[0], first);
  assert.deepEqual([ends.list[1]!.isOpen, sockets], [false, [10, -1]]);

  // Closed and opened again between two looks: another socket, though it may have the number of the one before.
  tables[1]!.copyFrom(tables[0]!);
  tables[1]!.write(0, 0, 4, describe(queues[0]!, 10));
  assert.deepEqual(ends.leaving(3), [0]);
  ends.follow(3);
  assert.notEqual(ends.list[0], first);
});

Deno.test("Ends has what it prepares only once it follows, with the rings as they stand by then", () => {
  const queues = [new FakeQueue()];
  const tables = viewEndTables(createEndTables(1, 1), 1);
  const ends = new Ends(tables, queues.map(placeOf), 0, { setSocket: () => {} }, handsOf(queues));
  tables[1]!.write(0, 0, 1, describe(queues[0]!, 10));
  ends.prepare(1);
  assert.equal(ends.list[0]!.isOpen, false);
  // Another process's worker takes packets meanwhile.
  const [queue] = queues;
  for (let packet = 0; packet < 3; packet++) queue!.deliver(new Uint8Array(60));
  assert.equal(queue!.sockets[0]!.port.receive(new Batch()), 3);
  queue!.deliver(new Uint8Array(60));
  ends.follow(1);
  assert.deepEqual([ends.list[0]!.isOpen, ends.list[0]!.taken], [true, 3]);
  assert.equal(ends.list[0]!.receive(new Batch()), 1);
});
