/**
 * What a forwarding session consists of: a row of 32 words. Rows are all that has to outlive a process; the indexes of
 * a session table can be made from them.
 *
 * @module
 */
import { LINK_WORDS } from "../packet/link_header.ts";

/** log2 of the words of a session. */
export const SESSION_SHIFT = 5;

/** Words of a session. Addresses are as they stand in packets, an IPv4 address in the first of four. */
export const SESSION = {
  client: 0,
  service: 4,
  /** Source and destination port of the client's packets, as they stand there, in one little-endian word. */
  ports: 8,
  /** Port that the backend sees and answers to; 0 where it sees the client itself. */
  translationPort: 9,
  /** Place of the translation address that the backend sees, and {@linkcode SESSION.addressGeneration} of that. */
  address: 10,
  /** Row of the backend table, and the generation of that row which is meant. */
  backend: 11,
  backendGeneration: 12,
  /** Slot of the rule of the client's last packet. */
  rule: 13,
  /** Tick of the last packet in either direction. */
  lastSeen: 14,
  /** Tick of the client's last packet; not kept up for a conversation. */
  clientSeen: 15,
  link: 16,
  linkBytes: 16 + LINK_WORDS,
  flags: 23,
  hash: 24,
  nextByClient: 25,
  /** By which the client's last packet came, and answers go; see arrivals.ts. */
  arrival: 26,
  /** Differs each time the row is used: a session is its row and this. */
  generation: 27,
  /** Of the place in {@linkcode SESSION.address}: differs when that has another address. */
  addressGeneration: 28,
  /** Answers after which the session ends; 0: it ends by silence only. */
  awaited: 29,
  /** Differs from what it was when it last asked a watched backend, once that has answered anybody. */
  asked: 30,
  /** Its place among those whose clients keep their addresses (kept_clients.ts), plus one; 0: it has none. */
  kept: 31,
} as const;

export const FLAG_LIVE = 1;
export const FLAG_IPV6 = 2;
/** The backend has answered since the client's last packet. */
export const FLAG_ANSWERED = 4;
/** The backend has been told who the client is (`proxy_v2_first`). */
export const FLAG_TOLD = 8;
/** Answers begin with a header of Simple Proxy Protocol. */
export const FLAG_HEADED = 64;
/** Two bits for the session's rank, and four for how often its client has come back. */
export const RANK_SHIFT = 4;
export const EVIDENCE_SHIFT = 8;
/** Of a session with a place among kept clients: 16 bits for the backend's port, as it stands in packets. */
export const KEPT_PORT_SHIFT = 16;

const RANK_BITS = 3;

/** The rank in a session's flags. Hot path: no allocation. */
export function rankOf(flags: number): number {
  return (flags >> RANK_SHIFT) & RANK_BITS;
}

/**
 * Time is counted in ticks of 2^26 ns, a fifteenth of a second: a shift of the kernel's clock, which a BPF program can
 * afford too. An int32 of them lasts four years.
 */
export const TICK_MS = 2 ** 26 / 1e6;

/** Whole ticks that are not less than a time. @param ms Milliseconds. */
export function ticksOf(ms: number): number {
  return Math.ceil(ms / TICK_MS);
}

const LITTLE = true;

/** Whether the address at `at` in a packet is the one kept at word `from`. Hot path: no allocation. */
export function sameAddress(view: DataView, at: number, words: Int32Array, from: number, isIpv6: boolean): boolean {
  if (view.getInt32(at, LITTLE) !== words[from]) return false;
  return !isIpv6 || (view.getInt32(at + 4, LITTLE) === words[from + 1] &&
    view.getInt32(at + 8, LITTLE) === words[from + 2] && view.getInt32(at + 12, LITTLE) === words[from + 3]);
}

/** Keeps the address at `at` in a packet at word `to`. Hot path: no allocation. */
export function copyAddress(view: DataView, at: number, words: Int32Array, to: number, isIpv6: boolean): void {
  words[to] = view.getInt32(at, LITTLE);
  for (let word = 1; word < 4; word++) words[to + word] = isIpv6 ? view.getInt32(at + 4 * word, LITTLE) : 0;
}
