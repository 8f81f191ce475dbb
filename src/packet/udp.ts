/**
 * Finds the headers of a UDP packet in packet memory. Reads in place, through one long-lived DataView over the whole
 * UMEM; the result goes into a reused object, so nothing is allocated per packet.
 *
 * The XDP program has checked the packet already, but what is read here decides where this process writes, so every
 * bound is checked again. Both call the same frames whole UDP packets (tests/kernel/parsers_test.ts).
 *
 * @module
 */

const ETHERNET_BYTES = 14;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_QINQ = 0x88a8;
const VLAN_TAG_BYTES = 4;
/** Tags that are read: a frame with more is none of ours. */
export const MAX_VLAN_TAGS = 2;

const PROTOCOL_UDP = 17;
const IPV4_FRAGMENT_BITS = 0x3fff; // MF or a non-zero offset
const IPV6_FRAGMENT_BITS = 0xfff9;
const IPV6_HOP_BY_HOP = 0;
const IPV6_ROUTING = 43;
const IPV6_FRAGMENT = 44;
const IPV6_AUTHENTICATION = 51;
const IPV6_DESTINATION = 60;
const MAX_IPV6_EXTENSIONS = 6;
const IPV6_HEADER_BYTES = 40;
const UDP_HEADER_BYTES = 8;

const IPV4_HEADER_BYTES = 20;
/** Where the UDP header of a plain packet is. */
const PLAIN_UDP_AT = ETHERNET_BYTES + IPV4_HEADER_BYTES;
/** EtherType IPv4, then version 4 and a header of five words. */
const PLAIN_TYPE_AND_VERSION = (ETHERTYPE_IPV4 << 8) | 0x45;

/** Offsets within an IPv4, IPv6 and UDP header. */
export const IPV4 = { source: 12, destination: 16 } as const;
export const IPV6 = { source: 8, destination: 24 } as const;
/** Where the destination address of a plain packet is: see {@linkcode plainUdpPort}. */
export const PLAIN_DESTINATION = ETHERNET_BYTES + IPV4.destination;
export const UDP = { source: 0, destination: 2, length: 4, checksum: 6 } as const;

// An export is looked up at each use.
const { source: SOURCE, destination: DESTINATION, length: LENGTH } = UDP;
const maxVlanTags = MAX_VLAN_TAGS;

/** A port as it stands in a packet, read as a little-endian halfword; and back. */
export function portInPacket(port: number): number {
  return ((port & 0xff) << 8) | (port >>> 8);
}

/** Where the headers of one packet are, as offsets into packet memory. */
export class UdpPacket {
  /** First byte of the Ethernet header. */
  ethernet = 0;
  /** First byte of the IP header. */
  ip = 0;
  /** Bytes of the IP packet, by its own header. Padding may follow it in its frame. */
  ipBytes = 0;
  /** First byte of the UDP header. */
  udp = 0;
  /** UDP length: header and payload, bytes. */
  udpBytes = 0;
  isIpv6 = false;
  sourcePort = 0;
  destinationPort = 0;
}

/** Where a packet's source address is. Hot path. */
export function sourceOf({ ip, isIpv6 }: UdpPacket): number {
  return ip + (isIpv6 ? IPV6.source : IPV4.source);
}

/** Where a packet's destination address is. Hot path. */
export function destinationOf({ ip, isIpv6 }: UdpPacket): number {
  return ip + (isIpv6 ? IPV6.destination : IPV4.destination);
}

/**
 * Reads the headers of the packet at `at`. Hot path: no allocation.
 *
 * @param view All of packet memory.
 * @param at Offset of the Ethernet header.
 * @param length Bytes in the frame.
 * @param out Filled in when the result is true.
 * @returns False when this is not a whole UDP packet.
 */
export function readUdp(view: DataView, at: number, length: number, out: UdpPacket): boolean {
  const end = at + length;
  const ip = findIp(view, at, end);
  if (ip < 0) return false;
  const etherType = view.getUint16(ip - 2);
  let udp = 0;
  let ipBytes = 0;
  if (etherType === ETHERTYPE_IPV4) {
    if (ip + IPV4_HEADER_BYTES > end) return false;
    const version = view.getUint8(ip);
    udp = ip + ((version & 15) << 2);
    ipBytes = view.getUint16(ip + 2);
    if ((version >> 4) !== 4 || udp < ip + IPV4_HEADER_BYTES || ip + ipBytes > end) return false;
    // A fragment is not a whole packet.
    if (view.getUint8(ip + 9) !== PROTOCOL_UDP || (view.getUint16(ip + 6) & IPV4_FRAGMENT_BITS) !== 0) return false;
    out.isIpv6 = false;
  } else if (etherType === ETHERTYPE_IPV6) {
    if (ip + IPV6_HEADER_BYTES > end || (view.getUint8(ip) >> 4) !== 6) return false;
    ipBytes = IPV6_HEADER_BYTES + view.getUint16(ip + 4);
    if (ip + ipBytes > end) return false;
    udp = skipIpv6Headers(view, ip, end, PROTOCOL_UDP);
    if (udp < 0) return false;
    out.isIpv6 = true;
  } else {
    return false;
  }
  if (udp + UDP_HEADER_BYTES > ip + ipBytes) return false;
  const udpBytes = view.getUint16(udp + LENGTH);
  if (udpBytes < UDP_HEADER_BYTES || udp + udpBytes > ip + ipBytes) return false;

  out.ethernet = at;
  out.ip = ip;
  out.ipBytes = ipBytes;
  out.udp = udp;
  out.udpBytes = udpBytes;
  out.sourcePort = view.getUint16(udp + SOURCE);
  out.destinationPort = view.getUint16(udp + DESTINATION);
  return true;
}

