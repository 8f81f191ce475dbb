/**
 * Says in the log that new sessions are refused, of what there is not enough, and what helps: at once, and then once a
 * minute while it goes on.
 *
 * @module
 */
import type { RefusedSessions } from "../engine/workers.ts";
import { logger } from "../log.ts";
import { BOUND_WORDS } from "../steering/sessions.ts";

type Bound = keyof RefusedSessions;

const BOUNDS = Object.keys(BOUND_WORDS) as readonly Bound[];
const AGAIN_MS = 60_000;

const log = logger("forwarding");

export class Refusals {
  readonly #told: Record<Bound, { count: number; atMs: number }> = {
    rows: { count: 0, atMs: -Infinity },
    ports: { count: 0, atMs: -Infinity },
    backends: { count: 0, atMs: -Infinity },
  };

  /** @param refused So far. */
  look(refused: RefusedSessions, nowMs: number): void {
    for (const bound of BOUNDS) {
      const told = this.#told[bound];
      const count = refused[bound] - told.count;
      if (count === 0 || nowMs - told.atMs < AGAIN_MS) continue;
      this.#told[bound] = { count: refused[bound], atMs: nowMs };
      const { full, remedy } = BOUND_WORDS[bound];
      log.warn("Packets that would begin a session were refused, {count} since last told: {full}; {remedy}", {
        count,
        bound,
        full,
        remedy,
      });
    }
  }
}
