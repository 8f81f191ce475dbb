/**
 * What a forwarding session consists of: a row of 32 words.
 *
 * @module
 */
import { LINK_WORDS } from "../packet/link_header.ts";

/** Words of a session. Addresses are as they stand in packets, an IPv4 address in the first of four. */
export const SESSION = {
  client: 0,
  service: 4,
  /** Source and destination port of the client's packets, as they stand there, in one little-endian word. */
  ports: 8,
  /** Port that the backend sees and answers to; 0 where it sees the client itself. */
  translationPort: 9,
  /** Row of the backend table. */
  backend: 10,
  /** Rule slot. */
  rule: 11,
  /** When a packet was last seen in either direction, in seconds. */
  lastSeen: 12,
  flags: 13,
  /** Seconds of silence after which it is over. */
  idle: 14,
  /** Which of the worker's interfaces the client is behind. */
  interface: 15,
  /** Link header of packets to the client; see packet/link_header.ts. */
  link: 16,
  linkBytes: 16 + LINK_WORDS,
  hash: 23,
  nextByClient: 24,
  nextByAnswer: 25,
  answerHash: 26,
} as const;

export const FLAG_LIVE = 1;
export const FLAG_IPV6 = 2;
/** The backend has answered. */
export const FLAG_ANSWERED = 4;
/** The client has sent again after an answer: the source is no invention. */
export const FLAG_ASSURED = 8;

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
