/**
 * Network address translation of one UDP packet, in place: both addresses, both ports and the TTL, with the checksums
 * adjusted by what has changed (RFC 1624).
 *
 * @module
 */
import { finishUdpChecksum, fold } from "./checksum.ts";
import { decrementHops } from "./hops.ts";
import { IPV4, IPV6, UDP, type UdpPacket } from "./udp.ts";

/**
 * Sums do not depend on byte order as long as it is read and written the same way; the machine's own is the fast one.
 */
const LITTLE = true;
const { source: IPV4_SOURCE, destination: IPV4_DESTINATION } = IPV4;
const { source: IPV6_SOURCE, destination: IPV6_DESTINATION } = IPV6;
const { checksum: UDP_CHECKSUM } = UDP;
const IPV4_CHECKSUM = 10;

/**
 * Gives a packet new ends. Addresses are words as they stand in packets (one for IPv4, four for IPv6). Hot path: no
 * allocation.
 *
 * A checksum that the sender left to hardware is completed first; an IPv4 checksum of zero, "none", stays; a result of
 * zero is sent as its equal 0xffff (RFC 768).
 *
 * @param words Where both new addresses are, the source at word `source`, the destination at word `destination`.
 * @param ports The new ports: both halfwords as they stand in the packet, read as one little-endian word.
 */
export function translateUdp(
  view: DataView,
  packet: UdpPacket,
  sourceWords: Int32Array,
  source: number,
  destinationWords: Int32Array,
  destination: number,
  ports: number,
): void {
  const { ip, udp } = packet;
  finishUdpChecksum(view, packet);
  let change = 0;
  if (packet.isIpv6) {
    for (let word = 0; word < 4; word++) {
      change += replace(view, ip + IPV6_SOURCE + 4 * word, sourceWords[source + word]!);
      change += replace(view, ip + IPV6_DESTINATION + 4 * word, destinationWords[destination + word]!);
    }
  } else {
    change = replace(view, ip + IPV4_SOURCE, sourceWords[source]!) +
      replace(view, ip + IPV4_DESTINATION, destinationWords[destination]!);
    view.setUint16(ip + IPV4_CHECKSUM, adjust(view.getUint16(ip + IPV4_CHECKSUM, LITTLE), change), LITTLE);
  }
  decrementHops(view, packet);
  const checksum = view.getUint16(udp + UDP_CHECKSUM, LITTLE);
  change += replace(view, udp, ports);
  if (checksum === 0) return;
  const adjusted = adjust(checksum, change);
  view.setUint16(udp + UDP_CHECKSUM, adjusted === 0 ? 0xffff : adjusted, LITTLE);
}

/**
 * Gives a packet another destination port, and nothing else. Hot path: no allocation.
 *
 * @param port As it stands in the packet, read as a little-endian halfword.
 */
export function remapPort(view: DataView, packet: UdpPacket, port: number): void {
  finishUdpChecksum(view, packet);
  const { udp } = packet;
  const checksum = view.getUint16(udp + UDP_CHECKSUM, LITTLE);
  const change = replace(view, udp, (view.getInt32(udp, LITTLE) & 0xffff) | (port << 16));
  if (checksum === 0) return;
  const adjusted = adjust(checksum, change);
  view.setUint16(udp + UDP_CHECKSUM, adjusted === 0 ? 0xffff : adjusted, LITTLE);
}

/**
 * Writes a word. Hot path. @returns By how much that changes a one's complement sum of halfwords: at most 4 * 0xffff.
 */
export function replace(view: DataView, at: number, word: number): number {
  const old = view.getInt32(at, LITTLE);
  view.setInt32(at, word, LITTLE);
  return (word & 0xffff) + (word >>> 16) + (~old & 0xffff) + (~old >>> 16);
}

/** The checksum after its sum has changed by `change`. Hot path. */
export function adjust(checksum: number, change: number): number {
  return ~fold((~checksum & 0xffff) + change) & 0xffff;
}
