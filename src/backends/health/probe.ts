/**
 * One way to ask one backend whether it works. A probe never waits: it begins a check, and looks whether it is decided when its
 * socket has something to say. Who waits, and for how long, is the caller's matter (checks.ts).
 *
 * @module
 */
import { ERRNO, errnoName } from "../../ffi/errno.ts";

/** How a check ended. The reason is one short line, safe to print. */
export interface Outcome {
  readonly succeeded: boolean;
  readonly reason: string;
}

export interface Probe extends Disposable {
  /**
   * Begins a check.
   *
   * @returns how it ended, where that is known at once.
   * @throws {SyscallError} where this machine has no socket for it, which says nothing about the backend.
   */
  start(): Outcome | undefined;
  /** Looks for the end of a check that has begun. Looking too early does no harm. */
  look(): Outcome | undefined;
  /** What to wait for while a check goes on. */
  readonly fd: number;
  readonly events: number;
  /** What to say of a backend that says nothing. */
  readonly silence: string;
  /** Forgets the socket: a late answer to this check must not pass for one to the next, nor an old route for today's. */
  reset(): void;
}

const WORDS = new Map<number, string>([
  [ERRNO.ECONNREFUSED, "nobody listens on the port"],
  [ERRNO.EHOSTUNREACH, "the host cannot be reached"],
  [ERRNO.ENETUNREACH, "there is no route to it"],
  [ERRNO.EACCES, "a filter on the way forbids it"],
]);

/** @param result `-errno`. */
export function failure(result: number): Outcome {
  const words = WORDS.get(-result);
  const name = errnoName(-result);
  return { succeeded: false, reason: words === undefined ? name : `${words} (${name})` };
}
