/**
 * Times in which the process did not run though it should have: somebody stopped it, or the machine stood still. Nobody
 * can tell of it meanwhile, so the control thread looks how late it is when it runs again.
 *
 * @module
 */
import { bootMs, threadCpuMs } from "../ffi/clock.ts";
import { logger } from "../log.ts";
import { secondsText } from "../text.ts";
import { waitedForCpuMs } from "./threads.ts";
import { SYSTEM_TIMERS, type Timers } from "./timers.ts";

const LOOK_MS = 250;
/** Shorter ones are not told from a machine that is busy. */
const PAUSE_MS = 1000;

const log = logger("pauses");

/** What a pause is told by, each in milliseconds that only grow. */
export interface PauseClocks {
  /** Time, also while the machine is suspended. */
  passed(): number;
  /** Time in which the control thread had a CPU. */
  ran(): number;
  /** Time in which it was ready to run and had none. */
  waited(): number;
}

/** Those of this process. */
const SYSTEM_CLOCKS: PauseClocks = {
  passed: bootMs,
  ran: () => threadCpuMs(Deno.pid) ?? 0, // the control thread is the first one, which has the process's number
  waited: () => waitedForCpuMs(Deno.pid) ?? 0,
};

export interface Pause {
  /** How long the last one was. */
  readonly lastMs: number;
  /** How long ago it was over. */
  readonly agoMs: number;
}

export class PauseWatch implements Disposable {
  /** All pauses together. */
  totalMs = 0;
  #last: { readonly ms: number; readonly endedMs: number } | undefined;
  readonly #timer: Disposable;
  #seen: { readonly passed: number; readonly ran: number; readonly waited: number };

  constructor(private readonly timers: Timers = SYSTEM_TIMERS, private readonly clocks: PauseClocks = SYSTEM_CLOCKS) {
    this.#seen = this.#read();
    this.#timer = timers.every(LOOK_MS, () => this.#look());
  }

  /** The last pause; undefined where there was none. */
  get last(): Pause | undefined {
    return this.#last && { lastMs: this.#last.ms, agoMs: this.timers.now() - this.#last.endedMs };
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #read(): { readonly passed: number; readonly ran: number; readonly waited: number } {
    const { clocks } = this;
    return { passed: clocks.passed(), ran: clocks.ran(), waited: clocks.waited() };
  }

  #look(): void {
    const [before, now] = [this.#seen, this.#read()];
    this.#seen = now;
    const busyMs = now.ran - before.ran + now.waited - before.waited; // a busy machine has other counters
    const ms = now.passed - before.passed - LOOK_MS - busyMs;
    if (ms < PAUSE_MS) return;
    this.totalMs += ms;
    this.#last = { ms, endedMs: this.timers.now() };
    log.warn("The process did not run for {seconds}: somebody stopped it, or the machine stood still", {
      seconds: secondsText(ms),
    });
  }
}
