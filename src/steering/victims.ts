/**
 * Which session gives way to a new one where the rows or the ports have run out: a stranger, else a guest, else the
 * longest silent conversation, but none that was heard of within the last seconds; one that has expired first.
 *
 * Strangers keep half of what conversations leave: where backends answer a flood, all of its sessions are guests,
 * and a new client would have to be answered before the flood's next packet.
 *
 * @module
 */
import type { PortPool } from "./port_pool.ts";
import type { Random } from "./random.ts";
import { RANK, type RankedSet } from "./ranked_set.ts";
import type { SessionLife } from "./session_life.ts";
import { SESSION, SESSION_SHIFT, ticksOf } from "./session_row.ts";

const NONE = -1;
/** A conversation that was heard of within this time is never replaced. */
const SPOKE_TICKS = ticksOf(5000);
/** Sessions of one rank looked at to find the one that was silent for longest. */
const RANK_LOOKS = 4;
const CONVERSATION_LOOKS = 64;
const STRANGERS_SHARE = 2;
const SHIFT = SESSION_SHIFT;
const { lastSeen: LAST_SEEN } = SESSION;
const { stranger, guest, conversation } = RANK;

export class Victims {
  /** Where the search for silent conversations goes on. */
  #hand = 0;

  /** @param words Those of the sessions' rows. */
  constructor(
    private readonly words: Int32Array,
    private readonly life: SessionLife,
    private readonly random: Random,
  ) {}

  /**
   * The session that gives way, or -1. Hot path: no allocation.
   *
   * @param pool Whose ports the set is of; undefined: it is of rows.
   */
  find(set: RankedSet, pool: PortPool | undefined, now: number): number {
    const strangers = set.count(stranger);
    const others = set.count(guest);
    if (strangers + others > 0) {
      const rank = strangers * STRANGERS_SHARE >= strangers + others ? stranger : guest;
      const count = rank === stranger ? strangers : others;
      let victim = NONE;
      for (let look = 0; look < RANK_LOOKS; look++) {
        victim = this.#moreSilent(victim, set.at(rank, this.random.below(count)), pool, now);
      }
      return victim;
    }
    const count = set.count(conversation);
    let victim = NONE;
    for (let look = Math.min(CONVERSATION_LOOKS, count); look > 0; look--) {
      this.#hand = (this.#hand + 1) % count;
      victim = this.#moreSilent(victim, set.at(conversation, this.#hand), pool, now);
    }
    if (victim === NONE || this.life.isOver(victim, now)) return victim;
    return now - this.words[victim + LAST_SEEN]! < SPOKE_TICKS ? NONE : victim;
  }

  /** Which of two sessions is to give way: one that is over, else the one that was silent for longer. */
  #moreSilent(at: number, member: number, pool: PortPool | undefined, now: number): number {
    const other = (pool === undefined ? member : pool.ownerOf(member)) << SHIFT;
    if (at === NONE || this.life.isOver(other, now)) return other;
    if (this.life.isOver(at, now)) return at;
    return this.words[other + LAST_SEEN]! < this.words[at + LAST_SEEN]! ? other : at;
  }
}
