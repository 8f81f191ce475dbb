/**
 * How much a session has shown of being a conversation: its rank rises as its client comes back.
 *
 * @module
 */
import type { PortPools } from "./port_pools.ts";
import { RANK, type RankedSet } from "./ranked_set.ts";
import { EVIDENCE_SHIFT, FLAG_ANSWERED, RANK_SHIFT, rankOf, SESSION, SESSION_SHIFT, ticksOf } from "./session_row.ts";

/** How often a client has to come back to be in a conversation. */
const CONVERSATION_EVIDENCE = 3;
/**
 * A client that comes back after so long counts as having come back, answered or not: one-way services are
 * conversations too.
 */
const COME_BACK_TICKS = ticksOf(1000);
const EVIDENCE_BITS = 15;
// An import is looked up at each use, a module's own constant is part of the code.
const { stranger, guest, conversation } = RANK;
const { translationPort: TRANSLATION_PORT, clientSeen: CLIENT_SEEN, flags: FLAGS } = SESSION;
const SHIFT = SESSION_SHIFT;
const ANSWERED = FLAG_ANSWERED;

export class Standing {
  /**
   * @param words Those of the sessions' rows.
   * @param ranks Of the rows.
   * @param firstPort The translation port that is number 0 in each pool.
   */
  constructor(
    private readonly words: Int32Array,
    private readonly ranks: RankedSet,
    private readonly pools: PortPools,
    private readonly firstPort: number,
  ) {}

  /** A packet from the client. Hot path: no allocation. */
  heardOfClient(at: number, now: number): void {
    const { words } = this;
    const flags = words[at + FLAGS]!;
    if (rankOf(flags) === conversation) return;
    if ((flags & ANSWERED) !== 0 || now - words[at + CLIENT_SEEN]! >= COME_BACK_TICKS) this.#cameBack(at);
    words[at + CLIENT_SEEN] = now;
  }

  /** A packet from the backend. Hot path: no allocation. */
  answered(at: number): void {
    const { words } = this;
    const flags = words[at + FLAGS]!;
    const rank = rankOf(flags);
    if (rank === conversation) return;
    words[at + FLAGS] = flags | ANSWERED;
    if (rank === stranger) this.#raise(at, stranger);
  }

  /** The client has come back. */
  #cameBack(at: number): void {
    const { words } = this;
    const flags = words[at + FLAGS]!;
    const evidence = Math.min(((flags >> EVIDENCE_SHIFT) & EVIDENCE_BITS) + 1, CONVERSATION_EVIDENCE);
    words[at + FLAGS] = (flags & ~(ANSWERED | EVIDENCE_BITS << EVIDENCE_SHIFT)) | evidence << EVIDENCE_SHIFT;
    const rank = rankOf(flags);
    if (rank === stranger) this.#raise(at, stranger);
    if (evidence === CONVERSATION_EVIDENCE) this.#raise(at, guest);
  }

  #raise(at: number, rank: number): void {
    const { words } = this;
    words[at + FLAGS] = words[at + FLAGS]! + (1 << RANK_SHIFT);
    this.ranks.raise(at >> SHIFT, rank);
    const port = words[at + TRANSLATION_PORT]!;
    if (this.pools.has(port)) this.pools.of(words, at).ranks.raise(port - this.firstPort, rank);
  }
}
