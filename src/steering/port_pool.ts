/**
 * The translation ports that a worker has with one backend from one of the box's addresses. Each belongs to one session
 * or to none.
 *
 * @module
 */
import type { Random } from "./random.ts";
import { RANK, RankedSet } from "./ranked_set.ts";

const FREE = -1;
/** Under pressure one of so many ports that are not in conversations stays free for a while. */
const RESERVE_PART = 16;

export class PortPool {
  /** Taken ports, as numbers from 0, with the rank of their sessions. */
  readonly ranks: RankedSet;
  /** When the last search for a port that may be taken was in vain. */
  refusedAt = -1;
  #isPressed = false;
  readonly #owner: Int32Array;
  /** Free ports, those given back last at the end: what answers late finds nobody there for as long as possible. */
  readonly #free: Uint16Array;
  #head = 0;
  /** All ports in an order, once that is needed again. */
  #order: Uint16Array | undefined;
  #freeCount: number;
  /** With more free ports than these there is no pressure any more. */
  readonly #relief: number;

  /** @param random The order in which ports are taken cannot be guessed. */
  constructor(readonly count: number, private readonly random: Pick<Random, "below">) {
    this.#relief = Math.ceil(2 * count / RESERVE_PART);
    this.ranks = new RankedSet(count);
    this.#owner = new Int32Array(count).fill(FREE);
    this.#free = shuffled(count, random);
    this.#freeCount = count;
  }

  /** Ports that belong to no session. */
  get free(): number {
    return this.#freeCount;
  }

  /**
   * True while a session that is no conversation should give its port back before one is taken: so the port taken next
   * has been free for a while, and what its last owner's backend still sends reaches nobody else. Only from when the
   * ports have run out until many are free again, so that all of them can be used. Hot path: no allocation.
   */
  get isShort(): boolean {
    if (!this.#isPressed) return false;
    const others = this.ranks.count(RANK.stranger) + this.ranks.count(RANK.guest);
    return others > (RESERVE_PART - 1) * this.#freeCount;
  }

  /** Notes that the ports have run out. Hot path: no allocation. */
  press(): void {
    this.#isPressed = true;
  }

  /** The session that a port belongs to, or -1. Hot path: no allocation. @param port Less than the count. */
  ownerOf(port: number): number {
    return this.#owner[port]!;
  }

  /** Takes the port that has been free for longest. Hot path: no allocation. @returns -1 when none is free. */
  take(session: number): number {
    if (this.#freeCount === 0) return FREE;
    const port = this.#free[this.#head]!;
    this.#head = this.#head + 1 === this.count ? 0 : this.#head + 1;
    this.#freeCount--;
    this.#owner[port] = session;
    this.ranks.add(port);
    return port;
  }

  /** Forgets which ports are taken; {@linkcode own} says which are, and then {@linkcode settle} that these are all. */
  clear(): void {
    this.ranks.clear();
    this.#owner.fill(FREE);
  }

  /** A session has a port already. */
  own(port: number, session: number, rank: number): void {
    this.#owner[port] = session;
    this.ranks.addRanked(port, rank);
  }

  /** All other ports are free, in an order that nobody can guess. */
  settle(): void {
    const free = this.#free;
    this.#order ??= shuffled(this.count, this.random); // what was free has ports twice by now, and others not at all
    let count = 0;
    for (const port of this.#order) if (this.#owner[port] === FREE) free[count++] = port;
    this.#head = 0;
    this.#freeCount = count;
  }

  /** Takes a port back. Hot path: no allocation. @param rank Of the session that had it. */
  give(port: number, rank: number): void {
    this.ranks.remove(port, rank);
    this.#owner[port] = FREE;
    const tail = this.#head + this.#freeCount++;
    this.#free[tail < this.count ? tail : tail - this.count] = port;
    if (this.#freeCount > this.#relief) this.#isPressed = false;
  }
}

/** All ports, each once. */
function shuffled(count: number, random: Pick<Random, "below">): Uint16Array<ArrayBuffer> {
  const ports = Uint16Array.from({ length: count }, (_, port) => port);
  for (let left = count - 1; left > 0; left--) {
    const other = random.below(left + 1);
    const port = ports[left]!;
    ports[left] = ports[other]!;
    ports[other] = port;
  }
  return ports;
}
