/**
 * So many of something in a second.
 *
 * @module
 */
import { ticksOf } from "../steering/session_row.ts";

const SECOND_TICKS = ticksOf(1000);

export class RateLimit {
  readonly #perSecond: number;
  #since = -SECOND_TICKS;
  #taken = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** False when this second's are used up. Hot path: no allocation. @param now Ticks. */
  hasRoom(now: number): boolean {
    if (now - this.#since >= SECOND_TICKS) {
      this.#since = now;
      this.#taken = 0;
    }
    return this.#taken < this.#perSecond;
  }

  /** Takes one. Hot path: no allocation. @param now Ticks. @returns False when there is no room. */
  take(now: number): boolean {
    if (!this.hasRoom(now)) return false;
    this.#taken++;
    return true;
  }
}
