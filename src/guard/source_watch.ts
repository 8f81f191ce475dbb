/**
 * Which sources send most, for as long as somebody asks: the XDP program counts them from the first question until ten
 * seconds after the last.
 *
 * @module
 */
import { messageOf } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import { compareSenders, type SenderRates, type SenderReading } from "../steering/senders.ts";

/** The counts, while they are kept. */
export interface SenderCounts extends Disposable {
  read(): SenderReading;
}

export interface SourceWatchOptions {
  /** Begins to count. */
  readonly open: () => SenderCounts;
  readonly timers?: Timers;
}

/** What was sent in an interval, the last one that is over. */
export interface WatchedSources extends SenderRates {
  readonly intervalMs: number;
}

const INTERVAL_MS = 1000;
const UNASKED_MS = 10_000;

const log = logger("sources");

interface Watch {
  readonly counts: SenderCounts;
  readonly first: PromiseWithResolvers<WatchedSources>;
  readonly timer: Disposable;
  last: { readonly atMs: number; readonly reading: SenderReading };
  latest: WatchedSources | undefined;
}

export class SourceWatch implements Disposable {
  readonly #timers: Timers;
  #watch: Watch | undefined;
  #askedMs = 0;
  #disposed = false;

  constructor(private readonly options: SourceWatchOptions) {
    this.#timers = options.timers ?? SYSTEM_TIMERS;
  }

  /** True while the XDP program counts. */
  get isOn(): boolean {
    return this.#watch !== undefined;
  }

  /**
   * The last interval. The first question waits for one to end.
   *
   * @throws {SteerError} where the kernel does not let it count.
   */
  async ask(): Promise<WatchedSources> {
    this.#askedMs = this.#timers.now();
    this.#watch ??= this.#begin();
    return this.#watch.latest ?? await this.#watch.first.promise;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#end();
  }

  #begin(): Watch {
    if (this.#disposed) throw new Error("It is stopped");
    const counts = this.options.open();
    const first = Promise.withResolvers<WatchedSources>();
    first.promise.catch(() => {}); // whoever cares awaits it
    const last = { atMs: this.#timers.now(), reading: counts.read() };
    const timer = this.#timers.every(INTERVAL_MS, () => this.#look());
    return { counts, first, last, timer, latest: undefined };
  }

  #look(): void {
    const watch = this.#watch;
    if (watch === undefined) return;
    const now = this.#timers.now();
    if (now - this.#askedMs > UNASKED_MS) return this.#end();
    try {
      const reading = watch.counts.read();
      watch.latest = { intervalMs: now - watch.last.atMs, ...compareSenders(watch.last.reading, reading) };
      watch.last = { atMs: now, reading };
      watch.first.resolve(watch.latest);
    } catch (error) {
      log.error("Cannot read who sends most: {reason}", { reason: messageOf(error) });
      this.#end(error);
    }
  }

  #end(error: unknown = new Error("xdpsteer is stopping")): void {
    const watch = this.#watch;
    this.#watch = undefined;
    if (watch === undefined) return;
    watch.timer[Symbol.dispose]();
    watch.counts[Symbol.dispose]();
    watch.first.reject(error);
  }
}
