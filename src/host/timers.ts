/**
 * Time and timers of the control thread, as an object: tests give a clock of their own.
 *
 * @module
 */
import { messageOf } from "../errors.ts";
import { logger } from "../log.ts";

const log = logger("timers");

export interface Timers {
  /** Milliseconds, of a clock that only goes forward. */
  now(): number;
  /** The time of day. */
  date(): Date;
  /** Calls `work` once, after `ms` milliseconds, unless disposed of before. */
  after(ms: number, work: () => void): Disposable;
  /** Calls `work` every `ms` milliseconds until disposed of. That it has thrown is logged, and it is called again. */
  every(ms: number, work: () => void): Disposable;
}

/** Those of the system. */
export const SYSTEM_TIMERS: Timers = {
  now: () => performance.now(),
  date: () => new Date(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
  every: (ms, work) => {
    const timer = setInterval(surviving(work), ms);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};

/**
 * What is done again and again ends no process when it fails once: an interface may be renamed in between.
 *
 * @param complaint What the log says before the reason, once for failures in a row that have the same.
 */
export function surviving(
  work: () => void,
  complaint = "What is done regularly has failed, and is tried again",
): () => void {
  let told = "";
  return () => {
    try {
      work();
      told = "";
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== told) log.error(`${complaint}: {reason}`, { reason });
      told = reason;
    }
  };
}

/** Waits. @param ms Milliseconds. */
export function pause(timers: Timers, ms: number): Promise<void> {
  return new Promise((resolve) => void timers.after(ms, resolve));
}