/**
 * The destination port of a packet of the plain kind: IPv4 without VLAN tags, options, fragments or bytes behind the
 * datagram. Nearly all packets are, and for those this is four loads. Hot path: no allocation.
 *
 * @returns -1 for all others, which {@linkcode readUdp} has to look at.
 */
export function plainUdpPort(view: DataView, at: number, length: number): number {
  if (length < PLAIN_UDP_AT + UDP_HEADER_BYTES) return -1;
  // EtherType, version and header length.
  if ((view.getInt32(at + ETHERNET_BYTES - 2) >>> 8) !== PLAIN_TYPE_AND_VERSION) return -1;
  // Fragment flag and offset, time to live, protocol.
  if ((view.getInt32(at + ETHERNET_BYTES + 6) & 0x3fff00ff) !== PROTOCOL_UDP) return -1;
  const portAndLength = view.getInt32(at + PLAIN_UDP_AT + DESTINATION);
  const udpBytes = portAndLength & 0xffff;
  if (udpBytes < UDP_HEADER_BYTES || PLAIN_UDP_AT + udpBytes > length) return -1;
  if (view.getUint16(at + ETHERNET_BYTES + 2) !== IPV4_HEADER_BYTES + udpBytes) return -1;
  return portAndLength >>> 16;
}

/** Fills in where the headers are of a packet for which {@linkcode plainUdpPort} gave `destinationPort`. */
export function readPlainUdp(view: DataView, at: number, destinationPort: number, out: UdpPacket): void {
  const udp = at + PLAIN_UDP_AT;
  out.ethernet = at;
  out.ip = at + ETHERNET_BYTES;
  out.udp = udp;
  out.udpBytes = view.getUint16(udp + LENGTH);
  out.ipBytes = IPV4_HEADER_BYTES + out.udpBytes;
  out.isIpv6 = false;
  out.sourcePort = view.getUint16(udp + SOURCE);
  out.destinationPort = destinationPort;
}

/** @returns Offset behind the link header and its VLAN tags, where the EtherType ends; or -1. Hot path. */
export function findIp(view: DataView, at: number, end: number): number {
  let ip = at + ETHERNET_BYTES;
  if (ip > end) return -1;
  let etherType = view.getUint16(ip - 2);
  for (let tags = 0; etherType === ETHERTYPE_VLAN || etherType === ETHERTYPE_QINQ; tags++) {
    if (tags === maxVlanTags || ip + VLAN_TAG_BYTES > end) return -1;
    ip += VLAN_TAG_BYTES;
    etherType = view.getUint16(ip - 2);
  }
  return ip;
}

/**
 * @returns Offset of the header of a protocol behind an IPv6 header, which has to be there, and its extension headers;
 * or -1. Hot path: no allocation.
 */
export function skipIpv6Headers(view: DataView, ip: number, end: number, protocol: number): number {
  let next = view.getUint8(ip + 6);
  let at = ip + IPV6_HEADER_BYTES;
  for (let walked = 0; next !== protocol; walked++) {
    if (walked === MAX_IPV6_EXTENSIONS || at + 8 > end) return -1;
    const length = view.getUint8(at + 1);
    switch (next) {
      case IPV6_FRAGMENT:
        if ((view.getUint16(at + 2) & IPV6_FRAGMENT_BITS) !== 0) return -1;
        next = view.getUint8(at);
        at += 8;
        break;
      case IPV6_AUTHENTICATION:
        next = view.getUint8(at);
        at += (length + 2) * 4;
        break;
      case IPV6_ROUTING:
        // A source route: the packet is not for this box yet.
        if (view.getUint8(at + 3) !== 0) return -1;
        next = view.getUint8(at);
        at += (length + 1) * 8;
        break;
      case IPV6_HOP_BY_HOP:
      case IPV6_DESTINATION:
        next = view.getUint8(at);
        at += (length + 1) * 8;
        break;
      default:
        return -1;
    }
  }
  return at;
}
