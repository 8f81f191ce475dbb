/**
 * Finds the session that a client's packet belongs to: rows in chains, by the keyed hash of their flow.
 *
 * @module
 */
import { IPV4, IPV6, type UdpPacket } from "../packet/udp.ts";
import { FLAG_IPV6, sameAddress, SESSION, SESSION_SHIFT } from "./session_row.ts";

const NONE = -1;
const LITTLE = true;
// An import is looked up at each use, a module's own constant is part of the code.
const SHIFT = SESSION_SHIFT;
const { source: IPV4_SOURCE, destination: IPV4_DESTINATION } = IPV4;
const { source: IPV6_SOURCE, destination: IPV6_DESTINATION } = IPV6;
const {
  client: CLIENT,
  service: SERVICE,
  ports: PORTS,
  flags: FLAGS,
  hash: HASH,
  nextByClient: NEXT_BY_CLIENT,
} = SESSION;

export class SessionChains {
  readonly #words: Int32Array;
  /** First row of each chain. */
  readonly #heads: Int32Array;
  readonly #mask: number;

  /** @param capacity Rows in `words`: a power of two. */
  constructor(words: Int32Array, capacity: number) {
    this.#words = words;
    this.#heads = new Int32Array(capacity).fill(NONE);
    this.#mask = capacity - 1;
  }

  /** The session of a packet's flow, as the index of its first word, or -1. Hot path: no allocation. */
  find(view: DataView, packet: UdpPacket, hash: number): number {
    const words = this.#words;
    const { ip, udp, isIpv6 } = packet;
    const ports = view.getInt32(udp, LITTLE);
    for (let row = this.#heads[hash & this.#mask]!; row !== NONE;) {
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

  /** Forgets all sessions. */
  clear(): void {
    this.#heads.fill(NONE);
  }

  /** Adds a session whose row has its hash. Hot path: no allocation. */
  add(at: number): void {
    const words = this.#words;
    const chain = words[at + HASH]! & this.#mask;
    words[at + NEXT_BY_CLIENT] = this.#heads[chain]!;
    this.#heads[chain] = at >> SHIFT;
  }

  /** Hot path: no allocation. */
  remove(at: number): void {
    const words = this.#words;
    const heads = this.#heads;
    const row = at >> SHIFT;
    const chain = words[at + HASH]! & this.#mask;
    const after = words[at + NEXT_BY_CLIENT]!;
    let before = heads[chain]!;
    if (before === row) {
      heads[chain] = after;
      return;
    }
    while (words[(before << SHIFT) + NEXT_BY_CLIENT] !== row) before = words[(before << SHIFT) + NEXT_BY_CLIENT]!;
    words[(before << SHIFT) + NEXT_BY_CLIENT] = after;
  }
}
