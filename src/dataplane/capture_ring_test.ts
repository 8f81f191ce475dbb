import assert from "node:assert/strict";
import fc from "fast-check";
import { CAPTURE_IDS, CaptureRingReader, CaptureRingWriter, createCaptureRing } from "./capture_ring.ts";

const PORTS = 2;
const BYTES = 4096;

/** Packet memory in which byte `index` is a function of the index, of a size that is no multiple of four. */
function packetMemory(bytes: number): DataView {
  return new DataView(Uint8Array.from({ length: bytes }, (_, index) => (index * 7 + (index >> 8)) & 0xff).buffer);
}

const MEMORY = packetMemory(1021);

function taken(reader: CaptureRingReader): Uint8Array {
  const words = new Int32Array(512);
  reader.copyTo(words, 3);
  return new Uint8Array(words.buffer, 12, (reader.captured + 3) & ~3);
}

Deno.test("a ring gives back every packet it had room for, in order, and counts the others", () => {
  const put = fc.record({
    addr: fc.integer({ min: 0, max: 1020 }),
    length: fc.integer({ min: 1, max: 2000 }),
    snap: fc.integer({ min: 1, max: 600 }),
    id: fc.integer({ min: 1, max: CAPTURE_IDS - 1 }),
    port: fc.integer({ min: 0, max: PORTS - 1 }),
  });
  const step = fc.oneof({ arbitrary: put, weight: 4 }, { arbitrary: fc.constant("take" as const), weight: 1 });
  const starts = fc.constantFrom(0, 0x7fffffff - 200, -200); // just below where 32-bit arithmetic could go wrong
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), starts, (steps, start) => {
    const memory = createCaptureRing(PORTS, BYTES);
    const control = new Int32Array(memory);
    control[0] = control[16] = start;
    const writer = new CaptureRingWriter(memory, PORTS);
    const reader = new CaptureRingReader(memory, PORTS);
    const expected: { addr: number; captured: number; length: number; id: number; port: number; time: number }[] = [];
    const drops = new Map<string, number>();
    let time = 0;
    const take = (): void => {
      reader.look();
      assert.equal(reader.next(), false, "nothing is visible before publish");
      writer.publish();
      reader.look();
      while (reader.next()) {
        const packet = expected.shift()!;
        const { captured, length, id, port, seconds, nanoseconds } = reader;
        assert.deepEqual(
          { captured, length, id, port, seconds, nanoseconds },
          {
            captured: packet.captured,
            length: packet.length,
            id: packet.id,
            port: packet.port,
            seconds: packet.time,
            nanoseconds: packet.time * 2,
          },
        );
        const whole = new Uint8Array((captured + 3) & ~3);
        whole.set(new Uint8Array(MEMORY.buffer, packet.addr, captured));
        assert.deepEqual(taken(reader), whole);
      }
      assert.equal(expected.length, 0);
      reader.release();
    };
    for (const each of steps) {
      if (each === "take") {
        take();
        continue;
      }
      const { addr, length, id, port } = each;
      const captured = Math.min(length, each.snap, 1021 - addr);
      time++;
      if (writer.put(MEMORY, addr, length, captured, id, port, Int32Array.of(time, 0, time * 2, 0))) {
        expected.push({ addr, captured, length, id, port, time });
      } else {
        drops.set(`${id} ${port}`, (drops.get(`${id} ${port}`) ?? 0) + 1);
      }
    }
    take();
    for (let id = 0; id < CAPTURE_IDS; id++) {
      for (let port = 0; port < PORTS; port++) assert.equal(reader.dropped(id, port), drops.get(`${id} ${port}`) ?? 0);
    }
  }));
});

Deno.test("put() fills a ring to its last word, and not one more", () => {
  const memory = createCaptureRing(1, BYTES);
  const writer = new CaptureRingWriter(memory, 1);
  const time = new Int32Array(4);
  const put = (captured: number): boolean => writer.put(MEMORY, 0, captured, captured, 1, 0, time);
  const half = (BYTES / 2) - 24;
  const large = packetMemory(half);
  assert.ok(writer.put(large, 0, half, half, 1, 0, time));
  assert.ok(writer.put(large, 0, half, half, 1, 0, time));
  assert.equal(put(1), false);
  const reader = new CaptureRingReader(memory, 1);
  writer.publish();
  reader.look();
  assert.ok(reader.next());
  assert.equal(put(1), false, "room comes back with release(), not before");
  reader.release();
  assert.ok(put(1));
  assert.equal(reader.dropped(1, 0), 2);
});

/**
 * Puts `count` packets in as fast as it can, 64 at a time, each with its number as time and at a place that depends on
 * it.
 */
const PRODUCER = `
import { CaptureRingWriter } from "${new URL("./capture_ring.ts", import.meta.url)}";
self.onmessage = ({ data: { memory, count, bytes } }) => {
  const ring = new CaptureRingWriter(memory, 1);
  const view = new DataView(new Uint8Array(bytes).buffer);
  for (let index = 0; index < view.byteLength; index++) view.setUint8(index, (index * 7 + (index >> 8)) & 0xff);
  const time = new Int32Array(4);
  let put = 0;
  for (let number = 1; number <= count; number++) {
    time[0] = number;
    const length = 1 + number % 300;
    if (ring.put(view, number % 700, length, length, 1 + number % 3, 0, time)) put++;
    if (number % 64 === 0) ring.publish();
  }
  ring.publish();
  self.postMessage(put);
};`;

Deno.test("two threads: what one puts in, the other takes out unharmed and in order, or it is counted", async () => {
  const COUNT = 400_000;
  const memory = createCaptureRing(1, 64 * 1024);
  const thread = new Worker(`data:application/typescript,${encodeURIComponent(PRODUCER)}`, { type: "module" });
  try {
    let put: number | undefined;
    let failure: string | undefined;
    thread.onmessage = ({ data }) => put = data;
    thread.onerror = (event) => {
      event.preventDefault();
      failure = event.message;
    };
    thread.postMessage({ memory, count: COUNT, bytes: MEMORY.byteLength });
    const reader = new CaptureRingReader(memory, 1);
    let last = 0;
    let taken = 0;
    let faults = 0;
    const words = new Int32Array(256);
    const bytes = new Uint8Array(words.buffer);
    const drain = (): void => {
      reader.look();
      while (reader.next()) {
        const number = reader.seconds;
        const length = 1 + number % 300;
        if (number <= last || reader.captured !== length || reader.id !== 1 + number % 3) faults++;
        reader.copyTo(words, 0);
        for (let index = 0; index < length; index++) {
          const at = number % 700 + index;
          if (bytes[index] !== ((at * 7 + (at >> 8)) & 0xff)) faults++;
        }
        last = number;
        taken++;
      }
      reader.release();
    };
    while (put === undefined && failure === undefined) {
      drain();
      // Now and then the reader is away for a while, so that the ring gets full.
      await new Promise((resolve) => setTimeout(resolve, taken % 5));
    }
    assert.equal(failure, undefined);
    drain();
    const dropped = [1, 2, 3].reduce((sum, id) => sum + reader.dropped(id, 0), 0);
    assert.equal(faults, 0);
    assert.equal(taken, put);
    assert.equal(taken + dropped, COUNT);
    assert.ok(taken > 0 && dropped > 0, `both happen: ${taken} taken, ${dropped} dropped`);
  } finally {
    thread.terminate();
  }
});
