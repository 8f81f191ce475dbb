/**
 * A clock that stands still until a test moves it.
 *
 * @module
 */
import type { Timers } from "../../src/host/timers.ts";

interface Entry {
  atMs: number;
  readonly everyMs: number | undefined;
  readonly work: () => void;
}

export class FakeTimers implements Timers {
  #nowMs = 0;
  readonly #entries = new Set<Entry>();

  now(): number {
    return this.#nowMs;
  }

  date(): Date {
    return new Date(this.#nowMs);
  }

  after(ms: number, work: () => void): Disposable {
    return this.#add({ atMs: this.#nowMs + ms, everyMs: undefined, work });
  }

  every(ms: number, work: () => void): Disposable {
    return this.#add({ atMs: this.#nowMs + ms, everyMs: ms, work });
  }

  /** Timers that are set. */
  get count(): number {
    return this.#entries.size;
  }

  /** Lets time pass, with everything that comes of it. */
  async pass(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    await quiet();
    while (true) {
      const [next] = [...this.#entries].filter(({ atMs }) => atMs <= end).sort((one, other) => one.atMs - other.atMs);
      if (next === undefined) break;
      this.#nowMs = next.atMs;
      if (next.everyMs === undefined) this.#entries.delete(next);
      else next.atMs += next.everyMs;
      next.work();
      await quiet();
    }
    this.#nowMs = end;
  }

  #add(entry: Entry): Disposable {
    this.#entries.add(entry);
    return { [Symbol.dispose]: () => void this.#entries.delete(entry) };
  }
}

/** Resolves when all that can go on without time passing has gone on. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}
