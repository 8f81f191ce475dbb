/**
 * The packets a worker has in its hands: columns, made once and used again for every batch.
 *
 * @module
 */

/** Packets per batch: enough to spread the cost of an atomic, few enough to stay in the first-level cache. */
export const BATCH_SIZE = 64;

/** What the loop is to do with a packet after processing. */
export const DISPOSAL = {
  /** Done with: its chunk goes back. */
  recycle: 0,
  /** Goes to the tx ring of the socket it came from. */
  transmit: 1,
  /** Is not decided on yet: kept, to be processed again. */
  park: 2,
} as const;

export class Batch {
  count = 0;
  /** Offset of each packet in its UMEM. */
  readonly addr = new Int32Array(BATCH_SIZE);
  /** Bytes in the frame. */
  readonly length = new Int32Array(BATCH_SIZE);
  /** One of {@linkcode DISPOSAL}; written by processing. */
  readonly disposal = new Int32Array(BATCH_SIZE);
  /** Slot of the rule of each packet that is parked. */
  readonly rule = new Uint16Array(BATCH_SIZE);
}
