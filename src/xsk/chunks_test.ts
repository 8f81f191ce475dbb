import assert from "node:assert/strict";
import fc from "fast-check";
import { FakeRing } from "../../tests/support/fake_kernel.ts";
import { ChunkExchange, createQueueState } from "./chunks.ts";

const CHUNK_SIZE = 2048;

interface Bed {
  readonly fill: FakeRing;
  readonly completion: FakeRing;
  readonly state: SharedArrayBuffer;
  readonly exchanges: readonly ChunkExchange[];
}

function bed(chunks: number, ringSize: number, workers: number): Bed {
  const fill = new FakeRing(ringSize, "addr", -3);
  const completion = new FakeRing(ringSize, "addr", 0x7ffffffe);
  const state = createQueueState(chunks);
  const exchanges = Array.from(
    { length: workers },
    () => new ChunkExchange(state, fill.asProducer(), completion.asConsumer(), CHUNK_SIZE, chunks),
  );
  exchanges[0]!.seed();
  return { fill, completion, state, exchanges };
}

Deno.test("ChunkExchange.seed() puts every chunk into the fill ring, what does not fit into the spares", () => {
  const { fill, exchanges } = bed(64, 16, 1);
  assert.equal(fill.held, 16);
  assert.equal(exchanges[0]!.spares, 48);
});

Deno.test("ChunkExchange.giveBack() takes any address within a chunk", () => {
  const { fill, exchanges } = bed(8, 8, 1);
  const taken = fill.consume()!.addr;
  exchanges[0]!.giveBack(taken + 256 + 17);
  assert.ok(exchanges[0]!.exchange());
  const held = Array.from({ length: 8 }, () => fill.consume()!.addr);
  assert.ok(held.includes(taken));
  assert.ok(held.every((addr) => addr % CHUNK_SIZE === 0));
});

Deno.test("ChunkExchange.exchange() moves nothing while another worker holds the lock", () => {
  const { fill, state, exchanges } = bed(8, 8, 2);
  exchanges[1]!.giveBack(fill.consume()!.addr);
  new Int32Array(state)[0] = 1;
  assert.equal(exchanges[1]!.exchange(), false);
  assert.equal(exchanges[1]!.returnedCount, 1);
  assert.ok(exchanges[1]!.due);
  new Int32Array(state)[0] = 0;
  assert.equal(exchanges[1]!.exchange(), true);
  assert.equal(fill.held, 8);
  assert.equal(new Int32Array(state)[0], 0, "the lock is free again");
});

Deno.test("ChunkExchange.exchange() takes no lock where no other worker has the queue", () => {
  const { fill, completion, state } = bed(8, 8, 1);
  const alone = new ChunkExchange(state, fill.asProducer(), completion.asConsumer(), CHUNK_SIZE, 8, 0, false);
  new Int32Array(state)[0] = 1;
  for (let round = 0; round < 20; round++) {
    for (let chunk = 0; chunk < 3; chunk++) alone.giveBack(fill.consume()!.addr);
    completion.produce(fill.consume()!.addr);
    assert.ok(alone.exchange());
    assert.equal(fill.held, 8);
  }
});

Deno.test("ChunkExchange.filled is what the fill ring holds, a quarter of what it could hold", () => {
  const { fill, exchanges } = bed(16, 16, 1);
  assert.deepEqual([exchanges[0]!.filled, exchanges[0]!.quarter], [16, 4]);
  while (fill.held > 5) fill.consume();
  assert.equal(exchanges[0]!.filled, 5);
});

Deno.test("every chunk has exactly one owner, whatever the kernel and the workers do", () => {
  const CHUNKS = 32;
  const WORKERS = 3;
  const step = fc.record({
    worker: fc.nat(WORKERS - 1),
    receive: fc.nat(9),
    transmit: fc.nat(9),
    complete: fc.nat(9),
    exchange: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 150 }), fc.constantFrom(8, 16, 32, 64), (steps, ringSize) => {
    const { fill, completion, exchanges } = bed(CHUNKS, ringSize, WORKERS);
    const hands: number[][] = Array.from({ length: WORKERS }, () => []);
    const sending: number[] = [];
    for (const { worker, receive, transmit, complete, exchange } of steps) {
      const hand = hands[worker]!;
      for (let index = 0; index < receive; index++) {
        const entry = fill.consume();
        if (entry !== undefined) hand.push(entry.addr + 256);
      }
      for (let index = 0; index < transmit && hand.length > 0; index++) sending.push(hand.pop()!);
      for (let index = 0; index < complete && sending.length > 0; index++) {
        if (!completion.produce(sending[0]!)) break;
        sending.shift();
      }
      while (hand.length > 4) exchanges[worker]!.giveBack(hand.pop()!);
      if (exchange) assert.ok(exchanges[worker]!.exchange());
    }
    const owned = [
      ...drain(fill),
      ...drain(completion),
      ...hands.flat(),
      ...sending,
      ...exchanges.flatMap(({ returned, returnedCount }) => [...returned.subarray(0, returnedCount)]),
    ].map((addr) => Math.floor(addr / CHUNK_SIZE));
    assert.equal(owned.length + exchanges[0]!.spares, CHUNKS);
    assert.equal(new Set(owned).size, owned.length, "no chunk is in two places");
  }));
});

function drain(ring: FakeRing): number[] {
  const addresses: number[] = [];
  for (let entry = ring.consume(); entry !== undefined; entry = ring.consume()) addresses.push(entry.addr);
  return addresses;
}
