/**
 * Keeps a sender to a rate.
 *
 * @module
 */

/** Time the event loop is left alone for at most. */
const YIELD_MS = 10;
/** A sender that is ahead by less does not sleep: a timer is not finer. */
const AHEAD_MS = 1;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Pacer {
  readonly #packetsPerMs: number;
  readonly #start = performance.now();
  #lastYield = this.#start;

  /** @param ratePps As fast as can be where undefined. */
  constructor(ratePps: number | undefined) {
    this.#packetsPerMs = (ratePps ?? Infinity) / 1000;
  }

  get elapsedMs(): number {
    return performance.now() - this.#start;
  }

  /** How many packets may be sent at once without being far ahead; at least 1. */
  burst(most: number): number {
    return Math.max(1, Math.min(most, Math.ceil(this.#packetsPerMs * AHEAD_MS)));
  }

  /** Sleeps if `sent` packets are ahead of the rate, and gives the event loop a turn now and then in any case. */
  async keep(sent: number): Promise<void> {
    const now = performance.now();
    const aheadMs = sent / this.#packetsPerMs - (now - this.#start);
    if (aheadMs >= AHEAD_MS) await sleep(aheadMs);
    else if (now - this.#lastYield >= YIELD_MS) await sleep(0);
    else return;
    this.#lastYield = performance.now();
  }
}
