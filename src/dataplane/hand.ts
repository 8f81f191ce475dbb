/**
 * What one worker has in its hands, in memory that outlives its thread: packets it decides on, packets that wait, and
 * chunks. A thread that never goes on is followed by another one, which finds all of that here.
 *
 * @module
 */
import { ChunkHand, chunkHandWords } from "../xsk/hand.ts";
import { Batch, BATCH_BYTES } from "./batch.ts";
import { Parking, PARKING_BYTES } from "./parking.ts";

const LINE_BYTES = 64;
const aligned = (bytes: number): number => Math.ceil(bytes / LINE_BYTES) * LINE_BYTES;

/** 1 while a thread has the worker's ends. */
const HELD = 0;
const BATCH_AT = LINE_BYTES;
const PARKED_AT = BATCH_AT + aligned(BATCH_BYTES);
const PARKING_AT = PARKED_AT + aligned(BATCH_BYTES);
const ENDS_AT = PARKING_AT + aligned(PARKING_BYTES);

/** @param chunks Of the queue of each place. */
export function handBytes(chunks: readonly number[]): number {
  return chunks.reduce((sum, count) => sum + aligned(chunkHandWords(count) * 4), ENDS_AT);
}

export class Hand {
  /** The packets that are being decided on. */
  readonly batch: Batch;
  /** The same of packets that were parked. */
  readonly parkedBatch: Batch;
  readonly parking: Parking;
  /** By place. */
  readonly ends: readonly ChunkHand[];
  readonly #words: Int32Array;

  /** @param chunks Of the queue of each place. @param memory Of {@linkcode handBytes}; default: of its own. */
  constructor(chunks: readonly number[], readonly memory: ArrayBufferLike = new ArrayBuffer(handBytes(chunks))) {
    this.#words = new Int32Array(memory, 0, 1);
    this.batch = new Batch(memory, BATCH_AT);
    this.parkedBatch = new Batch(memory, PARKED_AT);
    this.parking = new Parking(memory, PARKING_AT);
    let at = ENDS_AT;
    this.ends = chunks.map((count) => {
      const hand = new ChunkHand(count, memory, at);
      at += aligned(chunkHandWords(count) * 4);
      return hand;
    });
  }

  /** Whether a thread has the worker's ends, or had them and did not give them up. */
  get isHeld(): boolean {
    return this.#words[HELD] !== 0;
  }

  set isHeld(isHeld: boolean) {
    this.#words[HELD] = isHeld ? 1 : 0;
  }
}
