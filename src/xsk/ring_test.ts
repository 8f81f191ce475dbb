import assert from "node:assert/strict";
import fc from "fast-check";
import { FakeRing } from "../../tests/support/fake_kernel.ts";
import type { RingPeerJob } from "../../tests/support/ring_peer.ts";
import { Patience } from "../../tests/support/patience.ts";
import { ADDR_SHIFT, ProducerRing } from "./ring.ts";

/** Where indexes start: ordinary, and just below the places where 32-bit arithmetic could go wrong. */
const STARTS = { zero: 0, "2^31": 0x7fffffff - 5, "2^32": -6 } as const;

for (const [name, start] of Object.entries(STARTS)) {
  Deno.test(`ProducerRing carries entries in order when indexes pass ${name}`, () => {
    const ring = new FakeRing(8, "addr", start);
    const producer = ring.asProducer();
    for (let round = 0; round < 20; round++) {
      assert.equal(producer.reserve(3), 3);
      const first = (producer.producer - 3) | 0;
      for (let index = 0; index < 3; index++) {
        producer.words[producer.addrAt((first + index) | 0)] = round * 3 + index;
      }
      assert.equal(ring.held, 0, "nothing is visible before submit");
      producer.submit();
      for (let index = 0; index < 3; index++) assert.equal(ring.consume()?.addr, round * 3 + index);
      assert.equal(ring.consume(), undefined);
    }
  });

  Deno.test(`ConsumerRing takes entries in order when indexes pass ${name}`, () => {
    const ring = new FakeRing(8, "desc", start);
    const consumer = ring.asConsumer();
    for (let round = 0; round < 20; round++) {
      for (let index = 0; index < 5; index++) assert.ok(ring.produce((round * 5 + index) * 2048, index + 60));
      assert.equal(consumer.peek(64), 5);
      const first = (consumer.consumer - 5) | 0;
      for (let index = 0; index < 5; index++) {
        const at = consumer.descAt((first + index) | 0);
        assert.deepEqual([consumer.words[at], consumer.words[at + 2]], [(round * 5 + index) * 2048, index + 60]);
      }
      assert.equal(ring.held, 5, "the kernel gets no place back before release");
      consumer.release();
      assert.equal(ring.held, 0);
    }
  });

  Deno.test(`ProducerRing.reserve() gives what is left of a full ring when indexes pass ${name}`, () => {
    const ring = new FakeRing(8, "desc", start);
    const producer = ring.asProducer();
    assert.equal(producer.reserve(6), 6);
    assert.equal(producer.reserve(6), 2);
    assert.equal(producer.reserve(1), 0);
    producer.submit();
    assert.equal(producer.pending(), 8);
    ring.consume();
    assert.equal(producer.reserve(6), 1);
  });
}

Deno.test("ProducerRing.room() reserves nothing", () => {
  const ring = new FakeRing(8, "desc");
  const producer = ring.asProducer();
  assert.equal(producer.reserve(3), 3);
  assert.equal(producer.room(8), 5);
  assert.equal(producer.room(2), 2);
  producer.submit();
  assert.equal(ring.held, 3);
});

Deno.test("ConsumerRing.peek() finds nothing in an empty ring", () => {
  const consumer = new FakeRing(8, "addr").asConsumer();
  assert.equal(consumer.peek(8), 0);
});

Deno.test("ProducerRing.needsWakeup() is the kernel's flag", () => {
  const ring = new FakeRing(8, "addr");
  const producer = ring.asProducer();
  assert.equal(producer.needsWakeup(), false);
  ring.setNeedWakeup(true);
  assert.equal(producer.needsWakeup(), true);
});

Deno.test("rings neither lose, repeat nor reorder entries in any interleaving", () => {
  const step = fc.record({ ours: fc.nat(12), left: fc.nat(3), theirs: fc.nat(12) });
  const start = fc.constantFrom(...Object.values(STARTS));
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), start, (steps, from) => {
    const ring = new FakeRing(16, "addr", from);
    const producer = ring.asProducer();
    let sent = 0;
    let got = 0;
    for (const { ours, left, theirs } of steps) {
      const room = producer.room(ours);
      assert.ok(room <= 16 - ring.held);
      const reserved = producer.reserve(Math.max(0, room - left));
      assert.equal(reserved, Math.max(0, room - left));
      const first = (producer.producer - reserved) | 0;
      for (let index = 0; index < reserved; index++) producer.words[producer.addrAt((first + index) | 0)] = sent++;
      producer.submit();
      for (let index = 0; index < theirs; index++) {
        const entry = ring.consume();
        if (entry === undefined) break;
        assert.equal(entry.addr, got++);
      }
    }
    assert.equal(sent - got, ring.held);
  }));
});

/** What the order of stores and loads is for: with a small ring each entry is written again as soon as it was read. */
Deno.test("a ring carries entries in order from one thread to another", async () => {
  const entries = 2_000_000;
  const layout = { producer: 0, consumer: 32, flags: 49, entries: 80, size: 64 };
  const memory = new SharedArrayBuffer(4 * (layout.entries + (layout.size << ADDR_SHIFT)));
  const peer = new Worker(new URL("../../tests/support/ring_peer.ts", import.meta.url), { type: "module" });
  const answer = (): Promise<MessageEvent> => new Promise((resolve) => peer.onmessage = resolve);
  try {
    await answer();
    const taken = answer();
    peer.postMessage({ memory, layout, entries } satisfies RingPeerJob);
    produce(new ProducerRing(new Int32Array(memory), layout), entries);
    assert.equal((await taken).data, entries);
  } finally {
    peer.terminate();
  }
});

function produce(ring: ProducerRing, entries: number): void {
  const { words } = ring;
  const patience = new Patience();
  for (let next = 0; next < entries;) {
    const first = ring.producer;
    const reserved = ring.reserve(Math.min(16, entries - next));
    if (reserved === 0) {
      patience.wait();
      continue;
    }
    for (let index = 0; index < reserved; index++) words[ring.addrAt((first + index) | 0)] = next++;
    ring.submit();
    patience.renew();
  }
}
