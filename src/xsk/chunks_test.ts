import assert from "node:assert/strict";
import fc from "fast-check";
import { FakeRing } from "../../tests/support/fake_kernel.ts";
import { ChunkExchange, createQueueState, lendableChunks } from "./chunks.ts";

const CHUNK_SIZE = 2048;

interface Bed {
  readonly fill: FakeRing;
  readonly completion: FakeRing;
  readonly state: SharedArrayBuffer;
  readonly exchanges: readonly ChunkExchange[];
}

function bed(chunks: number, ringSize: number, workers: number, lendable = chunks): Bed {
  const fill = new FakeRing(ringSize, "addr", -3);
  const completion = new FakeRing(ringSize, "addr", 0x7ffffffe);
  const state = createQueueState(chunks);
  const exchanges = Array.from(
    { length: workers },
    () => new ChunkExchange(state, fill.asProducer(), completion.asConsumer(), CHUNK_SIZE, chunks, 0, true, lendable),
  );
  exchanges[0]!.seed();
  return { fill, completion, state, exchanges };
}

/** A packet that the kernel put into a chunk of the fill ring, and `exchange`'s worker took out of its rx ring. */
function takePacket(fill: FakeRing, exchange: ChunkExchange): number | undefined {
  const entry = fill.consume();
  if (entry === undefined) return undefined;
  exchange.received++;
  return entry.addr;
}

Deno.test("ChunkExchange.seed() puts every chunk into the fill ring, what does not fit into the spares", () => {
  const { fill, exchanges } = bed(64, 16, 1);
  assert.equal(fill.held, 16);
  assert.equal(exchanges[0]!.spares, 48);
});

Deno.test("ChunkExchange.giveBack() takes any address within a chunk", () => {
  const { fill, exchanges } = bed(8, 8, 1);
  const taken = takePacket(fill, exchanges[0]!)!;
  exchanges[0]!.giveBack(taken + 256 + 17);
  assert.ok(exchanges[0]!.exchange());
  const held = Array.from({ length: 8 }, () => fill.consume()!.addr);
  assert.ok(held.includes(taken));
  assert.ok(held.every((addr) => addr % CHUNK_SIZE === 0));
});

Deno.test("ChunkExchange.exchange() moves nothing while another worker holds the lock", () => {
  const { fill, state, exchanges } = bed(8, 8, 2);
  exchanges[1]!.giveBack(takePacket(fill, exchanges[1]!)!);
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
    for (let chunk = 0; chunk < 3; chunk++) alone.giveBack(takePacket(fill, alone)!);
    completion.produce(takePacket(fill, alone)!);
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

Deno.test("ChunkExchange.exchange() lends no more chunks than it may, and the same ones again and again", () => {
  const { fill, exchanges: [exchange] } = bed(16, 16, 1, 4);
  assert.equal(fill.held, 4);
  assert.equal(exchange!.spares, 12);
  const seen = new Set<number>();
  for (let packet = 0; packet < 40; packet++) {
    const addr = takePacket(fill, exchange!)!;
    seen.add(addr);
    exchange!.giveBack(addr);
    assert.ok(exchange!.exchange());
    assert.equal(fill.held, 4);
  }
  assert.equal(seen.size, 4);
});

Deno.test("ChunkExchange.exchange() lends spares for chunks that wait to be sent, without one coming back", () => {
  const { fill, completion, exchanges: [exchange] } = bed(16, 16, 1, 4);
  const sending: number[] = [];
  for (let packet = 0; packet < 12; packet++) {
    sending.push(takePacket(fill, exchange!)!);
    assert.ok(exchange!.due);
    assert.ok(exchange!.exchange());
    assert.equal(fill.held, 4);
    assert.ok(!exchange!.due);
  }
  assert.equal(exchange!.spares, 0);
  for (const addr of sending) completion.produce(addr);
  assert.ok(exchange!.exchange());
  assert.equal(fill.held, 4);
  assert.equal(exchange!.spares, 12);
});

Deno.test("lendableChunks() fills every worker's rx ring while each has a batch and returned chunks in hand", () => {
  const { fill, exchanges: [exchange] } = bed(4096, 4096, 1, lendableChunks(2048, 1));
  for (let packet = 0; packet < 64; packet++) takePacket(fill, exchange!);
  for (let packet = 0; packet < 63; packet++) exchange!.giveBack(takePacket(fill, exchange!)!);
  assert.ok(fill.held >= 2048);
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
  const sizes = fc.constantFrom(8, 16, 32, 64);
  fc.assert(fc.property(fc.array(step, { maxLength: 150 }), sizes, sizes, (steps, ringSize, lendable) => {
    const { fill, completion, exchanges } = bed(CHUNKS, ringSize, WORKERS, lendable);
    const hands: number[][] = Array.from({ length: WORKERS }, () => []);
    const sending: number[] = [];
    for (const { worker, receive, transmit, complete, exchange } of steps) {
      const hand = hands[worker]!;
      for (let index = 0; index < receive; index++) {
        const addr = takePacket(fill, exchanges[worker]!);
        if (addr !== undefined) hand.push(addr + 256);
      }
      for (let index = 0; index < transmit && hand.length > 0; index++) sending.push(hand.pop()!);
      for (let index = 0; index < complete && sending.length > 0; index++) {
        if (!completion.produce(sending[0]!)) break;
        sending.shift();
      }
      while (hand.length > 4) exchanges[worker]!.giveBack(hand.pop()!);
      if (exchange) assert.ok(exchanges[worker]!.exchange());
      assert.ok(fill.held <= lendable);
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
