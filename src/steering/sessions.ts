/**
 * One worker's forwarding sessions: which client talks to which backend through which translation port. Both directions
 * of a session meet in one worker, so nothing here is shared and nothing locks.
 *
 * A session is a row of 32 words, found by two hash chains: by the client's packet, and by the backend's answer. When
 * all rows are taken, a new session replaces one that has expired, else the longest silent of those whose client has
 * not come back after an answer: a flood of packets from made-up sources fills the table, and cannot push out a
 * conversation.
 *
 * @module
 */
import { finishHash, flowHash, mix } from "../packet/flow_hash.ts";
import { IPV4, IPV6, type UdpPacket } from "../packet/udp.ts";
import { copyAddress, FLAG_ANSWERED, FLAG_ASSURED, FLAG_IPV6, FLAG_LIVE, sameAddress, SESSION } from "./session_row.ts";

/** log2 of the words of a session. */
const SHIFT = 5;
const NONE = -1;

/** Rows looked at to find room for a session when all are taken. */
const EVICT_LOOKS = 64;
/** Translation ports tried for a session. */
const PORT_TRIES = 32;

const LITTLE = true;
const { source: IPV4_SOURCE, destination: IPV4_DESTINATION } = IPV4;
const { source: IPV6_SOURCE, destination: IPV6_DESTINATION } = IPV6;
const {
  client: CLIENT,
  service: SERVICE,
  ports: PORTS,
  translationPort: TRANSLATION_PORT,
  lastSeen: LAST_SEEN,
  flags: FLAGS,
  idle: IDLE,
  hash: HASH,
  nextByClient: NEXT_BY_CLIENT,
  nextByAnswer: NEXT_BY_ANSWER,
  answerHash: ANSWER_HASH,
} = SESSION;

export interface SessionTableOptions {
  /** A power of two. */
  readonly capacity: number;
  /** Translation ports of this worker. */
  readonly firstPort: number;
  readonly portCount: number;
  /** Unknown to senders: they cannot choose flows that meet in one chain. */
  readonly seed: number;
}

export class SessionTable {
  readonly words: Int32Array;
  /** The same memory, for what is not whole words. */
  readonly bytes: DataView;
  /** Sessions there are. */
  live = 0;
  /** Sessions that were replaced before their time. */
  evicted = 0;
  readonly #capacity: number;
  readonly #firstPort: number;
  readonly #portCount: number;
  readonly #seed: number;
  readonly #mask: number;
  readonly #byClient: Int32Array;
  readonly #byAnswer: Int32Array;
  /** Where the search for expired sessions goes on. */
  #hand = 0;
  /** Rows never used so far start here. */
  #fresh = 0;
  /** First of the rows given back, chained by nextByClient. */
  #free = NONE;

  constructor({ capacity, firstPort, portCount, seed }: SessionTableOptions) {
    this.words = new Int32Array(capacity << SHIFT);
    this.bytes = new DataView(this.words.buffer);
    this.#capacity = capacity;
    this.#firstPort = firstPort;
    this.#portCount = portCount;
    this.#seed = seed;
    this.#mask = capacity - 1;
    this.#byClient = new Int32Array(capacity).fill(NONE);
    this.#byAnswer = new Int32Array(capacity).fill(NONE);
  }

