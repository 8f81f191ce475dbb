/**
 * ICMP and ICMPv6 errors about UDP packets: unreachable, packet too big, time exceeded, parameter problem. An error
 * quotes the beginning of the packet that it is about, at least the IP header and 8 bytes: the UDP header.
 *
 * @module
 */
import { decrementHops } from "./hops.ts";
import { adjust, replace } from "./translate.ts";
import { findIp, IPV4, IPV6, skipIpv6Headers, UDP, UdpPacket } from "./udp.ts";

const LITTLE = true;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const PROTOCOL_ICMP = 1;
const PROTOCOL_UDP = 17;
const PROTOCOL_ICMPV6 = 58;
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const UDP_HEADER_BYTES = 8;
const ICMP_HEADER_BYTES = 8;
const ICMP_CHECKSUM = 2;
const IPV4_CHECKSUM = 10;
/** By type: a bit for each that is an error. */
const ICMP_ERRORS = 1 << 3 | 1 << 11 | 1 << 12;
const ICMPV6_ERRORS = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4;
/** Type and code; of ICMPv6 the type alone, as receivers ignore its code. */
const ICMP_FRAGMENTATION_NEEDED = 0x0304;
const ICMPV6_TOO_BIG = 2;
const ICMP_UNREACHABLE = 3;
const ICMPV6_UNREACHABLE = 1;
const { checksum: UDP_CHECKSUM } = UDP;
const { source: IPV4_SOURCE, destination: IPV4_DESTINATION } = IPV4;
const { source: IPV6_SOURCE, destination: IPV6_DESTINATION } = IPV6;

/** Where the headers of one error are. */
export class ReceivedError {
  /** The error's own packet. `udp` is where its ICMP header is; its ports are those of the packet it answers. */
  readonly outer = new UdpPacket();
  /** The packet that it quotes, of which `ipBytes` are there: the headers at least. `udpBytes` is what it says. */
  readonly quoted = new UdpPacket();
}

/** Whether an error says that packets do not get to where they are sent, of whatever size. Hot path: no allocation. */
export function saysUnreachable(view: DataView, { outer: { udp: icmp, isIpv6 } }: ReceivedError): boolean {
  const type = view.getUint8(icmp);
  return isIpv6
    ? type === ICMPV6_UNREACHABLE
    : type === ICMP_UNREACHABLE && view.getUint16(icmp) !== ICMP_FRAGMENTATION_NEEDED;
}

/**
 * Reads the headers of the ICMP error at `at`. Hot path: no allocation.
 *
 * @param view All of packet memory.
 * @param at Offset of the Ethernet header.
 * @param length Bytes in the frame.
 * @param out Filled in when the result is true.
 * @returns False when this is not an error about a UDP packet that its receiver has sent.
 */
export function readIcmpError(view: DataView, at: number, length: number, out: ReceivedError): boolean {
  const frameEnd = at + length;
  const ip = findIp(view, at, frameEnd);
  if (ip < 0) return false;
  const etherType = view.getUint16(ip - 2);
  const isIpv6 = etherType === ETHERTYPE_IPV6;
  if (!isIpv6 && etherType !== ETHERTYPE_IPV4) return false;
  if (ip + (isIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES) > frameEnd) return false;
  if (isIpv6 && view.getUint8(ip) >> 4 !== 6) return false;
  const end = isIpv6 ? ip + IPV6_HEADER_BYTES + view.getUint16(ip + 4) : ip + view.getUint16(ip + 2);
  if (end > frameEnd) return false;
  const icmp = isIpv6
    ? skipIpv6Headers(view, ip, end, PROTOCOL_ICMPV6)
    : skipIpv4Header(view, ip, PROTOCOL_ICMP, 0x3fff);
  if (icmp < 0 || icmp + ICMP_HEADER_BYTES > end) return false;
  const type = view.getUint8(icmp);
  if (type > 12 || ((isIpv6 ? ICMPV6_ERRORS : ICMP_ERRORS) >> type & 1) === 0) return false;

  const quoted = icmp + ICMP_HEADER_BYTES;
  if (quoted + (isIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES) > end) return false;
  let udp = quoted + IPV6_HEADER_BYTES;
  if (!isIpv6) udp = skipIpv4Header(view, quoted, PROTOCOL_UDP, 0x1fff);
  else if (view.getUint8(quoted) >> 4 !== 6 || view.getUint8(quoted + 6) !== PROTOCOL_UDP) return false;
  if (udp < 0 || udp + UDP_HEADER_BYTES > end) return false;
  // It is for whoever has sent the packet.
  if (isIpv6) {
    for (let word = 0; word < 16; word += 4) {
      if (view.getInt32(quoted + IPV6_SOURCE + word) !== view.getInt32(ip + IPV6_DESTINATION + word)) return false;
    }
  } else if (view.getInt32(quoted + IPV4_SOURCE) !== view.getInt32(ip + IPV4_DESTINATION)) {
    return false;
  }

  const { outer, quoted: packet } = out;
  outer.ethernet = packet.ethernet = at;
  outer.ip = ip;
  outer.ipBytes = end - ip;
  outer.udp = icmp;
  outer.udpBytes = end - icmp;
  outer.isIpv6 = packet.isIpv6 = isIpv6;
  packet.ip = quoted;
  packet.ipBytes = end - quoted;
  packet.udp = udp;
  packet.udpBytes = view.getUint16(udp + UDP.length);
  packet.sourcePort = view.getUint16(udp + UDP.source);
  packet.destinationPort = view.getUint16(udp + UDP.destination);
  outer.sourcePort = packet.destinationPort;
  outer.destinationPort = packet.sourcePort;
  return true;
}

