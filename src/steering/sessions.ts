/**
 * One worker's forwarding sessions: which client talks to which backend through which translation port. Both directions
 * of a session meet in one worker, so nothing here is shared and nothing locks.
 *
 * A session is a row, found by a hash chain for the client's packets and by its translation port for the backend's
 * answers. Two things can run out: rows, and the ports with one backend. Room is made in the one that did (victims.ts).
 *
 * @module
 */
import { type FlowKey, keyedFlowHash } from "../packet/flow_key.ts";
import { IPV4, IPV6, type UdpPacket } from "../packet/udp.ts";
import { BACKEND_ROWS, backendAt, type ForwardTable, MAX_SOURCES } from "./forward_table.ts";
import type { KeptClients } from "./kept_clients.ts";
import type { PortPool } from "./port_pool.ts";
import { PortPools } from "./port_pools.ts";
import { Random } from "./random.ts";
import { RankedSet } from "./ranked_set.ts";
import { SessionChains } from "./session_chains.ts";
import { SessionLife } from "./session_life.ts";
import {
  copyAddress,
  EVIDENCE_SHIFT,
  FLAG_ANSWERED,
  FLAG_HEADED,
  FLAG_IPV6,
  FLAG_LIVE,
  FLAG_TOLD,
  KEPT_PORT_SHIFT,
  RANK_SHIFT,
  rankOf,
  SESSION,
  SESSION_SHIFT,
  TICK_MS,
} from "./session_row.ts";
import { Standing } from "./standing.ts";
import { type TwinRows, Twins } from "./twins.ts";
import { Victims } from "./victims.ts";

const NONE = -1;
/** Sessions that give their ports back for a new one, so that ports are free for a while. */
const MAX_GIVEN_BACK = 2;

/** Rows that are taken over for practice; a power of two. */
const REHEARSED = 4096;

/** No more are counted: 2^30 answers come to no packet of a client that counts. */
const MAX_AWAITED = 1 << 30;

const LITTLE = true;
// An import is looked up at each use, a module's own constant is part of the code.
const SHIFT = SESSION_SHIFT;
const { source: IPV4_SOURCE, destination: IPV4_DESTINATION } = IPV4;
const { source: IPV6_SOURCE, destination: IPV6_DESTINATION } = IPV6;
const {
  client: CLIENT,
  service: SERVICE,
  ports: PORTS,
  translationPort: TRANSLATION_PORT,
  address: ADDRESS,
  backend: BACKEND_ROW,
  backendGeneration: BACKEND_GENERATION,
  rule: RULE,
  lastSeen: LAST_SEEN,
  clientSeen: CLIENT_SEEN,
  flags: FLAGS,
  hash: HASH,
  nextByClient: NEXT_BY_CLIENT,
  generation: GENERATION,
  asked: ASKED,
  awaited: AWAITED,
  kept: KEPT,
} = SESSION;

export interface SessionTableOptions {
  /** A power of two. */
  readonly capacity: number;
  /** Translation ports of this worker. */
  readonly firstPort: number;
  readonly portCount: number;
  /** Unknown to senders: they cannot choose flows that meet in one chain, nor guess ports. */
  readonly key: FlowKey;
  readonly ruleSlots: number;
  /** Memory for the rows, {@linkcode sessionBytes}, which outlives this table. Default: memory of its own. */
  readonly rows?: ArrayBufferLike;
  /** Memory for {@linkcode SessionTable.liveOfBackend}, that others read. Default: memory of its own. */
  readonly liveOfBackend?: ArrayBufferLike;
  /** The same memory of the other workers. Default: there are none. */
  readonly liveElsewhere?: readonly ArrayBufferLike[];
  /** Of all workers, by which a session's other half is found, and which of them this is. Default: there are none. */
  readonly halves?: { readonly tables: readonly TwinRows[]; readonly worker: number };
}

