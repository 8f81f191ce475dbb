/**
 * A keyed hash of a packet's flow that a sender cannot aim at: HalfSipHash-1-3, the one that Linux keys its own hash
 * tables with (Documentation/security/siphash.rst). Without the key nobody can choose flows that meet.
 *
 * @module
 */
import { IPV4, IPV6, type UdpPacket } from "./udp.ts";

const LITTLE = true;
const IPV4_ADDRESSES = IPV4.source;
const IPV6_ADDRESSES = IPV6.source;
/** The last word of SipHash holds the message's length in its top byte. */
const IPV4_LENGTH = 12 << 24;
const IPV6_LENGTH = 36 << 24;

/** 64 bits that only this process knows. */
export interface FlowKey {
  readonly low: number;
  readonly high: number;
}

/**
 * Hash of a packet's addresses and ports under a key. Hot path: no allocation.
 *
 * @returns 32 bits, signed.
 */
export function keyedFlowHash(view: DataView, { ip, udp, isIpv6 }: UdpPacket, key: FlowKey): number {
  let v0 = key.low;
  let v1 = key.high;
  let v2 = 0x6c796765 ^ key.low;
  let v3 = 0x74656462 ^ key.high;
  let at = ip + (isIpv6 ? IPV6_ADDRESSES : IPV4_ADDRESSES);
  // A round for the ports, each word of the addresses and the length; then three that only mix.
  let word = view.getInt32(udp, LITTLE);
  for (let left = isIpv6 ? 13 : 7; left > 0; left--) {
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
      word = view.getInt32(at, LITTLE);
      at += 4;
    } else if (left === 5) {
      word = isIpv6 ? IPV6_LENGTH : IPV4_LENGTH;
    } else if (left === 4) {
      v2 ^= 0xff;
      word = 0;
    }
  }
  return v1 ^ v3;
}