/**
 * Hot path: no allocation.
 *
 * @param outer Of an error that was read.
 * @returns The path MTU that it states, bytes: 0 where it leaves the receiver to guess, Infinity where it is not about
 * one.
 */
export function statedMtu(view: DataView, { udp: icmp, isIpv6 }: UdpPacket): number {
  if (isIpv6) return view.getUint8(icmp) === ICMPV6_TOO_BIG ? view.getUint32(icmp + 4) : Infinity;
  return view.getUint16(icmp) === ICMP_FRAGMENTATION_NEEDED ? view.getUint16(icmp + 6) : Infinity;
}

/** @returns Offset behind an IPv4 header, or -1 where it is none of this protocol, or of a fragment. */
function skipIpv4Header(view: DataView, ip: number, protocol: number, fragmentBits: number): number {
  const versionAndWords = view.getUint8(ip);
  if (versionAndWords < 0x45 || versionAndWords > 0x4f || view.getUint8(ip + 9) !== protocol) return -1;
  return (view.getUint16(ip + 6) & fragmentBits) === 0 ? ip + ((versionAndWords & 15) << 2) : -1;
}

/**
 * Gives the packet that an error quotes new ends, and sends the error from the quoted packet's new destination to its
 * new source. The TTL or hop limit of the error is decremented. Hot path: no allocation.
 *
 * All checksums, those of the quoted headers too, are adjusted by what has changed (RFC 1624), so a message that was
 * damaged on its way stays so. Addresses and ports are given as to {@linkcode translateUdp}.
 */
export function translateError(
  view: DataView,
  { outer, quoted }: ReceivedError,
  sourceWords: Int32Array,
  source: number,
  destinationWords: Int32Array,
  destination: number,
  ports: number,
): void {
  const { ip, udp: icmp, isIpv6 } = outer;
  const { ip: quotedIp, udp } = quoted;
  /** Of the sum of the quoted addresses, that of the error's own, and that of the ICMP message. */
  let addresses = 0;
  let ends = 0;
  let message = 0;
  if (isIpv6) {
    for (let word = 0; word < 4; word++) {
      const from = sourceWords[source + word]!;
      const to = destinationWords[destination + word]!;
      addresses += replace(view, quotedIp + IPV6_SOURCE + 4 * word, from) +
        replace(view, quotedIp + IPV6_DESTINATION + 4 * word, to);
      ends += replace(view, ip + IPV6_SOURCE + 4 * word, to) + replace(view, ip + IPV6_DESTINATION + 4 * word, from);
    }
    message = ends; // the pseudo-header
  } else {
    const from = sourceWords[source]!;
    const to = destinationWords[destination]!;
    addresses = replace(view, quotedIp + IPV4_SOURCE, from) + replace(view, quotedIp + IPV4_DESTINATION, to);
    ends = replace(view, ip + IPV4_SOURCE, to) + replace(view, ip + IPV4_DESTINATION, from);
    adjustAt(view, ip + IPV4_CHECKSUM, ends);
    message = adjustAt(view, quotedIp + IPV4_CHECKSUM, addresses);
  }
  decrementHops(view, outer);
  const datagram = addresses + replace(view, udp, ports);
  message += datagram;
  if (view.getUint16(udp + UDP_CHECKSUM) !== 0) {
    message += adjustAt(view, udp + UDP_CHECKSUM, datagram);
    // A result of zero would be "no checksum": its equal stands for it, and leaves the message's sum as it is.
    if (view.getUint16(udp + UDP_CHECKSUM) === 0) view.setUint16(udp + UDP_CHECKSUM, 0xffff);
  }
  adjustAt(view, icmp + ICMP_CHECKSUM, message);
}

/** Adjusts a checksum to a changed sum. @returns By how much that changes a sum that the checksum is part of. */
function adjustAt(view: DataView, at: number, change: number): number {
  const old = view.getUint16(at, LITTLE);
  const adjusted = adjust(old, change);
  view.setUint16(at, adjusted, LITTLE);
  return adjusted + (~old & 0xffff);
}

/**
 * Lowers the MTU that an error tells by what this box adds to packets; errors that tell none stay as they are. Hot
 * path: no allocation.
 */
export function lowerMtu(view: DataView, error: UdpPacket, bytes: number): void {
  const mtu = statedMtu(view, error);
  if (mtu === Infinity || mtu <= bytes) return; // an IPv4 router of old tells 0
  const { udp: icmp } = error;
  adjustAt(view, icmp + ICMP_CHECKSUM, replace(view, icmp + 4, swapped(mtu - bytes)));
}

/** A word as it stands in a packet, read in little-endian order. */
function swapped(word: number): number {
  return (word & 0xff) << 24 | (word & 0xff00) << 8 | word >>> 8 & 0xff00 | word >>> 24;
}
