/**
 * Problems that have ended lately: losses that lasted a second, an interface that was attached again at once. Whoever
 * looks after that would not hear of them but by the log.
 *
 * @module
 */
import type { EndedProblem, Problem } from "./kinds.ts";
import { keyOf } from "./problem_log.ts";

const KEPT_MS = 5 * 60_000;
const MAX_KEPT = 20;

interface Entry {
  readonly problem: Problem;
  readonly endedMs: number;
  readonly times: number;
}

export class EndedProblems {
  /** By kind and subject, the last one last. */
  readonly #entries = new Map<string, Entry>();

  add(problems: readonly Problem[], now: Date): void {
    this.#forget(now);
    for (const problem of problems) {
      const key = keyOf(problem);
      const times = (this.#entries.get(key)?.times ?? 0) + 1;
      this.#entries.delete(key); // it moves to the end
      this.#entries.set(key, { problem, endedMs: now.getTime(), times });
    }
    for (const key of [...this.#entries.keys()].slice(0, -MAX_KEPT)) this.#entries.delete(key);
  }

  /** The last one first. */
  list(now: Date): readonly EndedProblem[] {
    this.#forget(now);
    return [...this.#entries.values()].reverse().map(({ problem, endedMs, times }) => {
      const { detail: _, stops: __, ...told } = problem;
      const endedSecondsAgo = Math.max(0, Math.round((now.getTime() - endedMs) / 1000));
      return { ...told, ended: new Date(endedMs).toISOString(), endedSecondsAgo, times };
    });
  }

  #forget(now: Date): void {
    for (const [key, { endedMs }] of this.#entries) if (now.getTime() - endedMs > KEPT_MS) this.#entries.delete(key);
  }
}
