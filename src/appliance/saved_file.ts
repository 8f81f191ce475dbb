/**
 * When what a saved file holds counts (docs/decisions/0020-when-a-saved-file-counts.md).
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import type { Timers } from "../host/timers.ts";

/** Between two reads of the file that have to find the same. */
const STILL_MS = 200;
/** A file that has not been the same twice for so long is saved without a pause: then a shorter one is enough. */
const RESTLESS_MS = 3000;
const BRIEFLY_STILL_MS = 20;
/** After so long it counts as it is, if it is good. */
const LATE_MS = 10_000;
/** With fewer rules, to lose most of them is a change like any other. */
const MIN_RULES_TO_LOSE = 4;

/** How patiently a file is read that changes. */
export class Patience {
  readonly #startMs: number;

  /**
   * @param mayEndCheck Whether a check ends where the file changes meanwhile: once, or one that is saved without a
   * pause would never be checked to its end.
   */
  constructor(private readonly timers: Pick<Timers, "now">, readonly mayEndCheck = true) {
    this.#startMs = timers.now();
  }

  /** Since the first read. */
  get passedMs(): number {
    return this.timers.now() - this.#startMs;
  }

  /** Between two reads that have to find the same. */
  get stillMs(): number {
    return this.isRestless ? BRIEFLY_STILL_MS : STILL_MS;
  }

  get isRestless(): boolean {
    return this.passedMs >= RESTLESS_MS;
  }

  get isLate(): boolean {
    return this.passedMs >= LATE_MS;
  }
}

/** A file that may be half of what is being written, and is put in force when it is still so later. */
export interface Settling {
  /** Rules that it loses, of so many. */
  readonly lost: number;
  readonly rules: number;
  /** When it is put in force, on the clock of the timers. */
  readonly untilMs: number;
}

/** Whether a file that is good loses so many rules that it may be half of what is being written. */
export function lossOf(before: Config, next: Config): Pick<Settling, "lost" | "rules"> | undefined {
  const { steering } = before;
  if (before.control.settle === 0 || steering.length < MIN_RULES_TO_LOSE) return undefined;
  const names = new Set(next.steering.map(({ name }) => name));
  const lost = steering.filter(({ name }) => !names.has(name)).length;
  return 2 * lost > steering.length ? { lost, rules: steering.length } : undefined;
}