/** What sessions ran out of when {@linkcode SessionTable.add} refused one. */
export const REFUSED = { rows: 0, ports: 1, backends: 2 } as const;
/** The same in words: what is full, and what helps. */
export const BOUND_WORDS: Readonly<Record<keyof typeof REFUSED, { readonly full: string; readonly remedy: string }>> = {
  rows: {
    full: "each of a worker's sessions is a conversation",
    remedy: "raise forwarding.sessions, or lower idle_timeout",
  },
  ports: {
    full: "each translation port with a backend has a conversation",
    remedy: "list more of the box's addresses in forwarding.addresses, widen forwarding.ports, or lower idle_timeout",
  },
  backends: {
    full: "each backend has its max_sessions",
    remedy: "raise max_sessions, add backends, or lower idle_timeout",
  },
};

/** Bytes for the number of sessions with each backend, by row. */
export const LIVE_OF_BACKEND_BYTES = BACKEND_ROWS * Int32Array.BYTES_PER_ELEMENT;

/** Bytes for the rows of so many sessions. */
export function sessionBytes(capacity: number): number {
  return (capacity << SHIFT) * Int32Array.BYTES_PER_ELEMENT;
}

/** Everything that decides what a row means, in words. */
export const SESSIONS_SHAPE = `${JSON.stringify(SESSION)} ${FLAG_LIVE} ${FLAG_IPV6} ${FLAG_ANSWERED} ${FLAG_TOLD} ` +
  `${FLAG_HEADED} ${RANK_SHIFT} ${EVIDENCE_SHIFT} ${TICK_MS}`;

export class SessionTable {
  readonly words: Int32Array;
  /** The same memory, for what is not whole words. */
  readonly bytes: DataView;
  /** Sessions there are. */
  live = 0;
  /** Sessions that were replaced before their time. */
  evicted = 0;
  /** New sessions that were refused, by {@linkcode REFUSED}. */
  readonly refused = new Float64Array(3);
  /** Sessions there are with each backend, by row. */
  readonly liveOfBackend: Int32Array;
  /** How answers to clients that keep their addresses are found; undefined before the first rule that wants it. */
  kept: KeptClients | undefined;
  /** Undefined while no session has another half. */
  #twins: Twins | undefined;
  readonly #halves: SessionTableOptions["halves"];
  readonly #liveElsewhere: readonly Int32Array[];
  readonly #capacity: number;
  readonly #firstPort: number;
  readonly #portCount: number;
  readonly #key: FlowKey;
  readonly #random: Random;
  readonly #life: SessionLife;
  readonly #chains: SessionChains;
  readonly #victims: Victims;
  readonly #ranks: RankedSet;
  readonly #standing: Standing;
  readonly #pools: PortPools;
  /** Where the search for expired sessions goes on. */
  #hand = 0;
  /** Rows never used so far start here. */
  #fresh = 0;
  /** First of the rows given back, chained by nextByClient. */
  #free = NONE;
  /** When the last search for a row that may be taken was in vain. */
  #refusedAt = -1;

  readonly #options: SessionTableOptions;
  #hasRehearsed = false;

  constructor(options: SessionTableOptions) {
    this.#options = options;
    const { capacity, firstPort, portCount, key, ruleSlots, rows, liveOfBackend, liveElsewhere = [] } = options;
    // Pages nobody writes to cost nothing.
    this.words = new Int32Array(rows ?? new SharedArrayBuffer(sessionBytes(capacity)));
    this.bytes = new DataView(this.words.buffer);
    this.liveOfBackend = new Int32Array(liveOfBackend ?? new SharedArrayBuffer(LIVE_OF_BACKEND_BYTES));
    this.#liveElsewhere = liveElsewhere.map((memory) => new Int32Array(memory));
    this.#halves = options.halves;
    this.#capacity = capacity;
    this.#firstPort = firstPort;
    this.#portCount = portCount;
    this.#key = key;
    this.#random = new Random(key.low ^ key.high);
    this.#life = new SessionLife(this.words, ruleSlots);
    this.#chains = new SessionChains(this.words, capacity);
    this.#pools = new PortPools(firstPort, portCount, this.#random);
    this.#victims = new Victims(this.words, this.#life, this.#random);
    this.#ranks = new RankedSet(capacity);
    this.#standing = new Standing(this.words, this.#ranks, this.#pools, firstPort);
  }

