/**
 * The time to live of an IPv4 packet, and the hop limit of an IPv6 packet.
 *
 * @module
 */
import type { UdpPacket } from "./udp.ts";

const LITTLE = true;
const IPV4_TTL = 8;
const IPV4_CHECKSUM = 10;
const IPV6_HOP_LIMIT = 7;

/** Hops a packet may still make. A packet with 1 or 0 must not be sent on (RFC 1812 section 5.3.1). */
export function hopsLeft(view: DataView, { ip, isIpv6 }: UdpPacket): number {
  return view.getUint8(ip + (isIpv6 ? IPV6_HOP_LIMIT : IPV4_TTL));
}

/**
 * Decrements the TTL or hop limit and adjusts the IPv4 header checksum (RFC 1624). Hot path: no allocation.
 *
 * The packet must have at least one hop left.
 */
export function decrementHops(view: DataView, { ip, isIpv6 }: UdpPacket): void {
  const at = ip + (isIpv6 ? IPV6_HOP_LIMIT : IPV4_TTL);
  view.setUint8(at, view.getUint8(at) - 1);
  if (isIpv6) return;
  // The TTL is the low byte of its little-endian halfword: its sum is 1 less, so the checksum is 1 more, with
  // end-around carry.
  const checksum = view.getUint16(ip + IPV4_CHECKSUM, LITTLE) + 1;
  view.setUint16(ip + IPV4_CHECKSUM, checksum < 0xffff ? checksum : checksum + 1, LITTLE);
}
