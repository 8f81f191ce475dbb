/**
 * Which packets may be answered or sent on: those between two single hosts.
 *
 * @module
 */
import { IPV4, IPV6, type UdpPacket } from "./udp.ts";

const { source: IPV4_SOURCE, destination: IPV4_DESTINATION } = IPV4;
const { source: IPV6_SOURCE, destination: IPV6_DESTINATION } = IPV6;
/** First bytes of IPv4 addresses: 0.0.0.0/8 ("this network"), 127.0.0.0/8, and 224.0.0.0/4 with all after it. */
const IPV4_ZERO = 0;
const IPV4_LOOPBACK = 127;
const IPV4_GROUP = 224;
const IPV6_GROUP = 0xff;
/** The first halfwords of 169.254.0.0/16 and fe80::/10. */
const IPV4_LINK_LOCAL = 0xa9fe;
const IPV6_LINK_LOCAL = 0xfe80;
/** The third word of ::ffff:0:0/96. */
const IPV6_MAPPED = 0xffff;

/**
 * False for a packet without a source port, from or to a group or broadcast MAC address, or from or to an IP address
 * that no single host on a network has: group, broadcast, loopback, unspecified, reserved (240.0.0.0/4), or an IPv4
 * address mapped into IPv6. Hot path: no allocation.
 */
export function isAnswerable(view: DataView, packet: UdpPacket): boolean {
  const { ethernet, ip } = packet;
  if (packet.sourcePort === 0 || ((view.getUint8(ethernet) | view.getUint8(ethernet + 6)) & 1) !== 0) return false;
  return packet.isIpv6
    ? isHostIpv6(view, ip + IPV6_SOURCE) && isHostIpv6(view, ip + IPV6_DESTINATION)
    : isHostIpv4(view.getInt32(ip + IPV4_SOURCE)) && isHostIpv4(view.getInt32(ip + IPV4_DESTINATION));
}

/** False where a packet comes from no single host's address, as {@linkcode isAnswerable} has it. Hot path. */
export function isFromHost(view: DataView, { ip, isIpv6 }: UdpPacket): boolean {
  return isIpv6 ? isHostIpv6(view, ip + IPV6_SOURCE) : isHostIpv4(view.getInt32(ip + IPV4_SOURCE));
}

function isHostIpv4(address: number): boolean {
  const first = address >>> 24;
  return first !== IPV4_ZERO && first !== IPV4_LOOPBACK && first < IPV4_GROUP;
}

function isHostIpv6(view: DataView, at: number): boolean {
  const first = view.getInt32(at);
  if (first !== 0) return (first >>> 24) !== IPV6_GROUP;
  if (view.getInt32(at + 4) !== 0) return true;
  const third = view.getInt32(at + 8);
  if (third === 0) return (view.getInt32(at + 12) >>> 0) > 1;
  return third !== IPV6_MAPPED;
}

/**
 * True for a packet from or to a link-local address. Such a packet must not be sent on to another link (RFC 4291
 * section 2.5.6, RFC 3927 section 7). Hot path: no allocation.
 */
export function isLinkLocal(view: DataView, { ip, isIpv6 }: UdpPacket): boolean {
  return isIpv6
    ? isLinkLocalIpv6(view.getUint16(ip + IPV6_SOURCE)) || isLinkLocalIpv6(view.getUint16(ip + IPV6_DESTINATION))
    : view.getUint16(ip + IPV4_SOURCE) === IPV4_LINK_LOCAL || view.getUint16(ip + IPV4_DESTINATION) === IPV4_LINK_LOCAL;
}

function isLinkLocalIpv6(first: number): boolean {
  return (first & 0xffc0) === IPV6_LINK_LOCAL;
}
