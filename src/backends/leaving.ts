/**
 * Backends that the rules do not name any more: they stay while sessions use them, and not for ever.
 *
 * @module
 */
import { allSucceed, type Backend, type Health } from "./forward_writer.ts";

/** What is to become of backends that leave; the others stay as they are. */
export interface Leaving {
  /** Without a session: they can be forgotten. */
  readonly gone: readonly string[];
  /** With sessions that end now: their backends as they are to be. */
  readonly ended: ReadonlyMap<string, Backend>;
}

export interface LeavingOptions {
  readonly now: number;
  readonly health: Health;
  /** Sessions there are with the backend in a row. */
  readonly sessionsWith: (row: number) => number;
  /** Rows that others need: those that have been leaving for longest make room. */
  readonly needed: number;
}

/** Ends the sessions of backends that have drained for long enough, or fail, or whose rows are needed. */
export function settleLeaving(
  backends: ReadonlyMap<string, Backend>,
  { now, health, sessionsWith, needed }: LeavingOptions,
): Leaving {
  const leaving = [...backends].filter(([, { leftMs }]) => leftMs !== undefined)
    .sort(([, one], [, other]) => one.leftMs! - other.leftMs!);
  const gone: string[] = [];
  const ended = new Map<string, Backend>();
  let missing = needed;
  for (const [name, backend] of leaving) {
    if (sessionsWith(backend.row) === 0) gone.push(name);
    else if (
      backend.generation !== 0 &&
      (missing > 0 || now - backend.leftMs! >= backend.drainMs || !allSucceed(backend, health))
    ) ended.set(name, { ...backend, generation: 0 });
    else continue;
    missing--;
  }
  return { gone, ended };
}
