/**
 * What one worker has in hand of one queue's chunks, in memory that others see: where its thread does not go on, the
 * next one gives them back. A chunk that nobody knows of would be lost until the queue is opened again, and which ones
 * the kernel has cannot be found out: it keeps some that are in no ring.
 *
 * @module
 */

/** Chunks a worker has in hand to copy packets into. As long as they last, it does not matter who holds the lock. */
export const MAX_STOCK = 512;

const RETURNED_COUNT = 0;
const STOCK_COUNT = 1;
/** What was taken out of the rx ring up to the last exchange: the ring's index. */
const EXCHANGED = 2;
/** Which opening of the queue this is about. */
const OPENED = 3;
const STOCK = 8;
const RETURNED = STOCK + MAX_STOCK;

/** Words of one queue's part. */
export function chunkHandWords(chunks: number): number {
  return RETURNED + chunks;
}

/** One queue's part. Written by whoever has the end. */
export class ChunkHand {
  readonly returned: Int32Array;
  readonly stock: Int32Array;
  readonly #words: Int32Array;

  /** @param memory From `byteOffset` on, {@linkcode chunkHandWords}. Default: memory of its own. */
  constructor(chunks: number, memory: ArrayBufferLike = new ArrayBuffer(chunkHandWords(chunks) * 4), byteOffset = 0) {
    this.#words = new Int32Array(memory, byteOffset, chunkHandWords(chunks));
    this.stock = this.#words.subarray(STOCK, STOCK + MAX_STOCK);
    this.returned = this.#words.subarray(RETURNED);
  }

  get returnedCount(): number {
    return this.#words[RETURNED_COUNT]!;
  }

  set returnedCount(count: number) {
    this.#words[RETURNED_COUNT] = count;
  }

  get stockCount(): number {
    return this.#words[STOCK_COUNT]!;
  }

  set stockCount(count: number) {
    this.#words[STOCK_COUNT] = count;
  }

  get exchanged(): number {
    return this.#words[EXCHANGED]!;
  }

  set exchanged(index: number) {
    this.#words[EXCHANGED] = index;
  }

  get opened(): number {
    return this.#words[OPENED]!;
  }

  /** Nothing is in hand of an end that was just taken. @param taken The rx ring's index. */
  begin(opened: number, taken: number): void {
    this.returnedCount = this.stockCount = 0;
    this.exchanged = taken;
    this.#words[OPENED] = opened;
  }
}
