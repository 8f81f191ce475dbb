/**
 * How one thread waits for another that does not wake it: it spins, and leaves the CPU before it has spun for long. The
 * other thread may need that CPU.
 *
 * @module
 */

/** Looks before it sleeps: some microseconds. */
const LOOKS = 1000;
const SLEEP_MS = 0.05;
/** Sleeps in a row, after which nothing is to be expected any more: minutes. */
const SLEEPS_MAX = 1_000_000;

export class Patience {
  readonly #word = new Int32Array(new SharedArrayBuffer(4));
  #looks = 0;

  /** To be called after each look that found nothing. @throws {Error} when it has waited for minutes. */
  wait(): void {
    if (++this.#looks < LOOKS) return;
    if (this.#looks > LOOKS + SLEEPS_MAX) throw new Error("the other thread does nothing");
    Atomics.wait(this.#word, 0, 0, SLEEP_MS);
  }

  /** A look has found something. */
  renew(): void {
    this.#looks = 0;
  }
}