  /**
   * Makes ready for {@linkcode takeRows} while another table has the rows, which are only read: port pools take
   * milliseconds to make, and so do the first thousand rows of code that has never run.
   */
  prepareRows(table: ForwardTable): void {
    const { words } = this;
    let row = 0;
    for (; row < this.#capacity && words[(row << SHIFT) + GENERATION] !== 0; row++) {
      const at = row << SHIFT;
      if ((words[at + FLAGS]! & FLAG_LIVE) === 0 || words[at + TRANSLATION_PORT] === 0 || !this.#isPlaced(at)) continue;
      this.#pools.prepare(this.#pools.numberOf(words[at + BACKEND_ROW]!, words[at + ADDRESS]!));
    }
    this.#pools.clear();
    this.#pools.settle();
    if (this.#hasRehearsed || row === 0) return;
    this.#hasRehearsed = true;
    this.#rehearse(table, Math.min(row, REHEARSED));
  }

  /** Takes a copy of some rows into a table of its own. */
  #rehearse(table: ForwardTable, rows: number): void {
    const { capacity, firstPort, portCount, key, ruleSlots } = this.#options;
    const copy = new SharedArrayBuffer(sessionBytes(Math.min(capacity, REHEARSED)));
    new Int32Array(copy).set(this.words.subarray(0, rows << SHIFT));
    const scratch = new SessionTable({
      ...{ capacity: Math.min(capacity, REHEARSED), firstPort, portCount, key, ruleSlots, rows: copy },
    });
    const counts = { evicted: 0, refused: [0, 0, 0] };
    for (let taken = 0; taken < REHEARSED; taken += rows) scratch.takeRows(table, counts);
  }

  /**
   * Goes on with the sessions in the rows, which another table has left: makes the indexes from them. Nobody else may
   * use the rows by then.
   *
   * @param table In force: by which backends are found.
   * @param counts What was counted before.
   */
  takeRows(table: ForwardTable, counts: { readonly evicted: number; readonly refused: readonly number[] }): void {
    const { words } = this;
    const live = new Int32Array(this.liveOfBackend.length);
    this.evicted = counts.evicted;
    this.refused.set(counts.refused);
    this.live = 0;
    this.#hand = 0;
    this.#free = NONE;
    this.#chains.clear();
    this.#ranks.clear();
    this.#pools.clear();
    const twins = this.#halves === undefined ? undefined : new Twins(this.#halves.tables, this.#halves.worker);
    let row = 0;
    // Rows are used one after the other at first, and a row that was used has another generation than 0.
    for (; row < this.#capacity && words[(row << SHIFT) + GENERATION] !== 0; row++) {
      const at = row << SHIFT;
      const flags = words[at + FLAGS]!;
      if ((flags & FLAG_LIVE) === 0 || !this.#isWhole(at, twins)) {
        words[at + FLAGS] = 0;
        words[at + NEXT_BY_CLIENT] = this.#free;
        this.#free = row;
        continue;
      }
      const rank = rankOf(flags);
      const backend = words[at + BACKEND_ROW]!;
      if (twins === undefined || twins.counts(row)) {
        this.live++;
        live[backend] = live[backend]! + 1;
      }
      this.#chains.add(at);
      this.#ranks.addRanked(row, rank);
      const port = words[at + TRANSLATION_PORT]!;
      if (this.#pools.has(port)) {
        const pool = this.#pools.numberOf(backend, words[at + ADDRESS]!);
        this.#pools.own(pool, port - this.#firstPort, row, rank);
      }
      const keptPort = flags >>> KEPT_PORT_SHIFT;
      if (words[at + KEPT] === 0 || this.kept?.has(at, keptPort) === true) continue;
      words[at + KEPT] = 0; // its place was in another table
      this.keepClient(at, table, keptPort);
    }
    this.#fresh = row;
    this.#twins = twins?.hasAny(row) ? twins : undefined;
    this.#pools.settle();
    this.liveOfBackend.set(live);
  }

  /** Whether there can be such a backend, and such an address. */
  #isPlaced(at: number): boolean {
    const [backend, place] = [this.words[at + BACKEND_ROW]!, this.words[at + ADDRESS]!];
    return backend >= 0 && backend < BACKEND_ROWS && place >= 0 && place < MAX_SOURCES;
  }

