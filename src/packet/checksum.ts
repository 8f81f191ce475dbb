/**
 * The Internet checksum over packet memory (RFC 1071), and the state a UDP checksum can be in.
 *
 * Sums are taken over little-endian halfwords: a one's complement sum does not depend on byte order as long as it is
 * read and written the same way.
 *
 * @module
 */
import { IPV4, IPV6, UDP, type UdpPacket } from "./udp.ts";

const LITTLE = true;
/** The protocol field of the pseudo-header, UDP, as a little-endian halfword. */
const PSEUDO_PROTOCOL = 17 << 8;
const { length: LENGTH, checksum: CHECKSUM } = UDP;
const IPV4_SOURCE = IPV4.source;
const IPV6_SOURCE = IPV6.source;

/** Folds a sum of halfwords, of at most 2^32 - 1, to 16 bits with end-around carry. */
export function fold(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** Adds the halfwords of `[at, at + length)`; an odd last byte counts as if a zero followed. Up to 64 KiB. Hot path. */
export function sumHalfwords(view: DataView, at: number, length: number): number {
  let sum = 0;
  const words = at + (length & ~3);
  for (; at < words; at += 4) {
    const word = view.getInt32(at, LITTLE);
    sum += (word & 0xffff) + (word >>> 16);
  }
  if ((length & 2) !== 0) {
    sum += view.getUint16(at, LITTLE);
    at += 2;
  }
  return (length & 1) !== 0 ? sum + view.getUint8(at) : sum;
}

/** The folded sum of the pseudo-header of a UDP packet (RFC 768, RFC 8200 section 8.1). */
function pseudoHeaderSum(view: DataView, packet: UdpPacket): number {
  const addresses = packet.isIpv6
    ? sumHalfwords(view, packet.ip + IPV6_SOURCE, 32)
    : sumHalfwords(view, packet.ip + IPV4_SOURCE, 8);
  return fold(addresses + PSEUDO_PROTOCOL + view.getUint16(packet.udp + LENGTH, LITTLE));
}

/** The checksum a UDP packet should carry, as a little-endian halfword. Its present checksum field does not matter. */
export function udpChecksum(view: DataView, packet: UdpPacket): number {
  const datagram = sumHalfwords(view, packet.udp, packet.udpBytes) - view.getUint16(packet.udp + CHECKSUM, LITTLE);
  const sum = fold(pseudoHeaderSum(view, packet) + datagram);
  return sum === 0xffff ? 0xffff : ~sum & 0xffff;
}

/**
 * Completes a checksum that the sender's stack left for hardware to finish. Hot path: no allocation.
 *
 * A local sender on a virtual device leaves only the pseudo-header's sum in the field; sent back like that, the packet
 * would be dropped. A field that holds exactly that sum is such a one, and computing the full checksum then is always
 * right: were it a finished checksum that happens to look the same, the result would be the same number. A zero (IPv4:
 * no checksum) stays.
 */
export function finishUdpChecksum(view: DataView, packet: UdpPacket): void {
  const at = packet.udp + CHECKSUM;
  const field = view.getUint16(at, LITTLE);
  if (field !== 0 && field === pseudoHeaderSum(view, packet)) view.setUint16(at, udpChecksum(view, packet), LITTLE);
}
