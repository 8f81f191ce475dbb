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
  /** Is somebody else's: another thread has seen to it. */
  gone: 3,
} as const;

/** Words about a batch in hand, before its columns. */
const PLACE = 0; // of the end it is from, plus 1; 0: nothing is in hand
const COUNT = 1;
const SENT = 2; // 1: what was to be sent has been handed to the kernel
const COLUMNS = 4;
export const BATCH_BYTES = (COLUMNS + 3 * BATCH_SIZE) * Int32Array.BYTES_PER_ELEMENT +
  BATCH_SIZE * Uint16Array.BYTES_PER_ELEMENT;

export class Batch {
  count = 0;
  /** Offset of each packet in its UMEM. */
  readonly addr: Int32Array;
  /** Bytes in the frame. */
  readonly length: Int32Array;
  /** One of {@linkcode DISPOSAL}; written by processing. */
  readonly disposal: Int32Array;
  /** Slot of the rule of each packet that is parked. */
  readonly rule: Uint16Array;
  readonly #words: Int32Array;

  /** @param memory {@linkcode BATCH_BYTES} from `byteOffset` on, that others see. Default: memory of its own. */
  constructor(memory: ArrayBufferLike = new ArrayBuffer(BATCH_BYTES), byteOffset = 0) {
    const at = (column: number): number => byteOffset + (COLUMNS + column * BATCH_SIZE) * 4;
    this.#words = new Int32Array(memory, byteOffset, COLUMNS);
    this.addr = new Int32Array(memory, at(0), BATCH_SIZE);
    this.length = new Int32Array(memory, at(1), BATCH_SIZE);
    this.disposal = new Int32Array(memory, at(2), BATCH_SIZE);
    this.rule = new Uint16Array(memory, at(3), BATCH_SIZE);
  }

  /** Notes that its packets are in hand, of an end. Hot path: once per batch. */
  hold(place: number): void {
    this.#words[COUNT] = this.count;
    this.#words[SENT] = 0;
    this.#words[PLACE] = place + 1;
  }

  /** Notes that its packets to be sent are the kernel's. */
  noteSent(): void {
    this.#words[SENT] = 1;
  }

  /** Notes that nothing of it is in hand any more. Hot path: once per batch. */
  letGo(): void {
    this.#words[PLACE] = 0;
  }

  /**
   * Goes on with what another thread has left. What it has sent is nobody's here.
   *
   * @returns The place of the end it is from; -1: it had none in hand.
   */
  resume(): number {
    const place = this.#words[PLACE]! - 1;
    this.count = place < 0 ? 0 : this.#words[COUNT]!;
    if (this.#words[SENT] === 0) return place;
    for (let at = 0; at < this.count; at++) {
      if (this.disposal[at] === DISPOSAL.transmit) this.disposal[at] = DISPOSAL.gone;
    }
    return place;
  }
}
