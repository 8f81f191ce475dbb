/**
 * Time and timers of the control thread, as an object: tests give a clock of their own.
 *
 * @module
 */

export interface Timers {
  /** Milliseconds, of a clock that only goes forward. */
  now(): number;
  /** The time of day. */
  date(): Date;
  /** Calls `work` once, after `ms` milliseconds, unless disposed of before. */
  after(ms: number, work: () => void): Disposable;
  /** Calls `work` every `ms` milliseconds until disposed of. */
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
    const timer = setInterval(work, ms);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};

/** Waits. @param ms Milliseconds. */
export function pause(timers: Timers, ms: number): Promise<void> {
  return new Promise((resolve) => void timers.after(ms, resolve));
}
