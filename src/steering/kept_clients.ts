/**
 * Sessions whose backends see the client's own address (`source: client`), found by the ends of an answer: the
 * backend's and the client's. All workers have them in one table, in memory that the XDP program reads, which so finds
 * the worker that has a session (bpf/kept.h).
 *
 * The table has sets of places, chosen by a keyed hash. A place has a tag, which is more of that hash and the worker,
 * and the session's row with that worker, plus one. Nothing in it moves, so who reads it needs no lock; who takes a
 * place compares and swaps.
 *
 * @module
 */
import type { FlowKey } from "../packet/flow_key.ts";
import { FLAG_IPV6, FLAG_LIVE, KEPT_PORT_SHIFT, SESSION, SESSION_SHIFT } from "./session_row.ts";

/** As bpf/steer.h has them: kept_clients_test.ts compares. */
export const KEPT_PLACES = 16;
export const KEPT_WORKER = 63;
export const KEPT_TAKEN = 1 << 30;
/** Words of a set: its tags, then its rows. */
const SET_SHIFT = 5;
export const KEPT_SET_BYTES = 4 << SET_SHIFT;
/** Places for each session that there may be: so many that a set hardly ever is full. */
const PLACES_PER_SESSION = 4;

/** No session. */
export const NOT_KEPT = -1;
/** No session any more: it had one a moment ago, when the XDP program looked. */
export const KEPT_BEFORE = -2;

const { client: CLIENT, ports: PORTS, backend: BACKEND_ROW, flags: FLAGS, kept: KEPT } = SESSION;
const SHIFT = SESSION_SHIFT;
const PLACES = KEPT_PLACES;
const WORKER = KEPT_WORKER;
const TAKEN = KEPT_TAKEN;
const LIVE = FLAG_LIVE;
const IPV6 = FLAG_IPV6;
const PORT_SHIFT = KEPT_PORT_SHIFT;
const OTHER_FLAGS = (1 << PORT_SHIFT) - 1;
const NONE = NOT_KEPT;
const BEFORE = KEPT_BEFORE;
const LITTLE = true;

/** Sets for so many sessions of all workers together: a power of two. */
export function keptSets(sessions: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, sessions * PLACES_PER_SESSION / KEPT_PLACES)));
}

/** Where the table is, as its maker knows it. */
export interface KeptPlace {
  readonly memory: { readonly address: bigint; readonly length: number };
  readonly setMask: number;
  readonly key: FlowKey;
}

/** What bpf/kept_table.ts does, and what tests make up. */
export interface KeptMemory {
  readonly place: KeptPlace;
  /**
   * Has answers looked for that come from these ports, besides those of before.
   *
   * @param rule The slot that they count with.
   */
  steer(ports: ReadonlySet<number>, rule: number): void;
  /** Whether no session is kept. Takes a millisecond for each worker. */
  readonly isEmpty: boolean;
  /** Has no answers looked for. */
  rest(): void;
}

export interface KeptOptions {
  /** {@linkcode KEPT_SET_BYTES} for each set; those of all workers see the same. */
  readonly memory: ArrayBufferLike;
  /** Sets that there are, less one. */
  readonly setMask: number;
  /** The same for all workers and the XDP program. */
  readonly key: FlowKey;
  readonly worker: number;
}

export class KeptClients {
  readonly #table: Int32Array;
  readonly #setMask: number;
  readonly #key: FlowKey;
  readonly #worker: number;
  readonly #words: Int32Array;
  // What is looked for: the backend's address, then the client's; the ports as an answer has them; and of its hash the
  // first word of its set, and its tag.
  readonly #ends = new Int32Array(8);
  #ports = 0;
  #isIpv6 = false;
  #set = 0;
  #tag = 0;

  /** @param words Those of this worker's sessions. */
  constructor({ memory, setMask, key, worker }: KeptOptions, words: Int32Array) {
    this.#table = new Int32Array(memory, 0, (setMask + 1) << SET_SHIFT);
    this.#setMask = setMask;
    this.#key = key;
    this.#worker = worker;
    this.#words = words;
  }

  /**
   * Whether a session has its place, for this port of its backend: another one with the same ends takes it. Hot path:
   * no allocation.
   */
  has(at: number, port: number): boolean {
    const place = this.#words[at + KEPT]! - 1;
    return place >= 0 && this.#words[at + FLAGS]! >>> PORT_SHIFT === port &&
      this.#isOf(at, place, Atomics.load(this.#table, place));
  }

  /**
   * Gives a session a place, by which its answers are found. One of another worker that has the same ends loses its
   * place; one of this worker is to be ended before (see {@linkcode sameAs}).
   *
   * @param port The backend's, as it stands in packets.
   * @returns False where the set is full.
   */
  take(at: number, backends: Int32Array, backend: number, port: number): boolean {
    this.#lookAt(at, backends, backend, port);
    const table = this.#table;
    const tag = this.#tag | this.#worker;
    for (let place = this.#set; place < this.#set + PLACES; place++) {
      const found = Atomics.load(table, place);
      const isElsewhere = (found & ~WORKER) === this.#tag && found !== tag;
      if (isElsewhere && Atomics.compareExchange(table, place, found, tag) === found) {
        return this.#enter(at, place, port);
      }
    }
    for (let place = this.#set; place < this.#set + PLACES; place++) {
      if (Atomics.compareExchange(table, place, 0, tag) === 0) return this.#enter(at, place, port);
    }
    return false;
  }

