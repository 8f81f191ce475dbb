/**
 * The ICMP error that tells a sender how large its packets may be: "fragmentation needed" (RFC 792, RFC 1191) and
 * "packet too big" (RFC 4443). It is written in front of the packet it is about, whose first bytes it quotes where they
 * are.
 *
 * @module
 */
import { fold, sumHalfwords } from "./checksum.ts";
import { IPV4, IPV6, type UdpPacket } from "./udp.ts";

const ICMP_BYTES = 8;
const IPV4_HEADER_BYTES = 20;
const IPV4_DO_NOT_FRAGMENT = 0x4000;
const IPV4_QUOTED_PAYLOAD = 8;
const IPV4_FRAGMENTATION_NEEDED = 0x0304;
const IPV6_HEADER_BYTES = 40;
/** An error must not be larger than every link carries. */
const MAX_IPV6_ERROR_BYTES = 1280;
const IPV6_PACKET_TOO_BIG = 0x0200;
const PROTOCOL_ICMPV6 = 58;
const HOPS = 64;
const LITTLE = true;

/** Where the error's IP header is, and how long its packet is; of the last call that returned true. */
export const tooBig = { ip: 0, bytes: 0 };

/**
 * Writes the error into {@linkcode tooBig}'s place, from the packet's destination to its source. Hot path: no
 * allocation.
 *
 * @param ipBytes Of the packet it is about.
 * @param mtu What would have gone through, bytes.
 * @returns False for an IPv4 packet that allows fragments: nobody is told of those.
 */
export function writeTooBig(view: DataView, { ip, isIpv6 }: UdpPacket, ipBytes: number, mtu: number): boolean {
  return isIpv6 ? writeIpv6(view, ip, ipBytes, mtu) : writeIpv4(view, ip, mtu);
}

function writeIpv4(view: DataView, quoted: number, mtu: number): boolean {
  if ((view.getUint16(quoted + 6) & IPV4_DO_NOT_FRAGMENT) === 0) return false;
  const icmpBytes = ICMP_BYTES + ((view.getUint8(quoted) & 15) << 2) + IPV4_QUOTED_PAYLOAD;
  const icmp = quoted - ICMP_BYTES;
  const ip = icmp - IPV4_HEADER_BYTES;
  view.setUint16(ip, 0x4500);
  view.setUint16(ip + 2, IPV4_HEADER_BYTES + icmpBytes);
  view.setUint16(ip + 4, 0);
  view.setUint16(ip + 6, IPV4_DO_NOT_FRAGMENT);
  view.setUint16(ip + 8, HOPS << 8 | 1);
  view.setUint16(ip + 10, 0);
  view.setInt32(ip + IPV4.source, view.getInt32(quoted + IPV4.destination));
  view.setInt32(ip + IPV4.destination, view.getInt32(quoted + IPV4.source));
  view.setUint16(ip + 10, ~fold(sumHalfwords(view, ip, IPV4_HEADER_BYTES)) & 0xffff, LITTLE);
  view.setUint16(icmp, IPV4_FRAGMENTATION_NEEDED);
  view.setUint16(icmp + 2, 0);
  view.setInt32(icmp + 4, mtu);
  view.setUint16(icmp + 2, ~fold(sumHalfwords(view, icmp, icmpBytes)) & 0xffff, LITTLE);
  tooBig.ip = ip;
  tooBig.bytes = IPV4_HEADER_BYTES + icmpBytes;
  return true;
}

function writeIpv6(view: DataView, quoted: number, ipBytes: number, mtu: number): boolean {
  const icmpBytes = ICMP_BYTES + Math.min(ipBytes, MAX_IPV6_ERROR_BYTES - IPV6_HEADER_BYTES - ICMP_BYTES);
  const icmp = quoted - ICMP_BYTES;
  const ip = icmp - IPV6_HEADER_BYTES;
  view.setInt32(ip, 0x60000000);
  view.setUint16(ip + 4, icmpBytes);
  view.setUint16(ip + 6, PROTOCOL_ICMPV6 << 8 | HOPS);
  for (let at = 0; at < 16; at += 4) {
    view.setInt32(ip + IPV6.source + at, view.getInt32(quoted + IPV6.destination + at));
    view.setInt32(ip + IPV6.destination + at, view.getInt32(quoted + IPV6.source + at));
  }
  view.setUint16(icmp, IPV6_PACKET_TOO_BIG);
  view.setUint16(icmp + 2, 0);
  view.setInt32(icmp + 4, mtu);
  const addresses = sumHalfwords(view, ip + IPV6.source, 32);
  // Length and protocol of the pseudo-header, as little-endian halfwords.
  const pseudo = fold(addresses + view.getUint16(ip + 4, LITTLE) + (PROTOCOL_ICMPV6 << 8));
  view.setUint16(icmp + 2, ~fold(pseudo + sumHalfwords(view, icmp, icmpBytes)) & 0xffff, LITTLE);
  tooBig.ip = ip;
  tooBig.bytes = IPV6_HEADER_BYTES + icmpBytes;
  return true;
}
