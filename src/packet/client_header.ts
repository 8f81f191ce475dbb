/**
 * Headers that tell a backend who the client is, between a datagram's UDP header and its payload: PROXY protocol
 * version 2 (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt) and Cloudflare's Simple Proxy Protocol for
 * UDP. The IP and UDP headers are moved towards the headroom to make room; the payload stays where it is.
 *
 * @module
 */
import { sumHalfwords } from "./checksum.ts";
import { adjust } from "./translate.ts";
import { UDP, type UdpPacket } from "./udp.ts";

const LITTLE = true;
const UDP_HEADER_BYTES = 8;
const IPV4_TOTAL = 2;
const IPV6_PAYLOAD = 4;
const IPV4_CHECKSUM = 10;

/** Bytes of a header of PROXY protocol version 2, by IP version, and of Simple Proxy Protocol. */
export const PROXY_V2_BYTES = { ipv4: 28, ipv6: 52 } as const;
export const SIMPLE_PROXY_BYTES = 38;

const SIMPLE_PROXY_MAGIC = 0x56ec;
/** The halfword before the address in an IPv4-mapped IPv6 address, and where the address is in it. */
const MAPPED = 0xffff;
const MAPPED_ADDRESS_AT = 12;

/** Where a client, the address it talks to, and the ports of both are among words; as they stand in its packets. */
export interface Ends {
  readonly client: number;
  readonly service: number;
  /** Source and destination port in one little-endian word. */
  readonly ports: number;
}

/**
 * Puts a header of PROXY protocol version 2 in front of the payload. Hot path: no allocation.
 *
 * The packet's checksum must be finished. A checksum of zero ("none") stays.
 *
 * @param words Where the {@linkcode Ends} are, from word `at` on.
 */
export function addProxyV2(view: DataView, packet: UdpPacket, words: Int32Array, at: number, ends: Ends): void {
  const { isIpv6 } = packet;
  const bytes = isIpv6 ? PROXY_V2_BYTES.ipv6 : PROXY_V2_BYTES.ipv4;
  const to = makeRoom(view, packet, bytes);
  view.setInt32(to, 0x0d0a0d0a);
  view.setInt32(to + 4, 0x000d0a51);
  view.setInt32(to + 8, 0x5549540a);
  // Version 2, PROXY; a datagram over IPv4 or IPv6; bytes that follow.
  view.setInt32(to + 12, isIpv6 ? 0x21220024 : 0x2112000c);
  const addressBytes = isIpv6 ? 16 : 4;
  for (let byte = 0; byte < addressBytes; byte += 4) {
    view.setInt32(to + 16 + byte, words[at + ends.client + (byte >> 2)]!, LITTLE);
    view.setInt32(to + 16 + addressBytes + byte, words[at + ends.service + (byte >> 2)]!, LITTLE);
  }
  view.setInt32(to + 16 + 2 * addressBytes, words[at + ends.ports]!, LITTLE);
  addToChecksum(view, packet, sumHalfwords(view, to, bytes));
}

/** Puts a header of Simple Proxy Protocol in front of the payload, as {@linkcode addProxyV2} does. Hot path. */
export function addSimpleProxy(view: DataView, packet: UdpPacket, words: Int32Array, at: number, ends: Ends): void {
  const to = makeRoom(view, packet, SIMPLE_PROXY_BYTES);
  view.setUint16(to, SIMPLE_PROXY_MAGIC);
  writeAddress(view, to + 2, words, at + ends.client, packet.isIpv6);
  writeAddress(view, to + 18, words, at + ends.service, packet.isIpv6);
  view.setInt32(to + 34, words[at + ends.ports]!, LITTLE);
  addToChecksum(view, packet, sumHalfwords(view, to, SIMPLE_PROXY_BYTES));
}

/**
 * Whether the payload of an answer begins with the header of Simple Proxy Protocol that its client's packets had. Hot
 * path: no allocation.
 */
export function hasSimpleProxy(
  view: DataView,
  { udp, udpBytes, isIpv6 }: UdpPacket,
  words: Int32Array,
  at: number,
  ends: Ends,
): boolean {
  const header = udp + UDP_HEADER_BYTES;
  return udpBytes >= UDP_HEADER_BYTES + SIMPLE_PROXY_BYTES && view.getUint16(header) === SIMPLE_PROXY_MAGIC &&
    isAddress(view, header + 2, words, at + ends.client, isIpv6) &&
    isAddress(view, header + 18, words, at + ends.service, isIpv6) &&
    view.getInt32(header + 34, LITTLE) === words[at + ends.ports];
}