  /** The hash that {@linkcode findByClient} and {@linkcode add} want. Hot path: no allocation. */
  hashOf(view: DataView, packet: UdpPacket): number {
    return flowHash(view, packet, this.#seed);
  }

  /** The session a client's packet belongs to, as the index of its first word, or -1. Hot path: no allocation. */
  findByClient(view: DataView, packet: UdpPacket, hash: number): number {
    const { words } = this;
    const { ip, udp, isIpv6 } = packet;
    const ports = view.getInt32(udp, LITTLE);
    for (let row = this.#byClient[hash & this.#mask]!; row !== NONE;) {
      const at = row << SHIFT;
      if (
        words[at + HASH] === hash && words[at + PORTS] === ports &&
        ((words[at + FLAGS]! & FLAG_IPV6) !== 0) === isIpv6 &&
        sameAddress(view, ip + (isIpv6 ? IPV6_SOURCE : IPV4_SOURCE), words, at + CLIENT, isIpv6) &&
        sameAddress(view, ip + (isIpv6 ? IPV6_DESTINATION : IPV4_DESTINATION), words, at + SERVICE, isIpv6)
      ) return at;
      row = words[at + NEXT_BY_CLIENT]!;
    }
    return NONE;
  }

  /** The session an answer of a backend to a translation port belongs to, or -1. Hot path: no allocation. */
  findByAnswer(port: number, backendRow: number): number {
    const { words } = this;
    const hash = answerHash(this.#seed, port, backendRow);
    for (let row = this.#byAnswer[hash & this.#mask]!; row !== NONE;) {
      const at = row << SHIFT;
      if (words[at + TRANSLATION_PORT] === port && words[at + SESSION.backend] === backendRow) {
        return at;
      }
      row = words[at + NEXT_BY_ANSWER]!;
    }
    return NONE;
  }

  /**
   * Makes a session for a client's packet. The caller fills in the link and the interface.
   *
   * @param translate False where the backend sees the client's own address.
   * @returns -1 when there is no room, or no translation port for this backend.
   */
  add(
    view: DataView,
    packet: UdpPacket,
    hash: number,
    backendRow: number,
    rule: number,
    idle: number,
    now: number,
    translate: boolean,
  ): number {
    const row = this.#takeRow(now);
    if (row === NONE) return NONE;
    const { words } = this;
    const at = row << SHIFT;
    const port = translate ? this.#findPort(hash, backendRow) : 0;
    if (port < 0) {
      this.#giveRow(row);
      return NONE;
    }
    const { ip, udp, isIpv6 } = packet;
    copyAddress(view, ip + (isIpv6 ? IPV6_SOURCE : IPV4_SOURCE), words, at + CLIENT, isIpv6);
    copyAddress(view, ip + (isIpv6 ? IPV6_DESTINATION : IPV4_DESTINATION), words, at + SERVICE, isIpv6);
    words[at + PORTS] = view.getInt32(udp, LITTLE);
    words[at + TRANSLATION_PORT] = port;
    words[at + SESSION.backend] = backendRow;
    words[at + SESSION.rule] = rule;
    words[at + LAST_SEEN] = now;
    words[at + FLAGS] = FLAG_LIVE | (isIpv6 ? FLAG_IPV6 : 0);
    words[at + IDLE] = idle;
    words[at + HASH] = hash;
    words[at + NEXT_BY_CLIENT] = this.#byClient[hash & this.#mask]!;
    this.#byClient[hash & this.#mask] = row;
    if (port > 0) this.#chainAnswer(row, answerHash(this.#seed, port, backendRow));
    this.live++;
    return at;
  }

  /**
   * Gives a session to another backend, as its first did not stay. @returns False when that has no translation port
   * left.
   */
  move(at: number, backendRow: number): boolean {
    const { words } = this;
    words[at + FLAGS] = words[at + FLAGS]! & ~(FLAG_ANSWERED | FLAG_ASSURED);
    if (words[at + TRANSLATION_PORT] === 0) {
      words[at + SESSION.backend] = backendRow;
      return true;
    }
    const port = this.#findPort(words[at + HASH]!, backendRow);
    if (port < 0) return false;
    this.#unchain(this.#byAnswer, words[at + ANSWER_HASH]!, at >> SHIFT, NEXT_BY_ANSWER);
    words[at + TRANSLATION_PORT] = port;
    words[at + SESSION.backend] = backendRow;
    this.#chainAnswer(at >> SHIFT, answerHash(this.#seed, port, backendRow));
    return true;
  }

  /** Notes a packet from the client. Hot path. */
  touchByClient(at: number, now: number): void {
    const flags = this.words[at + FLAGS]!;
    if ((flags & FLAG_ANSWERED) !== 0) this.words[at + FLAGS] = flags | FLAG_ASSURED;
    this.words[at + LAST_SEEN] = now;
  }

  /** Notes a packet from the backend. Hot path. */
  touchByAnswer(at: number, now: number): void {
    this.words[at + FLAGS] = this.words[at + FLAGS]! | FLAG_ANSWERED;
    this.words[at + LAST_SEEN] = now;
  }

  /** True for a session that has been silent for too long, and is as good as gone. */
  isExpired(at: number, now: number): boolean {
    return now - this.words[at + LAST_SEEN]! > this.words[at + IDLE]!;
  }

  remove(at: number): void {
    const { words } = this;
    const row = at >> SHIFT;
    this.#unchain(this.#byClient, words[at + HASH]!, row, NEXT_BY_CLIENT);
    if (words[at + TRANSLATION_PORT] !== 0) {
      this.#unchain(this.#byAnswer, words[at + ANSWER_HASH]!, row, NEXT_BY_ANSWER);
    }
    words[at + FLAGS] = 0;
    this.live--;
    this.#giveRow(row);
  }

  /** Removes the expired among the next `looks` rows. Called every now and then, it goes round all of them. */
  expire(now: number, looks: number): void {
    const used = this.#fresh;
    for (let look = Math.min(looks, used); look > 0; look--) {
      const at = this.#nextRow(used) << SHIFT;
      if ((this.words[at + FLAGS]! & FLAG_LIVE) !== 0 && this.isExpired(at, now)) this.remove(at);
    }
  }

  #nextRow(used: number): number {
    const row = this.#hand < used ? this.#hand : 0;
    this.#hand = row + 1;
    return row;
  }

  #takeRow(now: number): number {
    if (this.#free === NONE && this.#fresh === this.#capacity) this.#makeRoom(now);
    const row = this.#free;
    if (row !== NONE) {
      this.#free = this.words[(row << SHIFT) + NEXT_BY_CLIENT]!;
      return row;
    }
    return this.#fresh < this.#capacity ? this.#fresh++ : NONE;
  }

  #giveRow(row: number): void {
    this.words[(row << SHIFT) + NEXT_BY_CLIENT] = this.#free;
    this.#free = row;
  }

