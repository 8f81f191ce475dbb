/**
 * Packets that wait for the link address of their backend's next hop: a few of each worker, for a short time. Each is
 * decided on again by the rule for which it came, whatever rules are in force by then.
 *
 * @module
 */
import { type Batch, DISPOSAL } from "./batch.ts";

/** Packets one worker keeps waiting. */
export const PARK_MAX = 64;
/** How long one waits: as long as the kernel asks for a neighbour, three times a second apart, before it gives up. */
const PARK_MS = 3000;

const { park } = DISPOSAL;
/** A word for the count, and columns. */
const COLUMN_BYTES = PARK_MAX * Int32Array.BYTES_PER_ELEMENT;
export const PARKING_BYTES = Int32Array.BYTES_PER_ELEMENT + 3 * COLUMN_BYTES;

export class Parking {
  count = 0;
  readonly #count: Int32Array;
  readonly #port: Int32Array;
  readonly #addr: Int32Array;
  readonly #length: Int32Array;
  readonly #rule = new Uint16Array(PARK_MAX);
  readonly #sinceMs = new Float64Array(PARK_MAX);
  /** Of the packets taken last. */
  readonly #takenSinceMs = new Float64Array(PARK_MAX);

  /** @param memory {@linkcode PARKING_BYTES} from `byteOffset` on, that others see. Default: memory of its own. */
  constructor(memory: ArrayBufferLike = new ArrayBuffer(PARKING_BYTES), byteOffset = 0) {
    this.#count = new Int32Array(memory, byteOffset, 1);
    const column = (number: number): Int32Array =>
      new Int32Array(memory, byteOffset + Int32Array.BYTES_PER_ELEMENT + number * COLUMN_BYTES, PARK_MAX);
    [this.#port, this.#addr, this.#length] = [column(0), column(1), column(2)];
  }

  /** Goes on with what another thread has left. Which rules they are of, and since when they wait, is not known. */
  resume(): void {
    this.count = this.#count[0]!;
    this.#sinceMs.fill(0);
  }

  /** True while there is room for a whole batch more. A packet that finds none is decided on at once. */
  hasRoom(packets: number): boolean {
    return this.count + packets <= PARK_MAX;
  }

  /** Keeps the packets of a batch that are to be parked, and have come now. */
  keep(batch: Batch, port: number, nowMs: number): void {
    for (let index = 0; index < batch.count; index++) {
      if (batch.disposal[index] === park) this.#add(batch, index, port, nowMs);
    }
  }

  /** Keeps the packets of a batch from {@linkcode takeInto} that still have to wait: no longer than they would have. */
  keepOn(batch: Batch, port: number): void {
    for (let index = 0; index < batch.count; index++) {
      if (batch.disposal[index] === park) this.#add(batch, index, port, this.#takenSinceMs[index]!);
    }
  }

  #add(batch: Batch, index: number, port: number, sinceMs: number): void {
    this.#port[this.count] = port;
    this.#addr[this.count] = batch.addr[index]!;
    this.#length[this.count] = batch.length[index]!;
    this.#rule[this.count] = batch.rule[index]!;
    this.#sinceMs[this.count++] = sinceMs;
    this.#count[0] = this.count;
  }

  /** How many packets of a port there are. */
  countOf(port: number): number {
    let count = 0;
    for (let index = 0; index < this.count; index++) if (this.#port[index] === port) count++;
    return count;
  }

  /** True while there is a packet that has waited since `sinceMs` or longer. */
  hasSince(sinceMs: number): boolean {
    for (let index = 0; index < this.count; index++) {
      if (this.#sinceMs[index]! <= sinceMs) return true;
    }
    return false;
  }

  /** The latest time since which a packet has waited long enough. */
  static overSince(nowMs: number): number {
    return nowMs - PARK_MS;
  }

  /**
   * Moves the packets of a port that have waited since `sinceMs` or longer into a batch, in the order in which they
   * came.
   */
  takeInto(batch: Batch, port: number, sinceMs: number): void {
    batch.count = 0;
    let left = 0;
    for (let index = 0; index < this.count; index++) {
      if (this.#port[index] === port && this.#sinceMs[index]! <= sinceMs) {
        this.#takenSinceMs[batch.count] = this.#sinceMs[index]!;
        batch.addr[batch.count] = this.#addr[index]!;
        batch.rule[batch.count] = this.#rule[index]!;
        batch.length[batch.count++] = this.#length[index]!;
        continue;
      }
      this.#port[left] = this.#port[index]!;
      this.#addr[left] = this.#addr[index]!;
      this.#length[left] = this.#length[index]!;
      this.#rule[left] = this.#rule[index]!;
      this.#sinceMs[left++] = this.#sinceMs[index]!;
    }
    this.count = left;
    this.#count[0] = left;
  }
}
