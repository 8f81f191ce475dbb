import assert from "node:assert/strict";
import { MappedMemory } from "../ffi/memory.ts";
import { ADDR_SHIFT, DESC_SHIFT } from "./ring.ts";
import { type StandingQueue, StandingRing, takeCensus } from "./census.ts";

const SIZE = 8;
const CHUNKS = 12;
const CHUNK = 2048;
const SPARES = [11 * CHUNK];
const [PRODUCER, CONSUMER, ENTRIES] = [0, 1, 8];

/** A ring of which `consumed` were taken, and these wait; with what was put in before in the places of those. */
function ring(
  shift: number,
  consumed: number,
  waiting: readonly number[],
  before: readonly number[] = [],
): StandingRing {
  const memory = MappedMemory.anonymous(4096, "a ring of a test").address;
  const layout = { producer: PRODUCER, consumer: CONSUMER, flags: 2, entries: ENTRIES, size: SIZE };
  const standing = new StandingRing({ memory, layout }, shift);
  const words = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(memory.address)!, 4096));
  words[CONSUMER] = consumed;
  words[PRODUCER] = (consumed + waiting.length) | 0;
  const put = (index: number, chunk: number): void => {
    words[ENTRIES + ((index & (SIZE - 1)) << shift)] = chunk * CHUNK;
  };
  before.forEach((chunk, index) => put(consumed - before.length + index, chunk));
  waiting.forEach((chunk, index) => put(consumed + index, chunk));
  return standing;
}

/** A queue with one worker. */
function queue(
  { fill, completion, rx, tx }: Record<keyof StandingQueue, readonly [number, readonly number[], (readonly number[])?]>,
): StandingQueue {
  return {
    fill: ring(ADDR_SHIFT, ...fill),
    completion: ring(ADDR_SHIFT, ...completion),
    rx: [ring(DESC_SHIFT, ...rx)],
    tx: [ring(DESC_SHIFT, ...tx)],
  };
}

const chunksOf = (addresses: readonly number[]): number[] => addresses.map((address) => address / CHUNK);

Deno.test("takeCensus() finds what is in no ring, wherever the indexes are", () => {
  for (const offset of [0, 2 ** 31 - 4, -4]) {
    const standing = queue({
      fill: [offset + 7, [0, 1]],
      rx: [offset + 5, [2, 3]],
      tx: [offset + 4, [4]],
      completion: [offset + 2, [5, 6]],
    });
    const { free, lent, lost } = takeCensus(standing, CHUNKS, CHUNK, SPARES);
    assert.deepEqual([chunksOf(free), lent, lost], [[11, 7, 8, 9, 10], 4, 0], `${offset}`);
  }
});

Deno.test("takeCensus() leaves the chunk alone for which the kernel has had no room in an rx ring", () => {
  const standing = queue({ fill: [8, [0], [7]], rx: [5, [2, 3]], tx: [0, []], completion: [0, []] });
  const { free, lent, lost } = takeCensus(standing, CHUNKS, CHUNK, SPARES);
  assert.deepEqual([chunksOf(free), lent, lost], [[11, 1, 4, 5, 6, 8, 9, 10], 4, 0]);
});

Deno.test("takeCensus() gives only spares out where the kernel has more, or it cannot be told which", () => {
  for (const consumed of [6, 9, 11]) {
    const standing = queue({ fill: [consumed, [0], [7]], rx: [5, [2, 3]], tx: [0, []], completion: [0, []] });
    assert.deepEqual(takeCensus(standing, CHUNKS, CHUNK, SPARES), {
      free: SPARES,
      lent: 3 + consumed - 7,
      lost: consumed === 6 ? 8 : 8 - (consumed - 7),
    });
  }
});

Deno.test("takeCensus() leaves alone what the kernel may be sending", () => {
  const standing = queue({ fill: [7, [0, 1]], rx: [5, [2, 3]], tx: [3, [4], [8, 9, 10]], completion: [1, [5]] });
  // Of the three that were taken, two are sent; the rest of that ring is of chunk 0.
  assert.deepEqual(chunksOf(takeCensus(standing, CHUNKS, CHUNK, SPARES).free), [11, 6, 7]);
});
