/**
 * Builds Ethernet frames byte by byte: VLAN tags, IPv4 with options and fragments, IPv6 with extension headers, UDP
 * with correct checksums. Pure, and independent of src/packet, so that tests can hold one against the other.
 *
 * @module
 */
import { parseAddress, parseMac } from "../packet/address.ts";

export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, qinq: 0x88a8, lldp: 0x88cc } as const;
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, esp: 50, icmpv6: 58, none: 59 } as const;

export interface Endpoint {
  readonly mac: string;
  /** IPv4 or IPv6; both endpoints of one family. */
  readonly address: string;
  /** UDP port; 0 where undefined. */
  readonly port?: number;
}

export interface VlanTag {
  readonly id: number;
  /** `ETHERTYPE.vlan` where undefined. */
  readonly type?: number;
}

/** Where a fragment belongs in its datagram. */
export interface Fragment {
  /** Bytes before this fragment, a multiple of 8. */
  readonly offset: number;
  /** True for all but the last. */
  readonly more: boolean;
  readonly id?: number;
}

/** One IPv6 extension header. */
export type Ipv6Extension =
  | {
    readonly kind: "hopByHop" | "destination";
    /** A multiple of 8; default 8. */
    readonly bytes?: number;
    /** All but the first two bytes of it; default one option that everybody skips. */
    readonly options?: readonly number[];
  }
  | { readonly kind: "routing"; readonly bytes?: number; readonly segmentsLeft?: number; readonly type?: number }
  | { readonly kind: "fragment"; readonly fragment: Fragment }
  | { readonly kind: "authentication"; /** A multiple of 8; default 24. */ readonly bytes?: number };

export interface FrameOptions {
  readonly source: Endpoint;
  readonly destination: Endpoint;
  /** Outermost first. */
  readonly vlans?: readonly VlanTag[];
  /** IPv4 only; a multiple of 4 bytes, at most 40. */
  readonly ipv4Options?: Uint8Array;
  /** IPv4 only; an IPv6 fragment has an extension header. */
  readonly ipv4Fragment?: Fragment;
  /** IPv6 only, in the order in which they stand in the frame. */
  readonly ipv6Extensions?: readonly Ipv6Extension[];
  /** Time to live, or hop limit. Default 64. */
  readonly hops?: number;
  /** What follows IP; anything but UDP is `payload` alone. Default UDP. */
  readonly protocol?: number;
  /** Default: no payload. */
  readonly payload?: Uint8Array;
  /** False leaves the UDP checksum 0, which only IPv4 allows. Default true. */
  readonly checksum?: boolean;
  /** Zero bytes are appended up to this length, as Ethernet does up to 60. Default 0. */
  readonly padTo?: number;
}

export interface Frame {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Offset of the IP header. */
  readonly ipAt: number;
  /** Offset of what follows IP and its extension headers. */
  readonly transportAt: number;
  /** Offset of the first byte after the IP packet, padding if there is any. */
  readonly endAt: number;
}

const UDP_HEADER_BYTES = 8;
const HOPS = 64;
/** An experimental option (RFC 4727) that receivers step over; receivers drop long padding. */
const OPTION_TO_SKIP = 0x1e;
const EXTENSION_NUMBER = { hopByHop: 0, routing: 43, fragment: 44, authentication: 51, destination: 60 } as const;

/** Builds one frame. @throws {TypeError} for addresses that are not, or are of two families. */
export function buildFrame(options: FrameOptions): Frame {
  const source = parseAddress(options.source.address);
  const destination = parseAddress(options.destination.address);
  if (source.length !== destination.length) throw new TypeError("Cannot build a frame between IPv4 and IPv6");
  const isIpv6 = source.length === 16;
  const transport = buildTransport(options, source, destination);
  const link = buildLink(options, isIpv6 ? ETHERTYPE.ipv6 : ETHERTYPE.ipv4);
  const network = isIpv6
    ? buildIpv6(options, source, destination, transport.length)
    : buildIpv4(options, source, destination, transport.length);
  const ipAt = link.length;
  const transportAt = ipAt + network.length;
  const endAt = transportAt + transport.length;
  const bytes = new Uint8Array(Math.max(endAt, options.padTo ?? 0));
  bytes.set(link);
  bytes.set(network, ipAt);
  bytes.set(transport, transportAt);
  return { bytes, ipAt, transportAt, endAt };
}

/** Adds the 16-bit words of `bytes`, the last one filled up with a zero byte, to `sum`. Nothing is folded. */
export function addWords(bytes: Uint8Array, sum = 0): number {
  for (let at = 0; at < bytes.length; at += 2) sum += bytes[at]! << 8 | (bytes[at + 1] ?? 0);
  return sum;
}

