/**
 * The log's lines about problems: one when a problem begins, one when it is over, and not more than can be read.
 *
 * @module
 */
import type { Timers } from "../../host/timers.ts";
import { logger } from "../../log.ts";
import { nounFor } from "../../text.ts";
import { entryOf, type Problem, type ProblemKind } from "./kinds.ts";

/** Lines about problems of one kind within {@linkcode WINDOW_MS}; the others are counted. */
const LINES_MAX = 5;
const WINDOW_MS = 10_000;

const log = logger("problems");

interface Window {
  readonly startMs: number;
  lines: number;
  untold: number;
}

export class ProblemLog {
  readonly #windows = new Map<ProblemKind, Window>();

  constructor(private readonly timers: Pick<Timers, "now">) {}

  /** Tells the difference between two lists. @returns those that are over; undefined where there is no difference. */
  tell(before: readonly Problem[], after: readonly Problem[]): readonly Problem[] | undefined {
    const now = this.timers.now();
    this.#closeWindows(now);
    const [old, current] = [byKey(before), byKey(after)];
    const begun = after.filter((problem) => !old.has(keyOf(problem)));
    const over = before.filter((problem) => !current.has(keyOf(problem)));
    for (const problem of begun) if (!entryOf(problem.kind).logged) this.#line(now, problem, () => begins(problem));
    for (const problem of over) this.#line(now, problem, () => ends(problem));
    return begun.length + over.length > 0 ? over : undefined;
  }

  #line(now: number, { kind }: Problem, write: () => void): void {
    let window = this.#windows.get(kind);
    if (window === undefined) this.#windows.set(kind, window = { startMs: now, lines: 0, untold: 0 });
    if (window.lines >= LINES_MAX) return void window.untold++;
    window.lines++;
    write();
  }

  #closeWindows(now: number): void {
    for (const [kind, { startMs, untold }] of this.#windows) {
      if (now - startMs < WINDOW_MS) continue;
      this.#windows.delete(kind);
      if (untold === 0) continue;
      const noun = nounFor(untold, "change");
      log.warn(
        `{count} more ${noun} of problems {kind} not logged one by one: xdpsteer status lists what there is now`,
        {
          count: untold,
          kind,
        },
      );
    }
  }
}

function begins({ severity, message, fix, kind, subject, stops }: Problem): void {
  const level = severity === "critical" ? "error" : "warn";
  log[level]("{problem}", {
    problem: message,
    kind,
    subject: subject.name,
    ...fix === null ? {} : { fix },
    ...stops === null ? {} : { notReady: stops },
  });
}

function ends({ message, kind, subject }: Problem): void {
  log.info("Over: {problem}", { problem: message, kind, subject: subject.name });
}

/** What tells a problem from others. */
export function keyOf({ kind, subject }: Problem): string {
  return `${kind} ${subject.name}`;
}

function byKey(problems: readonly Problem[]): ReadonlySet<string> {
  return new Set(problems.map(keyOf));
}
