/**
 * Packets that wait for the link address of their backend's next hop: a few of each worker, for a short time.
 *
 * @module
 */
import type { Batch } from "./batch.ts";

/** Packets one worker keeps waiting. */
export const PARK_MAX = 64;
/** How long one waits. */
const PARK_MS = 1000;

export class Parking {
  count = 0;
  readonly #port = new Int32Array(PARK_MAX);
  readonly #addr = new Int32Array(PARK_MAX);
  readonly #length = new Int32Array(PARK_MAX);
  readonly #sinceMs = new Float64Array(PARK_MAX);

  /** True while there is room for a whole batch more. A packet that finds none is decided on at once. */
  hasRoom(packets: number): boolean {
    return this.count + packets <= PARK_MAX;
  }

  /** Keeps the packets of a batch that are to be parked. */
  keep(batch: Batch, park: number, port: number, nowMs: number): void {
    for (let index = 0; index < batch.count; index++) {
      if (batch.disposal[index] !== park) continue;
      this.#port[this.count] = port;
      this.#addr[this.count] = batch.addr[index]!;
      this.#length[this.count] = batch.length[index]!;
      this.#sinceMs[this.count++] = nowMs;
    }
  }

  /** Whether the one that has waited longest has waited long enough. */
  isOver(nowMs: number): boolean {
    return this.count > 0 && nowMs - this.#sinceMs[0]! >= PARK_MS;
  }

  /** Moves all packets of a port into a batch, in the order in which they came. */
  takeInto(batch: Batch, port: number): void {
    batch.count = 0;
    let left = 0;
    for (let index = 0; index < this.count; index++) {
      if (this.#port[index] === port) {
        batch.addr[batch.count] = this.#addr[index]!;
        batch.length[batch.count++] = this.#length[index]!;
        continue;
      }
      this.#port[left] = this.#port[index]!;
      this.#addr[left] = this.#addr[index]!;
      this.#length[left] = this.#length[index]!;
      this.#sinceMs[left++] = this.#sinceMs[index]!;
    }
    this.count = left;
  }
}
