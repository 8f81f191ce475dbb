/**
 * Which of the things that a session holds (a row, a translation port) may be taken from it first.
 *
 * @module
 */

/** How much a session has shown of being a conversation. A higher rank is taken later. */
export const RANK = {
  /** Its backend has not answered. */
  stranger: 0,
  /** It was answered, or its client has come back once or twice. */
  guest: 1,
  /** Its client has come back three times: after an answer, or a second after its last packet. */
  conversation: 2,
} as const;
const RANKS = 3;

/**
 * Numbers below a bound, each with a rank. Adding, removing, ranking and picking one of a rank take constant time: the
 * members stand in one array, the highest rank first, and a move between ranks is an exchange with the one at the
 * border.
 */
export class RankedSet {
  readonly #order: Int32Array;
  /** Where a member stands in the order. */
  readonly #place: Int32Array;
  /** By rank: where its members end, and those of the next lower rank begin. */
  readonly #end = new Int32Array(RANKS);

  /** @param bound Members are less. */
  constructor(bound: number) {
    this.#order = new Int32Array(bound);
    this.#place = new Int32Array(bound);
  }

  /** Members of all ranks. */
  get size(): number {
    return this.#end[RANK.stranger]!;
  }

  /** Members of a rank. */
  count(rank: number): number {
    return this.#end[rank]! - this.#begin(rank);
  }

  /** A member of a rank, by its number among them. Hot path: no allocation. */
  at(rank: number, index: number): number {
    return this.#order[this.#begin(rank) + index]!;
  }

  /** Adds a member with the lowest rank. Hot path: no allocation. */
  add(member: number): void {
    this.#put(member, this.#end[RANK.stranger]!++);
  }

  /** Adds a member with a rank. */
  addRanked(member: number, rank: number): void {
    this.add(member);
    for (let reached = 0; reached < rank; reached++) this.raise(member, reached);
  }

  /** Removes all members. */
  clear(): void {
    this.#end.fill(0);
  }

  /** Raises a member to the next rank. Hot path: no allocation. @param rank Its rank until now. */
  raise(member: number, rank: number): void {
    const border = this.#end[rank + 1]!++;
    const other = this.#order[border]!;
    this.#put(other, this.#place[member]!);
    this.#put(member, border);
  }

  /** Hot path: no allocation. */
  remove(member: number, rank: number): void {
    let hole = this.#place[member]!;
    for (let at = rank; at >= 0; at--) {
      const last = --this.#end[at]!;
      // The last of this rank fills the hole, and leaves one where the next rank begins.
      if (last !== hole) this.#put(this.#order[last]!, hole);
      hole = last;
    }
  }

  #begin(rank: number): number {
    return rank === RANKS - 1 ? 0 : this.#end[rank + 1]!;
  }

  #put(member: number, place: number): void {
    this.#order[place] = member;
    this.#place[member] = place;
  }
}