  /** Gives a session's place back, where it has one. */
  leave(at: number): void {
    const place = this.#words[at + KEPT]! - 1;
    this.#words[at + KEPT] = 0;
    if (place < 0) return;
    const found = Atomics.load(this.#table, place);
    if (this.#isOf(at, place, found)) Atomics.compareExchange(this.#table, place, found, 0);
  }

  /** Another session of this worker that has the same ends, or {@linkcode NOT_KEPT}. */
  sameAs(at: number, backends: Int32Array, backend: number, port: number): number {
    this.#lookAt(at, backends, backend, port);
    const other = this.#find(this.#words[at + BACKEND_ROW]!);
    return other === at || other < 0 ? NONE : other;
  }

  /**
   * The session that an answer belongs to: {@linkcode NOT_KEPT} where it is none, {@linkcode KEPT_BEFORE}. Hot path: no
   * allocation.
   *
   * @param backend Where the backend's address stands in `view`; `row` is the backend's.
   * @param client Where the client's address stands there.
   * @param ports As an answer has them, in one little-endian word.
   */
  find(view: DataView, backend: number, client: number, ports: number, isIpv6: boolean, row: number): number {
    const ends = this.#ends;
    const count = isIpv6 ? 4 : 1;
    for (let word = 0; word < count; word++) {
      ends[word] = view.getInt32(backend + 4 * word, LITTLE);
      ends[4 + word] = view.getInt32(client + 4 * word, LITTLE);
    }
    this.#ports = ports;
    this.#isIpv6 = isIpv6;
    this.#hash();
    return this.#find(row);
  }

  #find(row: number): number {
    const table = this.#table;
    const first = this.#set;
    const tag = this.#tag | this.#worker;
    for (let place = first; place < first + PLACES; place++) {
      if (Atomics.load(table, place) !== tag) continue;
      const at = table[place + PLACES]! - 1 << SHIFT;
      const flags = this.#words[at + FLAGS]!;
      if ((flags & LIVE) !== 0 && flags >>> PORT_SHIFT === (this.#ports & 0xffff) && this.#isBetween(at, row)) {
        return at;
      }
    }
    for (let place = first; place < first + PLACES; place++) {
      const before = table[place + PLACES]!;
      if (before !== 0 && this.#isBetween(before - 1 << SHIFT, row)) return BEFORE;
    }
    return NONE;
  }

  /** Whether a session has the ends that are looked for. */
  #isBetween(at: number, row: number): boolean {
    const words = this.#words;
    const ends = this.#ends;
    if (words[at + CLIENT] !== ends[4] || (words[at + PORTS]! & 0xffff) !== this.#ports >>> 16) return false;
    return words[at + BACKEND_ROW] === row && (!this.#isIpv6 ||
      (words[at + CLIENT + 1] === ends[5] && words[at + CLIENT + 2] === ends[6] && words[at + CLIENT + 3] === ends[7]));
  }

  #isOf(at: number, place: number, found: number): boolean {
    return found !== 0 && (found & WORKER) === this.#worker && this.#table[place + PLACES] === (at >> SHIFT) + 1;
  }

  #enter(at: number, place: number, port: number): boolean {
    const words = this.#words;
    this.#table[place + PLACES] = (at >> SHIFT) + 1;
    words[at + KEPT] = place + 1;
    words[at + FLAGS] = (words[at + FLAGS]! & OTHER_FLAGS) | port << PORT_SHIFT;
    return true;
  }

  /** Looks for a session's ends. */
  #lookAt(at: number, backends: Int32Array, backend: number, port: number): void {
    const words = this.#words;
    for (let word = 0; word < 4; word++) {
      this.#ends[word] = backends[backend + word]!;
      this.#ends[4 + word] = words[at + CLIENT + word]!;
    }
    this.#ports = port | words[at + PORTS]! << 16;
    this.#isIpv6 = (words[at + FLAGS]! & IPV6) !== 0;
    this.#hash();
  }

  /** The hash of bpf/kept.h: HalfSipHash-1-3, as for flows. */
  #hash(): void {
    const ends = this.#ends;
    const isIpv6 = this.#isIpv6;
    let v0 = this.#key.low;
    let v1 = this.#key.high;
    let v2 = 0x6c796765 ^ v0;
    let v3 = 0x74656462 ^ v1;
    const count = isIpv6 ? 4 : 1;
    let taken = 0;
    let word = this.#ports;
    for (let left = 2 * count + 5; left > 0; left--) {
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
      if (left > 5) {
        word = taken < count ? ends[taken]! : ends[4 + taken - count]!;
        taken++;
      } else if (left === 5) {
        word = isIpv6 ? 36 << 24 : 12 << 24;
      } else if (left === 4) {
        v2 ^= 0xff;
        word = 0;
      }
    }
    this.#set = ((v1 ^ v3) & this.#setMask) << SET_SHIFT;
    this.#tag = (v0 ^ v2 | TAKEN) & ~WORKER;
  }
}
