/**
 * How a worker tells that it has decided on every packet that it had when the control thread asked. After a change, and
 * an RCU grace period, it has no packet any more that was steered by what was in force before.
 *
 * @module
 */
import type { Parking } from "./parking.ts";
import type { QueueEnd } from "./queue_end.ts";

type End = Pick<QueueEnd, "markReceived" | "isPastMark">;

export class PassMark {
  /** Number of the control thread's question. */
  asked = 0;
  /** True until it is answered. Hot path. */
  pending = false;
  #ringsPassed = false;
  #ringsPassedMs = 0;

  note(asked: number, ends: readonly End[]): void {
    this.asked = asked;
    this.pending = true;
    this.#ringsPassed = false;
    for (const end of ends) end.markReceived();
  }

  /** @returns True when it can be answered. To be called when all that was received has been decided on, or parked. */
  look(ends: readonly End[], parking: Pick<Parking, "hasSince">, nowMs: number): boolean {
    if (!this.#ringsPassed) {
      if (!ends.every((end) => end.isPastMark)) return false;
      this.#ringsPassed = true;
      this.#ringsPassedMs = nowMs;
    }
    if (parking.hasSince(this.#ringsPassedMs)) return false;
    this.pending = false;
    return true;
  }
}
