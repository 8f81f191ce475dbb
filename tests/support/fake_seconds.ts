/**
 * A clock for History that moves when told to.
 *
 * @module
 */
import type { HistoryClock } from "../../src/observe/history.ts";

export class FakeSeconds implements HistoryClock {
  nowMs = 5000;
  readonly #runs = new Set<() => void>();

  readonly now = (): number => this.nowMs;

  readonly everySecond = (run: () => void): () => void => {
    this.#runs.add(run);
    return () => void this.#runs.delete(run);
  };

  /** How many are called each second. */
  get running(): number {
    return this.#runs.size;
  }

  pass(ms = 1000): void {
    this.nowMs += ms;
    for (const run of this.#runs) run();
  }
}