/** Takes the header of Simple Proxy Protocol out of a packet that has one, and a finished checksum. Hot path. */
export function removeSimpleProxy(view: DataView, packet: UdpPacket): void {
  const sum = sumHalfwords(view, packet.udp + UDP_HEADER_BYTES, SIMPLE_PROXY_BYTES);
  // The complements of `sum`'s halfwords take it away.
  const change = (~sum & 0xffff) + (~sum >>> 16);
  const { ip, udp } = packet;
  for (let from = udp + UDP_HEADER_BYTES - 2; from >= ip; from -= 2) {
    view.setUint16(from + SIMPLE_PROXY_BYTES, view.getUint16(from, LITTLE), LITTLE);
  }
  resize(packet, -SIMPLE_PROXY_BYTES);
  addToChecksum(view, packet, change);
}

/** Moves the IP and UDP headers. @returns Where the room is. */
function makeRoom(view: DataView, packet: UdpPacket, bytes: number): number {
  const { ip, udp } = packet;
  const payload = udp + UDP_HEADER_BYTES;
  // Both headers are whole words long.
  for (let from = ip; from < payload; from += 4) {
    view.setInt32(from - bytes, view.getInt32(from, LITTLE), LITTLE);
  }
  resize(packet, bytes);
  return payload - bytes;
}

/** Notes that the headers begin `bytes` earlier. */
function resize(packet: UdpPacket, bytes: number): void {
  packet.ip -= bytes;
  packet.udp -= bytes;
  packet.ipBytes += bytes;
  packet.udpBytes += bytes;
}

/** Writes the packet's lengths, and adjusts its checksums by them and by a change of its payload's sum. */
function addToChecksum(view: DataView, { ip, ipBytes, udp, udpBytes, isIpv6 }: UdpPacket, payload: number): void {
  if (isIpv6) {
    replaceHalfword(view, ip + IPV6_PAYLOAD, ipBytes - 40);
  } else {
    const change = replaceHalfword(view, ip + IPV4_TOTAL, ipBytes);
    view.setUint16(ip + IPV4_CHECKSUM, adjust(view.getUint16(ip + IPV4_CHECKSUM, LITTLE), change), LITTLE);
  }
  // The length counts twice: in the header and in the pseudo-header.
  const change = 2 * replaceHalfword(view, udp + UDP.length, udpBytes) + payload;
  const checksum = view.getUint16(udp + UDP.checksum, LITTLE);
  if (checksum === 0) return;
  const adjusted = adjust(checksum, change);
  view.setUint16(udp + UDP.checksum, adjusted === 0 ? 0xffff : adjusted, LITTLE);
}

/** Writes a halfword. @returns By how much that changes a sum of little-endian halfwords. */
function replaceHalfword(view: DataView, at: number, value: number): number {
  const old = view.getUint16(at, LITTLE);
  view.setUint16(at, value);
  return view.getUint16(at, LITTLE) + (~old & 0xffff);
}

function writeAddress(view: DataView, to: number, words: Int32Array, at: number, isIpv6: boolean): void {
  if (isIpv6) {
    for (let word = 0; word < 4; word++) view.setInt32(to + 4 * word, words[at + word]!, LITTLE);
    return;
  }
  view.setInt32(to, 0);
  view.setInt32(to + 4, 0);
  view.setInt32(to + 8, MAPPED);
  view.setInt32(to + MAPPED_ADDRESS_AT, words[at]!, LITTLE);
}

function isAddress(view: DataView, at: number, words: Int32Array, from: number, isIpv6: boolean): boolean {
  if (!isIpv6) {
    return view.getInt32(at) === 0 && view.getInt32(at + 4) === 0 && view.getInt32(at + 8) === MAPPED &&
      view.getInt32(at + MAPPED_ADDRESS_AT, LITTLE) === words[from];
  }
  for (let word = 0; word < 4; word++) {
    if (view.getInt32(at + 4 * word, LITTLE) !== words[from + word]) return false;
  }
  return true;
}
