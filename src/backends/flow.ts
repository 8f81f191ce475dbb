/**
 * What goes to backends and comes back: totals of each since it is a backend, and how fast they grow. Workers count,
 * the control thread looks twice a second.
 *
 * @module
 */
import { type BackendCounts, countsSince, NO_COUNTS } from "../steering/backend_counts.ts";

/** Rates are taken over so many looks. */
const LOOKS_KEPT = 3;

/** What is told of a backend's packets. */
export interface BackendFlow {
  /** Sent to it, and sent back to clients from it. */
  readonly packets: { readonly to: number; readonly from: number };
  /** The same per second. */
  readonly perSecond: { readonly to: number; readonly from: number };
  /** Seconds since the last answer, to half a second; null where there was none. */
  readonly lastAnswerSeconds: number | null;
  /** Of the answers timed last, on average; null where none was. */
  readonly answerMs: number | null;
  /** Answers by time. */
  readonly answerTimes: { readonly buckets: readonly number[]; readonly count: number; readonly sumMs: number };
}

interface Look {
  readonly atMs: number;
  readonly counts: BackendCounts;
}

interface Entry {
  readonly row: number;
  /** What the row had counted before. */
  readonly base: BackendCounts;
  /** Oldest first. */
  looks: readonly Look[];
  answeredMs: number | undefined;
  answerMs: number | null;
}

export type FlowsStanding = readonly Readonly<{ name: string; row: number; base: BackendCounts }>[];

export class BackendFlows {
  readonly #entries = new Map<string, Entry>();

  /**
   * @param countsOf What all backends that had a row have counted.
   * @param before What {@linkcode standing} was in the process before.
   */
  constructor(private readonly countsOf: (row: number) => BackendCounts, private readonly before: FlowsStanding = []) {}

  /** What is not the backends' own of what their rows have counted, for a process that comes after this one. */
  get standing(): FlowsStanding {
    return [...this.#entries].map(([name, { row, base }]) => ({ name, row, base }));
  }

  /** A backend gets a row, which nobody uses at that time. */
  begin(name: string, row: number, nowMs: number): void {
    const known = this.before.find((entry) => entry.name === name && entry.row === row);
    const base = known?.base ?? this.countsOf(row);
    const counts = known === undefined ? NO_COUNTS : countsSince(this.countsOf(row), base);
    const looks = [{ atMs: nowMs, counts }];
    this.#entries.set(name, { row, base, looks, answeredMs: undefined, answerMs: null });
  }

  /** Forgets the others. */
  retain(names: { has(name: string): boolean }): void {
    for (const name of this.#entries.keys()) if (!names.has(name)) this.#entries.delete(name);
  }

  look(nowMs: number): void {
    for (const entry of this.#entries.values()) {
      const before = entry.looks.at(-1)!.counts;
      const counts = countsSince(this.countsOf(entry.row), entry.base);
      if (counts.from > before.from) entry.answeredMs = nowMs;
      const timed = counts.timed - before.timed;
      if (timed > 0) entry.answerMs = Math.round((counts.timedMs - before.timedMs) / timed * 1000) / 1000;
      entry.looks = [...entry.looks, { atMs: nowMs, counts }].slice(-LOOKS_KEPT);
    }
  }

  /** How a backend stands now. */
  of(name: string, nowMs: number): BackendFlow {
    const entry = this.#entries.get(name);
    const { to, from, timed, timedMs, buckets } = entry === undefined
      ? NO_COUNTS
      : countsSince(this.countsOf(entry.row), entry.base);
    const [first, last] = [entry?.looks[0], entry?.looks.at(-1)];
    const seconds = ((last?.atMs ?? 0) - (first?.atMs ?? 0)) / 1000;
    const rate = (which: "to" | "from"): number =>
      seconds === 0 ? 0 : Math.round((last!.counts[which] - first!.counts[which]) / seconds * 10) / 10;
    const { answeredMs, answerMs = null } = entry ?? {};
    return {
      packets: { to, from },
      perSecond: { to: rate("to"), from: rate("from") },
      lastAnswerSeconds: answeredMs === undefined ? null : Math.round((nowMs - answeredMs) / 100) / 10,
      answerMs,
      answerTimes: { buckets, count: timed, sumMs: timedMs },
    };
  }
}