/** The internet checksum (RFC 1071) that makes a sum of 16-bit words come out right. */
export function internetChecksum(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** What the UDP checksum covers besides the datagram: addresses, protocol and length. */
export function pseudoHeaderSum(source: Uint8Array, destination: Uint8Array, udpBytes: number): number {
  return addWords(destination, addWords(source, PROTOCOL.udp + udpBytes));
}

/**
 * The frame as a virtual device carries it from a local sender: only the pseudo-header summed, and not complemented.
 */
export function withPartialChecksum({ bytes, transportAt }: Frame, { source, destination }: FrameOptions): Uint8Array {
  const view = new DataView(bytes.slice().buffer);
  let sum = pseudoHeaderSum(
    parseAddress(source.address),
    parseAddress(destination.address),
    view.getUint16(transportAt + 4),
  );
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(transportAt + 6, sum);
  return new Uint8Array(view.buffer);
}

function buildLink({ source, destination, vlans = [] }: FrameOptions, type: number): Uint8Array {
  const bytes = new Uint8Array(14 + vlans.length * 4);
  const view = new DataView(bytes.buffer);
  bytes.set(parseMac(destination.mac));
  bytes.set(parseMac(source.mac), 6);
  vlans.forEach((tag, index) => {
    view.setUint16(12 + index * 4, tag.type ?? ETHERTYPE.vlan);
    view.setUint16(14 + index * 4, tag.id);
  });
  view.setUint16(12 + vlans.length * 4, type);
  return bytes;
}

function buildTransport(options: FrameOptions, source: Uint8Array, destination: Uint8Array): Uint8Array {
  const { payload = new Uint8Array(), protocol = PROTOCOL.udp, ipv4Fragment, ipv6Extensions = [] } = options;
  const fragment = ipv4Fragment ?? ipv6Extensions.find((extension) => extension.kind === "fragment")?.fragment;
  // Only a datagram's first fragment has its UDP header.
  if (protocol !== PROTOCOL.udp || (fragment?.offset ?? 0) > 0) return payload;
  const bytes = new Uint8Array(UDP_HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, options.source.port ?? 0);
  view.setUint16(2, options.destination.port ?? 0);
  view.setUint16(4, bytes.length);
  bytes.set(payload, UDP_HEADER_BYTES);
  if (options.checksum !== false) {
    // All ones stands for a sum of 0: 0 itself means "no checksum".
    view.setUint16(6, internetChecksum(addWords(bytes, pseudoHeaderSum(source, destination, bytes.length))) || 0xffff);
  }
  return bytes;
}

function buildIpv4(options: FrameOptions, source: Uint8Array, destination: Uint8Array, length: number): Uint8Array {
  const { ipv4Options = new Uint8Array(), ipv4Fragment: fragment, protocol = PROTOCOL.udp } = options;
  const bytes = new Uint8Array(20 + ipv4Options.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x40 | bytes.length / 4;
  view.setUint16(2, bytes.length + length);
  view.setUint16(4, fragment?.id ?? 0);
  view.setUint16(6, fragment === undefined ? 0x4000 : (fragment.more ? 0x2000 : 0) | fragment.offset / 8);
  bytes[8] = options.hops ?? HOPS;
  bytes[9] = protocol;
  bytes.set(source, 12);
  bytes.set(destination, 16);
  bytes.set(ipv4Options, 20);
  view.setUint16(10, internetChecksum(addWords(bytes)));
  return bytes;
}

function buildIpv6(options: FrameOptions, source: Uint8Array, destination: Uint8Array, length: number): Uint8Array {
  const { ipv6Extensions = [], protocol = PROTOCOL.udp } = options;
  const numbers = [...ipv6Extensions.map(({ kind }) => EXTENSION_NUMBER[kind]), protocol];
  const extensions = ipv6Extensions.map((extension, index) => buildExtension(extension, numbers[index + 1]!));
  const extensionBytes = extensions.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const bytes = new Uint8Array(40 + extensionBytes);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x60;
  view.setUint16(4, extensionBytes + length);
  bytes[6] = numbers[0]!;
  bytes[7] = options.hops ?? HOPS;
  bytes.set(source, 8);
  bytes.set(destination, 24);
  let at = 40;
  for (const extension of extensions) {
    bytes.set(extension, at);
    at += extension.length;
  }
  return bytes;
}

function buildExtension(extension: Ipv6Extension, next: number): Uint8Array {
  if (extension.kind === "fragment") {
    const { offset, more, id = 0 } = extension.fragment;
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    bytes[0] = next;
    view.setUint16(2, offset | (more ? 1 : 0));
    view.setUint32(4, id);
    return bytes;
  }
  const authentication = extension.kind === "authentication";
  const options = "options" in extension ? extension.options : undefined;
  const bytes = new Uint8Array(
    options === undefined ? extension.bytes ?? (authentication ? 24 : 8) : options.length + 2,
  );
  bytes[0] = next;
  // The two count differently: in units of 8 without the first 8 bytes, in units of 4 without the first 8.
  bytes[1] = authentication ? bytes.length / 4 - 2 : bytes.length / 8 - 1;
  if (extension.kind === "routing") bytes.set([extension.type ?? 0, extension.segmentsLeft ?? 0], 2);
  else if (options !== undefined) bytes.set(options, 2);
  else if (!authentication) bytes.set([OPTION_TO_SKIP, Math.min(bytes.length - 4, 255)], 2);
  return bytes;
}
