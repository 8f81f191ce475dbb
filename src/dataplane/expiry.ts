/**
 * When a worker looks for sessions that are over, and at how many at once: by time, whatever it has to do.
 *
 * @module
 */
import type { SessionTable } from "../steering/sessions.ts";
import { TICK_MS } from "../steering/session_row.ts";

/** From one look to the next. */
const LOOK_MS = 2;
/** All the sessions that there can be by default are looked at in half a second. */
const LOOKS_PER_MS = 128;
/** So that no packet waits for long. */
const MAX_LOOKS = 1024;
/** Turns with packets between two looks at the clock: too few to be late, so many that they cost nothing. */
const CLOCK_TURNS = 64;

export class Expiry {
  #turns = 0;
  #lookedAtMs = 0;

  /** A turn with packets is over. Hot path. */
  turn(): void {
    this.#turns++;
  }

  /** Time has passed: the next turn ends with a look. */
  passed(): void {
    this.#turns = CLOCK_TURNS;
  }

  /** Whether {@linkcode look} is worth a look at the clock. Hot path. */
  get due(): boolean {
    return this.#turns >= CLOCK_TURNS;
  }

  /** Removes sessions that are over, where enough time has passed. @returns False where it has not. */
  look(sessions: SessionTable, nowMs: number): boolean {
    this.#turns = 0;
    const elapsedMs = nowMs - this.#lookedAtMs;
    if (elapsedMs < LOOK_MS) return false;
    this.#lookedAtMs = nowMs;
    sessions.expire(Math.trunc(nowMs / TICK_MS), Math.min(Math.trunc(elapsedMs * LOOKS_PER_MS), MAX_LOOKS));
    return true;
  }
}
