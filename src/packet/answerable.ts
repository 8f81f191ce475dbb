/**
 * Which packets may be answered or sent on: those between two single hosts.
 *
 * @module
 */
import { IPV4, IPV6, type UdpPacket } from "./udp.ts";

const { source: IPV4_SOURCE, destination: IPV4_DESTINATION } = IPV4;
const { source: IPV6_SOURCE, destination: IPV6_DESTINATION } = IPV6;
const IPV4_BROADCAST = -1;
const IPV4_LOOPBACK = 127;
/** The first four bits of 224.0.0.0/4. */
const IPV4_GROUP = 0xe;
const IPV6_GROUP = 0xff;
/** The third word of ::ffff:0:0/96. */
const IPV6_MAPPED = 0xffff;

/**
 * False for a packet without a source port, from or to a group or broadcast MAC address, or from or to an IP address
 * that no single host on a network has: group, broadcast, loopback, unspecified, or an IPv4 address mapped into IPv6.
 * Hot path: no allocation.
 */
export function isAnswerable(view: DataView, packet: UdpPacket): boolean {
  const { ethernet, ip } = packet;
  if (packet.sourcePort === 0 || ((view.getUint8(ethernet) | view.getUint8(ethernet + 6)) & 1) !== 0) return false;
  return packet.isIpv6
    ? isHostIpv6(view, ip + IPV6_SOURCE) && isHostIpv6(view, ip + IPV6_DESTINATION)
    : isHostIpv4(view.getInt32(ip + IPV4_SOURCE)) && isHostIpv4(view.getInt32(ip + IPV4_DESTINATION));
}

function isHostIpv4(address: number): boolean {
  return address !== 0 && address !== IPV4_BROADCAST && (address >>> 24) !== IPV4_LOOPBACK &&
    (address >>> 28) !== IPV4_GROUP;
}

function isHostIpv6(view: DataView, at: number): boolean {
  const first = view.getInt32(at);
  if (first !== 0) return (first >>> 24) !== IPV6_GROUP;
  if (view.getInt32(at + 4) !== 0) return true;
  const third = view.getInt32(at + 8);
  if (third === 0) return (view.getInt32(at + 12) >>> 0) > 1;
  return third !== IPV6_MAPPED;
}