  /** False for a row that a process has left half written: it would be in the way of others. */
  #isWhole(at: number, twins: Twins | undefined): boolean {
    const { words } = this;
    if (!this.#isPlaced(at)) return false;
    const [backend, place, port] = [words[at + BACKEND_ROW]!, words[at + ADDRESS]!, words[at + TRANSLATION_PORT]!];
    if (port === 0) return true;
    // Another worker has the port.
    if (!this.#pools.has(port)) return twins !== undefined && twins.lastSeen(at >> SHIFT) !== NONE;
    const owner = this.#pools.at(this.#pools.numberOf(backend, place))?.ownerOf(port - this.#firstPort) ?? NONE;
    return owner === NONE;
  }

  /** Takes what decides how long sessions last from a forward table that is now in force. */
  follow(table: ForwardTable): void {
    this.#life.follow(table);
  }

  /** The hash that {@linkcode findByClient} and {@linkcode add} want. Hot path: no allocation. */
  hashOf(view: DataView, packet: UdpPacket): number {
    return keyedFlowHash(view, packet, this.#key);
  }

  /** The session a client's packet belongs to, as the index of its first word, or -1. Hot path: no allocation. */
  findByClient(view: DataView, packet: UdpPacket, hash: number): number {
    return this.#chains.find(view, packet, hash);
  }

  /**
   * The session an answer of a backend to a translation port belongs to, or -1; it may be over. Hot path: no
   * allocation.
   *
   * @param address Place of the translation address that the answer went to.
   */
  findByAnswer(port: number, backendRow: number, address: number): number {
    const pool = this.#pools.at(this.#pools.numberOf(backendRow, address));
    const index = port - this.#firstPort;
    if (pool === undefined || index < 0 || index >= this.#portCount) return NONE;
    const row = pool.ownerOf(index);
    return row === NONE ? NONE : row << SHIFT;
  }

  /**
   * Makes a session for a client's packet. The caller fills in the link, the interface and the address's generation.
   *
   * @param addresses A bit for each place of a translation address that it may have; 0 where the backend sees the
   * client's own address.
   * @returns -1 when there is no room: {@linkcode refused} counts why.
   */
  add(
    view: DataView,
    packet: UdpPacket,
    hash: number,
    backendRow: number,
    rule: number,
    now: number,
    addresses: number,
  ): number {
    const pool = addresses === 0 ? NONE : this.#poolWithRoom(backendRow, addresses, now);
    if (addresses !== 0 && pool === NONE) return this.refuse(REFUSED.ports);
    const row = this.#takeRow(now);
    if (row === NONE) return this.refuse(REFUSED.rows);
    const { words } = this;
    const at = row << SHIFT;
    const { ip, udp, isIpv6 } = packet;
    copyAddress(view, ip + (isIpv6 ? IPV6_SOURCE : IPV4_SOURCE), words, at + CLIENT, isIpv6);
    copyAddress(view, ip + (isIpv6 ? IPV6_DESTINATION : IPV4_DESTINATION), words, at + SERVICE, isIpv6);
    words[at + PORTS] = view.getInt32(udp, LITTLE);
    words[at + RULE] = rule;
    words[at + LAST_SEEN] = now;
    words[at + CLIENT_SEEN] = now;
    words[at + ASKED] = 0;
    words[at + HASH] = hash;
    words[at + AWAITED] = 0;
    words[at + KEPT] = 0;
    words[at + GENERATION] = (words[at + GENERATION]! + 1) | 0;
    this.#chains.add(at);
    this.#ranks.add(row);
    this.live++;
    this.#join(at, backendRow, pool);
    words[at + FLAGS] = FLAG_LIVE | (isIpv6 ? FLAG_IPV6 : 0); // last: after a crash a row counts that says so
    return at;
  }

  /**
   * Gives a session to another backend, or another way of reaching the one it has. Its rank stays.
   *
   * It keeps a port that it may have there. The caller fills in the address's generation.
   *
   * @param addresses As for {@linkcode add}.
   * @returns False when that has no translation port left; then nothing has changed.
   */
  move(at: number, backendRow: number, now: number, addresses: number): boolean {
    const { words } = this;
    if (
      words[at + TRANSLATION_PORT] !== 0 && words[at + BACKEND_ROW] === backendRow &&
      ((addresses >> words[at + ADDRESS]!) & 1) !== 0
    ) {
      words[at + FLAGS] = words[at + FLAGS]! & ~FLAG_TOLD; // the address may be another
      return true;
    }
    const pool = addresses === 0 ? NONE : this.#poolWithRoom(backendRow, addresses, now);
    if (addresses !== 0 && pool === NONE) {
      this.refuse(REFUSED.ports);
      return false;
    }
    // To one backend answers of both kinds may be on their way.
    if (words[at + KEPT] !== 0 && words[at + BACKEND_ROW] !== backendRow) this.kept!.leave(at);
    const flags = words[at + FLAGS]! & ~(FLAG_ANSWERED | FLAG_TOLD);
    words[at + FLAGS] = flags & ~FLAG_LIVE; // live again when it is whole: its thread may not go on
    this.#part(at);
    this.#leave(at);
    this.#join(at, backendRow, pool);
    words[at + FLAGS] = flags;
    return true;
  }

  /**
   * Has answers to a session's client found that keeps its address. Another session with the same ends, as of a client
   * that sends to two services with one backend from one port, ends: answers are for whoever has sent last.
   *
   * @param port The one of its backend that it goes to, as it stands in packets.
   * @returns False where there is no room.
   */
  keepClient(at: number, { backends }: ForwardTable, port: number): boolean {
    const { kept } = this;
    if (kept === undefined) return false;
    kept.leave(at);
    const backend = backendAt(this.words[at + BACKEND_ROW]!);
    const other = kept.sameAs(at, backends, backend, port);
    if (other >= 0) this.remove(other);
    return kept.take(at, backends, backend, port);
  }

  /** Notes a packet from the client. Hot path: no allocation. */
  touchByClient(at: number, rule: number, now: number): void {
    const { words } = this;
    this.#standing.heardOfClient(at, now);
    words[at + RULE] = rule;
    words[at + LAST_SEEN] = now;
  }

  /** Notes a packet from the backend. Hot path: no allocation. */
  touchByAnswer(at: number, now: number): void {
    this.#standing.answered(at);
    this.words[at + LAST_SEEN] = now;
  }

  /**
   * True for a session that has been silent for too long, or whose backend is gone: it is as good as gone. Hot path.
   */
  isOver(at: number, now: number): boolean {
    if (!this.#life.isOver(at, now)) return false;
    const seen = this.#twins?.lastSeen(at >> SHIFT) ?? NONE;
    return seen === NONE || !this.#life.wouldLast(at, seen, now);
  }

  /** A session's client has been heard of: its other half is to know the way back. Hot path: no allocation. */
  tellTwin(at: number): void {
    if (this.#twins !== undefined) this.#twins.tell(at >> SHIFT);
  }

  remove(at: number): void {
    const { words } = this;
    const row = at >> SHIFT;
    this.#chains.remove(at);
    if (words[at + KEPT] !== 0) this.kept!.leave(at);
    this.#part(at);
    this.#leave(at);
    this.#ranks.remove(row, rankOf(this.words[at + FLAGS]!));
    words[at + FLAGS] = 0;
    this.live--;
    words[at + NEXT_BY_CLIENT] = this.#free;
    this.#free = row;
  }

  /** Removes those that are over among the next `looks` rows. Called every now and then, it goes round all of them. */
  expire(now: number, looks: number): void {
    const used = this.#fresh;
    for (let look = Math.min(looks, used); look > 0; look--) {
      const row = this.#hand < used ? this.#hand : 0;
      this.#hand = row + 1;
      const at = row << SHIFT;
      if ((this.words[at + FLAGS]! & FLAG_LIVE) !== 0 && this.isOver(at, now)) this.remove(at);
    }
  }

  /** Sessions that all workers have with a backend. Hot path: no allocation. */
  liveWith(backendRow: number): number {
    let live = this.liveOfBackend[backendRow]!;
    const { length } = this.#liveElsewhere;
    for (let other = 0; other < length; other++) live += this.#liveElsewhere[other]![backendRow]!;
    return live;
  }

  /** Expects more answers. Hot path: no allocation. */
  awaitAnswers(at: number, answers: number): void {
    const awaited = this.words[at + AWAITED]!;
    if (awaited < MAX_AWAITED) this.words[at + AWAITED] = awaited + answers;
  }

  /** Notes that an answer has been sent on: the last one that was awaited ends the session. Hot path: no allocation. */
  gotAnswer(at: number): void {
    if ((this.words[at + AWAITED] = this.words[at + AWAITED]! - 1) === 0) this.remove(at);
  }

  /** Counts a new session that is refused. @returns -1. */
  refuse(reason: number): number {
    this.refused[reason] = this.refused[reason]! + 1;
    return NONE;
  }

  /** Gives a session its backend, and one of the free ports of a pool where it is translated. */
  #join(at: number, backendRow: number, pool: number): void {
    const { words } = this;
    words[at + BACKEND_ROW] = backendRow;
    words[at + BACKEND_GENERATION] = this.#life.generationOf(backendRow);
    words[at + TRANSLATION_PORT] = 0;
    words[at + ADDRESS] = 0;
    this.liveOfBackend[backendRow] = this.liveOfBackend[backendRow]! + 1;
    if (pool === NONE) return;
    const { ranks } = this.#pools.at(pool)!;
    const port = this.#pools.at(pool)!.take(at >> SHIFT);
    words[at + TRANSLATION_PORT] = this.#firstPort + port;
    words[at + ADDRESS] = this.#pools.placeOf(pool);
    for (let rank = 0; rank < rankOf(this.words[at + FLAGS]!); rank++) ranks.raise(port, rank);
  }

  /** A session's other half goes on without this one, which counts as a session from now on. */
  #part(at: number): void {
    const row = at >> SHIFT;
    if (this.#twins === undefined) return;
    if (!this.#twins.counts(row)) {
      const backend = this.words[at + BACKEND_ROW]!;
      this.live++;
      this.liveOfBackend[backend] = this.liveOfBackend[backend]! + 1;
    }
    this.#twins.part(row);
  }

  #leave(at: number): void {
    const { words } = this;
    const row = words[at + BACKEND_ROW]!;
    this.liveOfBackend[row] = this.liveOfBackend[row]! - 1;
    const port = words[at + TRANSLATION_PORT]!;
    if (this.#pools.has(port)) this.#pools.of(words, at).give(port - this.#firstPort, rankOf(this.words[at + FLAGS]!));
  }

  /** The number of a pool of a backend that has a free port, made free if need be; or -1. */
  #poolWithRoom(backendRow: number, addresses: number, now: number): number {
    const free = this.#pools.withFree(backendRow, addresses);
    if (free !== NONE) {
      this.#keepReserve(this.#pools.at(free)!, now);
      return free;
    }
    for (let place = 0; addresses >> place !== 0; place++) {
      if (((addresses >> place) & 1) === 0) continue;
      const number = this.#pools.numberOf(backendRow, place);
      const pool = this.#pools.at(number)!;
      pool.press();
      if (pool.refusedAt === now) continue;
      const victim = this.#victims.find(pool.ranks, pool, now);
      if (victim !== NONE) {
        this.#evict(victim, now);
        this.#keepReserve(pool, now);
        return number;
      }
      pool.refusedAt = now;
    }
    return NONE;
  }

  /**
   * Has sessions that are no conversations give their ports back before the last free ones are taken: two at most, so
   * that a new session costs little while the reserve fills.
   */
  #keepReserve(pool: PortPool, now: number): void {
    for (let left = MAX_GIVEN_BACK; left > 0 && pool.isShort; left--) {
      this.#evict(this.#victims.find(pool.ranks, pool, now), now);
    }
  }

  #takeRow(now: number): number {
    if (this.#free === NONE && this.#fresh === this.#capacity && this.#refusedAt !== now) {
      const victim = this.#victims.find(this.#ranks, undefined, now);
      if (victim === NONE) this.#refusedAt = now;
      else this.#evict(victim, now);
    }
    const row = this.#free;
    if (row !== NONE) {
      this.#free = this.words[(row << SHIFT) + NEXT_BY_CLIENT]!;
      return row;
    }
    return this.#fresh < this.#capacity ? this.#fresh++ : NONE;
  }

  #evict(at: number, now: number): void {
    if (!this.isOver(at, now)) this.evicted++;
    this.remove(at);
  }
}
