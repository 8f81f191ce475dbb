/**
 * Puts IP packets into tunnels: IP in IP (RFC 2003, RFC 2473, RFC 4213), GRE (RFC 2784) and GUE (Generic UDP
 * Encapsulation, draft-ietf-intarea-gue, variant 0, as the kernel's fou module reads it). Outer headers are written in
 * front of a packet, into headroom.
 *
 * @module
 */
import { fold, sumHalfwords, udpChecksum } from "./checksum.ts";
import { IPV4, IPV6, UDP, UdpPacket } from "./udp.ts";

const LITTLE = true;
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const UDP_HEADER_BYTES = 8;
const IPV4_DO_NOT_FRAGMENT = 0x4000;
const HOPS = 64;
const PROTOCOL_IPV4 = 4;
const PROTOCOL_UDP = 17;
const PROTOCOL_IPV6 = 41;
const PROTOCOL_GRE = 47;
/** The port that IANA has given to GUE. */
export const GUE_PORT = 6080;
/** Source ports of GUE are those from here on: 14 bits that differ from flow to flow. */
const FIRST_GUE_SOURCE = 0xc000;

/** The formats, by number. */
export const TUNNEL = { ipip: 0, gue: 1, gre: 2 } as const;
const { ipip, gue } = TUNNEL;
/** Bytes between the outer and the inner IP header, by format. */
const BETWEEN = [0, UDP_HEADER_BYTES + 4, 4] as const;

/** For the outer checksum. */
const datagram = new UdpPacket();

/** Bytes that a tunnel adds to an IP packet. @param isOuterIpv6 The IP version between its ends. Hot path. */
export function tunnelBytes(format: number, isOuterIpv6: boolean): number {
  return (isOuterIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES) + BETWEEN[format]!;
}

/**
 * Puts a packet into a tunnel. `packet.ip` and `packet.ipBytes` are those of the outer packet afterwards. Hot path: no
 * allocation.
 *
 * The outer packet takes the DSCP and ECN bits of the inner one, and must not be fragmented. GUE over IPv4 has no UDP
 * checksum, as the kernel's has none by default; over IPv6 it has.
 *
 * @param words Where the tunnel's ends are: the box's address at word `source`, the other one at word `destination`.
 * @param flow The same for all packets of a flow. It chooses the source port of GUE and the flow label of IPv6.
 */
export function encapsulate(
  view: DataView,
  packet: UdpPacket,
  format: number,
  isOuterIpv6: boolean,
  words: Int32Array,
  source: number,
  destination: number,
  flow: number,
): void {
  const { ip: inner, ipBytes: innerBytes, isIpv6 } = packet;
  const traffic = view.getUint16(inner) >> (isIpv6 ? 4 : 0) & 0xff;
  const innerProtocol = isIpv6 ? PROTOCOL_IPV6 : PROTOCOL_IPV4;
  const added = tunnelBytes(format, isOuterIpv6);
  const ip = inner - added;
  const bytes = innerBytes + added;
  const protocol = format === ipip ? innerProtocol : format === gue ? PROTOCOL_UDP : PROTOCOL_GRE;
  if (isOuterIpv6) {
    view.setInt32(ip, 6 << 28 | traffic << 20 | (flow & 0xfffff));
    view.setUint16(ip + 4, bytes - IPV6_HEADER_BYTES);
    view.setUint16(ip + 6, protocol << 8 | HOPS);
    for (let word = 0; word < 4; word++) {
      view.setInt32(ip + IPV6.source + 4 * word, words[source + word]!, LITTLE);
      view.setInt32(ip + IPV6.destination + 4 * word, words[destination + word]!, LITTLE);
    }
  } else {
    view.setUint16(ip, 0x4500 | traffic);
    view.setUint16(ip + 2, bytes);
    view.setUint16(ip + 4, 0);
    view.setUint16(ip + 6, IPV4_DO_NOT_FRAGMENT);
    view.setUint16(ip + 8, HOPS << 8 | protocol);
    view.setUint16(ip + 10, 0);
    view.setInt32(ip + IPV4.source, words[source]!, LITTLE);
    view.setInt32(ip + IPV4.destination, words[destination]!, LITTLE);
    view.setUint16(ip + 10, ~fold(sumHalfwords(view, ip, IPV4_HEADER_BYTES)) & 0xffff, LITTLE);
  }
  const behind = ip + (isOuterIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES);
  if (format === gue) {
    view.setUint16(behind + UDP.source, FIRST_GUE_SOURCE | (flow ^ flow >>> 16) & 0x3fff);
    view.setUint16(behind + UDP.destination, GUE_PORT);
    view.setUint16(behind + UDP.length, inner + innerBytes - behind);
    view.setUint16(behind + UDP.checksum, 0);
    view.setInt32(behind + UDP_HEADER_BYTES, innerProtocol << 16);
    if (isOuterIpv6) writeChecksum(view, ip, behind, inner + innerBytes - behind);
  } else if (format !== ipip) {
    view.setInt32(behind, isIpv6 ? 0x86dd : 0x0800); // neither checksum nor key
  }
  packet.ip = ip;
  packet.ipBytes = bytes;
}

function writeChecksum(view: DataView, ip: number, udp: number, bytes: number): void {
  datagram.isIpv6 = true;
  datagram.ip = ip;
  datagram.udp = udp;
  datagram.udpBytes = bytes;
  view.setUint16(udp + UDP.checksum, udpChecksum(view, datagram), LITTLE);
}
