/**
 * One number for the flow a packet belongs to.
 *
 * @module
 */
import { IPV4, IPV6, type UdpPacket } from "./udp.ts";

const LITTLE = true;
const IPV4_ADDRESSES = IPV4.source;
const IPV6_ADDRESSES = IPV6.source;

/**
 * Hash of addresses and ports: the same on every machine for the same seed. Hot path: no allocation.
 *
 * @returns 32 bits, signed.
 */
export function flowHash(view: DataView, { ip, udp, isIpv6 }: UdpPacket, seed: number): number {
  let hash = mix(seed, view.getInt32(udp, LITTLE));
  const at = ip + (isIpv6 ? IPV6_ADDRESSES : IPV4_ADDRESSES);
  const end = at + (isIpv6 ? 32 : 8);
  for (let word = at; word < end; word += 4) hash = mix(hash, view.getInt32(word, LITTLE));
  return finishHash(hash);
}

/** Hash of the source address alone, otherwise as {@linkcode flowHash}. Hot path: no allocation. */
export function sourceHash(view: DataView, { ip, isIpv6 }: UdpPacket, seed: number): number {
  let hash = seed;
  const at = ip + (isIpv6 ? IPV6_ADDRESSES : IPV4_ADDRESSES);
  const end = at + (isIpv6 ? 16 : 4);
  for (let word = at; word < end; word += 4) hash = mix(hash, view.getInt32(word, LITTLE));
  return finishHash(hash);
}

/** Takes one more word into a hash. */
export function mix(hash: number, word: number): number {
  hash = Math.imul(hash ^ word, 0x9e3779b1);
  return hash ^ (hash >>> 15);
}

/** Spreads what the last words have put in over all bits. */
export function finishHash(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