  #makeRoom(now: number): void {
    const { words } = this;
    let victim = NONE;
    for (let look = 0; look < EVICT_LOOKS; look++) {
      const at = this.#nextRow(this.#capacity) << SHIFT;
      if (this.isExpired(at, now)) {
        this.remove(at);
        return;
      }
      if ((words[at + FLAGS]! & FLAG_ASSURED) !== 0) continue;
      if (victim === NONE || words[at + LAST_SEEN]! < words[victim + LAST_SEEN]!) victim = at;
    }
    if (victim === NONE) return;
    this.remove(victim);
    this.evicted++;
  }

  /** A translation port that no session uses with this backend, or -1. */
  #findPort(hash: number, backendRow: number): number {
    const start = finishHash(hash) >>> 0;
    for (let attempt = 0; attempt < PORT_TRIES; attempt++) {
      const port = this.#firstPort + (start + attempt) % this.#portCount;
      if (this.findByAnswer(port, backendRow) === NONE) return port;
    }
    return NONE;
  }

  #chainAnswer(row: number, hash: number): void {
    const at = row << SHIFT;
    this.words[at + ANSWER_HASH] = hash;
    this.words[at + NEXT_BY_ANSWER] = this.#byAnswer[hash & this.#mask]!;
    this.#byAnswer[hash & this.#mask] = row;
  }

  #unchain(heads: Int32Array, hash: number, row: number, next: number): void {
    const { words } = this;
    const after = words[(row << SHIFT) + next]!;
    let at = heads[hash & this.#mask]!;
    if (at === row) {
      heads[hash & this.#mask] = after;
      return;
    }
    while (words[(at << SHIFT) + next] !== row) at = words[(at << SHIFT) + next]!;
    words[(at << SHIFT) + next] = after;
  }
}

function answerHash(seed: number, port: number, backendRow: number): number {
  return finishHash(mix(mix(seed, port), backendRow));
}
