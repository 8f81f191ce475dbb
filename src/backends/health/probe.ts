/**
 * One way to ask one backend whether it works. A probe never waits: it begins a check, and looks whether it is decided
 * when its socket has something to say. Who waits, and for how long, is the caller's matter (checks.ts).
 *
 * @module
 */
import { ERRNO, errnoName, syscallError } from "../../ffi/errno.ts";

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
   * @throws {SyscallError} where this machine cannot carry it out, which says nothing about the backend.
   */
  start(): Outcome | undefined;
  /**
   * Looks for the end of a check that has begun. Looking too early does no harm.
   *
   * @throws {SyscallError} where this machine cannot carry it out, which says nothing about the backend.
   */
  look(): Outcome | undefined;
  /** What to wait for while a check goes on. */
  readonly fd: number;
  readonly events: number;
  /** What to say of a backend that says nothing. */
  readonly silence: string;
  /**
   * Forgets the socket: a late answer to this check must not pass for one to the next, nor an old route for today's.
   */
  reset(): void;
}

const WORDS = new Map<number, string>([
  [ERRNO.ECONNREFUSED, "nobody listens on the port"],
  [ERRNO.EHOSTUNREACH, "the host cannot be reached"],
  [ERRNO.ENETUNREACH, "there is no route to it"],
  [ERRNO.EACCES, "a filter on the way forbids it"],
]);

/** What the network or the backend answers, and a missing route: packets do not get there either. */
const FROM_OUTSIDE = new Set(
  ("EACCES ECONNABORTED ECONNREFUSED ECONNRESET EHOSTDOWN EHOSTUNREACH EMSGSIZE ENETUNREACH ENONET ENOPROTOOPT " +
    "EOPNOTSUPP EPIPE EPROTO ETIMEDOUT").split(" "),
);

/**
 * @param call Name of the call that failed.
 * @param result `-errno`.
 * @throws {SyscallError} where it is this machine that hinders the check: a packet filter, no port or memory left.
 */
export function failure(call: "connect" | "send" | "recv", result: number): Outcome {
  const name = errnoName(-result);
  if (!FROM_OUTSIDE.has(name)) throw syscallError(call, -result, "carry out the check");
  const words = WORDS.get(-result);
  return { succeeded: false, reason: words === undefined ? name : `${words} (${name})` };
}
