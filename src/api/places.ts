/**
 * Who has a place among the connections of a listener: see docs/decisions/0053-places-by-user.md.
 *
 * @module
 */

/** Of each listener: a crowd on the TCP one does not lock the operator out of the control socket. */
export const MAX_CONNECTIONS = 128;
/** Of one user other than root and the one that this process runs as. Over TCP nobody knows who it is. */
export const MAX_OF_USER = 64;
/** Of all such users together. */
export const MAX_OF_USERS = 96;

/** A connection that is open. */
export interface Placed {
  /** Undefined over TCP. */
  readonly uid: number | undefined;
  /** It sends requests ahead of their answers. */
  readonly isAhead: boolean;
  /**
   * Whose turn it is: the client's to send (nothing is asked, an answer is taken, a body is not whole), the client's to
   * take an answer, or ours.
   */
  readonly turn: "send" | "take" | "ours";
}

/** One connection that has to go before another one may come, if any; `refused`: it may not come. */
export type Room<T> = { readonly refused: boolean; readonly victim?: T };

/**
 * Room for one more connection of a user.
 *
 * @param open Those that are open, the one whose client was busy longest ago first.
 * @param own The user that this process runs as.
 */
export function roomFor<T extends Placed>(uid: number | undefined, open: readonly T[], own: number): Room<T> {
  const isUser = (other: number | undefined): boolean => other !== undefined && other !== 0 && other !== own;
  const users = open.filter((each) => isUser(each.uid));
  if (isUser(uid)) {
    const mine = users.filter((each) => each.uid === uid);
    if (mine.length >= MAX_OF_USER) return gone(mine);
    if (users.length >= MAX_OF_USERS) return gone(ofLargest(users));
  }
  if (open.length < MAX_CONNECTIONS) return { refused: false };
  const room = users.length > 0 ? gone(ofLargest(users)) : gone(open);
  return room.refused && !isUser(uid) ? gone(open) : room;
}

function gone<T extends Placed>(among: readonly T[]): Room<T> {
  const victim = among.find(({ isAhead }) => isAhead) ?? among.find(({ turn }) => turn === "send") ??
    among.find(({ turn }) => turn === "take");
  return victim === undefined ? { refused: true } : { refused: false, victim };
}

/** The connections of the user that has most. */
function ofLargest<T extends Placed>(users: readonly T[]): readonly T[] {
  const byUser = Map.groupBy(users, ({ uid }) => uid);
  return [...byUser.values()].reduce((most, each) => each.length > most.length ? each : most, []);
}
