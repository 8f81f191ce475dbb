/**
 * The ICMP errors of this box about a packet that it does not send on: too big (RFC 792, RFC 1191, RFC 4443), or out of
 * hops. An error is written in front of the packet it is about, whose first bytes it quotes where they are.
 *
 * @module
 */
import { fold, sumHalfwords } from "./checksum.ts";
import { IPV4, IPV6, type UdpPacket } from "./udp.ts";

const ICMP_BYTES = 8;
const IPV4_HEADER_BYTES = 20;
const IPV4_DO_NOT_FRAGMENT = 0x4000;
const IPV4_QUOTED_PAYLOAD = 8;
const IPV6_HEADER_BYTES = 40;
/** An error must not be larger than every link carries. */
const MAX_IPV6_ERROR_BYTES = 1280;
const PROTOCOL_ICMPV6 = 58;
const HOPS = 64;
const LITTLE = true;

/** The errors: type and code as one halfword, by IP version. */
export const ICMP_ERROR = {
  tooBig: { ipv4: 0x0304, ipv6: 0x0200 },
  hopsExceeded: { ipv4: 0x0b00, ipv6: 0x0300 },
} as const;
export type IcmpError = (typeof ICMP_ERROR)[keyof typeof ICMP_ERROR];

const { tooBig } = ICMP_ERROR;

/** Where the error's IP header is, and how long its packet is; of the last call that returned true. */
export const written = { ip: 0, bytes: 0 };

/**
 * Writes an error from the packet's destination to its source into {@linkcode written}'s place. Hot path: no
 * allocation.
 *
 * @param mtu The largest IP packet that would have gone through, bytes; 0 where that is not the reason.
 * @returns False where nobody is to be told: an IPv4 packet that is too big but may be fragmented. Its sender does not
 * expect the error (RFC 792), and would only send fragments, which are not forwarded.
 */
export function writeIcmpError(view: DataView, packet: UdpPacket, error: IcmpError, mtu: number): boolean {
  if (packet.isIpv6) {
    writeIpv6(view, packet, error.ipv6, mtu);
    return true;
  }
  if (error === tooBig && (view.getUint16(packet.ip + 6) & IPV4_DO_NOT_FRAGMENT) === 0) return false;
  writeIpv4(view, packet.ip, error.ipv4, mtu);
  return true;
}

function writeIpv4(view: DataView, quoted: number, error: number, mtu: number): void {
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
  view.setUint16(icmp, error);
  view.setUint16(icmp + 2, 0);
  view.setInt32(icmp + 4, mtu);
  view.setUint16(icmp + 2, ~fold(sumHalfwords(view, icmp, icmpBytes)) & 0xffff, LITTLE);
  written.ip = ip;
  written.bytes = IPV4_HEADER_BYTES + icmpBytes;
}

function writeIpv6(view: DataView, { ip: quoted, ipBytes }: UdpPacket, error: number, mtu: number): void {
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
  view.setUint16(icmp, error);
  view.setUint16(icmp + 2, 0);
  view.setInt32(icmp + 4, mtu);
  const addresses = sumHalfwords(view, ip + IPV6.source, 32);
  // Length and protocol of the pseudo-header, as little-endian halfwords.
  const pseudo = fold(addresses + view.getUint16(ip + 4, LITTLE) + (PROTOCOL_ICMPV6 << 8));
  view.setUint16(icmp + 2, ~fold(pseudo + sumHalfwords(view, icmp, icmpBytes)) & 0xffff, LITTLE);
  written.ip = ip;
  written.bytes = IPV6_HEADER_BYTES + icmpBytes;
}
