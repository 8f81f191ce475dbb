/**
 * Frames, and why the XDP program must decide on them as it does. Port {@linkcode LISTED} is steered to a worker, and
 * so are the ports 0, 1 and 65535, and {@linkcode FORWARDED}, whose first fragments are dropped; {@linkcode PASSED},
 * {@linkcode DELIVERED} and {@linkcode DROPPED} have rules of that kind, and DROPPED also drops first fragments; all
 * others are unlisted. The box has the addresses that frames are for, and {@linkcode ANYONES} is steered whatever the
 * address.
 *
 * @module
 */
import {
  buildFrame,
  ETHERTYPE,
  type Frame,
  type FrameOptions,
  type Ipv6Extension,
  PROTOCOL,
} from "../../src/traffic/frames.ts";
import { parseMac } from "../../src/packet/address.ts";
import type { Reason } from "./verdict_rig.ts";

export const LISTED = 7777;
export const FORWARDED = 7778;
export const ANYONES = 7779;
export const PASSED = 8080;
export const DROPPED = 11211;
export const DELIVERED = 53;

export interface FrameCase {
  readonly name: string;
  readonly reason: Reason;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

type Variation = Partial<FrameOptions> & { readonly port?: number };

const PAYLOAD = new TextEncoder().encode("some payload");
export const MACS = { from: "02:00:00:00:00:01", to: "02:00:00:00:00:02" } as const;

function frame(from: string, to: string, { port = LISTED, ...rest }: Variation): Frame {
  const source = { mac: MACS.from, address: from, port: 40_000 };
  return buildFrame({ source, destination: { mac: MACS.to, address: to, port }, payload: PAYLOAD, ...rest });
}

export const ipv4 = (variation: Variation = {}): Frame => frame("192.0.2.1", "192.0.2.2", variation);
export const ipv6 = (variation: Variation = {}): Frame => frame("2001:db8::1", "2001:db8::2", variation);
const ipv6With = (...ipv6Extensions: Ipv6Extension[]): Frame => ipv6({ ipv6Extensions });

/** The frame with a 16-bit field changed to a lie. */
function with16(frame: Frame, at: number, value: number): Frame {
  const bytes = frame.bytes.slice();
  new DataView(bytes.buffer).setUint16(at, value);
  return { ...frame, bytes };
}

function with8(frame: Frame, at: number, value: number): Frame {
  const bytes = frame.bytes.slice();
  bytes[at] = value;
  return { ...frame, bytes };
}

const cut = (frame: Frame, length: number): Frame => ({ ...frame, bytes: frame.bytes.slice(0, length) });

/** An IPv4 frame with the header's checksum right again. */
function withHeaderSum(frame: Frame): Frame {
  const bytes = frame.bytes.slice();
  const view = new DataView(bytes.buffer);
  view.setUint16(frame.ipAt + 10, 0);
  let sum = 0;
  for (let at = 0; at < (bytes[frame.ipAt]! & 15) * 4; at += 2) sum += view.getUint16(frame.ipAt + at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(frame.ipAt + 10, ~sum);
  return { ...frame, bytes };
}

/** Frames from and to other addresses than usual. */
function from(address: string, variation: Variation = {}): Frame {
  return (address.includes(":") ? ipv6 : ipv4)({
    source: { mac: MACS.from, address, port: 40_000 },
    ...variation,
  });
}

function to(address: string, { port = LISTED, ...variation }: Variation = {}): Frame {
  return (address.includes(":") ? ipv6 : ipv4)({ destination: { mac: MACS.to, address, port }, ...variation });
}

function toMac(frame: Frame, mac: string): Frame {
  const bytes = frame.bytes.slice();
  bytes.set(parseMac(mac));
  return { ...frame, bytes };
}

/** A frame that is no IP: an Ethernet header and zeros. */
function raw(type: number, length: number): Frame {
  return with16({ bytes: new Uint8Array(length), ipAt: 14, transportAt: 14, endAt: length }, 12, type);
}

const short = new Uint8Array(2);
const nops = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(1);
const destination: Ipv6Extension = { kind: "destination" };
const vlan = (id: number, type: number = ETHERTYPE.vlan): { id: number; type: number } => ({ id, type });

/** Its last 4 address bytes end in {@linkcode LISTED}, and its source port would pass for a UDP length. */
const DISGUISED = buildFrame({
  source: { mac: MACS.from, address: "192.0.2.1", port: 24 },
  destination: { mac: MACS.to, address: `192.0.${LISTED >> 8}.${LISTED & 0xff}`, port: 0 },
  payload: PAYLOAD,
});

/** Where fields are in the plain frames. */
const V4 = { version: 14, total: 16, protocol: 23, fragment: 20, udpLength: 38 } as const;
const V6 = { version: 14, payload: 18, next: 20, extension: 54, udpLength: 58 } as const;
const V4_TOTAL = 20 + 8 + PAYLOAD.length;
const V6_PAYLOAD = 8 + PAYLOAD.length;

const STEERED: Readonly<Record<string, Frame>> = {
  "IPv4": ipv4(),
  "IPv4 without payload": ipv4({ payload: new Uint8Array() }),
  "a full-size IPv4 datagram": ipv4({ payload: new Uint8Array(1472) }),
  "IPv4 without a UDP checksum": ipv4({ checksum: false }),
  "a short IPv4 datagram padded to Ethernet's minimum": ipv4({ payload: short, padTo: 60 }),
  "IPv4 with bytes after the UDP datagram": with16(ipv4(), V4.udpLength, 8),
  "IPv4 with the reserved flag set": withHeaderSum(with16(ipv4(), V4.fragment, 0x8000)),
  "a frame for the broadcast address of Ethernet": toMac(ipv4(), "ff:ff:ff:ff:ff:ff"),
  "a frame for a group of Ethernet": toMac(ipv6(), "33:33:00:00:00:01"),
  "a source in 240.0.0.0/4": from("240.0.0.1"),
  "the next address after loopback": from("128.0.0.1"),
  "an IPv4 source that is written as IPv6": from("::ffff:c000:201"),
  "an own IPv6 source": from("2001:db8::2"),
  "no IPv6 source": from("::"),
  "whatever the address": to("198.51.100.1", { port: ANYONES }),
  "whatever the address, over IPv6": to("2001:db8:1::1", { port: ANYONES, vlans: [vlan(7)] }),
  "whatever the frame is for": toMac(ipv4({ port: ANYONES }), "02:00:00:00:00:77"),
  ...Object.fromEntries(
    [6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map((ihl) => [`IHL ${ihl}`, ipv4({ ipv4Options: nops(ihl * 4 - 20) })]),
  ),
  "one 802.1Q tag": ipv4({ vlans: [vlan(7)] }),
  "a priority tag": ipv4({ vlans: [vlan(0xe000)] }),
  "one 802.1ad tag": ipv4({ vlans: [vlan(7, ETHERTYPE.qinq)] }),
  "QinQ": ipv4({ vlans: [vlan(7, ETHERTYPE.qinq), vlan(8)] }),
  "two 802.1Q tags": ipv4({ vlans: [vlan(7), vlan(8)] }),
  "QinQ with IPv6 and an extension header": ipv6({ vlans: [vlan(7, 0x88a8), vlan(8)], ipv6Extensions: [destination] }),
  "options that are no source route": ipv4({
    ipv4Options: Uint8Array.from([7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0, 30, 3, 131, 0, 131, 7, 4, 0]),
  }),
  "a tag and IPv4 options": ipv4({ vlans: [vlan(7)], ipv4Options: nops(40) }),
  "IPv6": ipv6(),
  "IPv6 without payload": ipv6({ payload: new Uint8Array() }),
  "IPv6 with padding": ipv6({ padTo: 100 }),
  "IPv6 with one tag": ipv6({ vlans: [vlan(7)] }),
  "a hop-by-hop header": ipv6With({ kind: "hopByHop" }),
  "a destination header": ipv6With(destination),
  "a long destination header": ipv6With({ kind: "destination", bytes: 256 }),
  "a routing header that is done": ipv6With({ kind: "routing" }),
  "an atomic fragment": ipv6With({ kind: "fragment", fragment: { offset: 0, more: false, id: 9 } }),
  "five extension headers": ipv6With(destination, destination, destination, destination, destination),
  "six extension headers": ipv6With(
    { kind: "hopByHop" },
    { kind: "routing", bytes: 24 },
    { kind: "fragment", fragment: { offset: 0, more: false } },
    ...[destination, destination, destination],
  ),
  "port 0": ipv4({ port: 0 }),
  "port 1": ipv4({ port: 1 }),
  "port 65535": ipv6({ port: 65535 }),
};

/** Reasons that depend on the sockets or the rule's guard, not on the frame. */
type Elsewhere = "STEERED" | "DEADMAN" | "UNCOVERED_QUEUE" | "DENIED" | "BANNED" | "LIMITED";

/** By reason: of each at least one. */
const NOT_STEERED: Readonly<Record<Exclude<Reason, Elsewhere>, Readonly<Record<string, Frame>>>> = {
  DELIVERED: {
    "a port with a deliver rule": ipv4({ port: DELIVERED }),
    "the same over IPv6": ipv6({ port: DELIVERED }),
  },
  RULE_PASS: { "a port with a pass rule": ipv4({ port: PASSED }), "the same over IPv6": ipv6({ port: PASSED }) },
  RULE_DROP: {
    "a port with a drop rule": ipv4({ port: DROPPED }),
    "the same, tagged": ipv6({ port: DROPPED, vlans: [vlan(7)] }),
    "a first fragment for a port with a drop rule": ipv4({ port: DROPPED, ipv4Fragment: { offset: 0, more: true } }),
  },
  FRAGMENT_DROPPED: {
    "a first fragment for a port that drops them": ipv4({ port: FORWARDED, ipv4Fragment: { offset: 0, more: true } }),
    "the same, tagged, with options": ipv4({
      port: FORWARDED,
      vlans: [vlan(7)],
      ipv4Options: nops(8),
      ipv4Fragment: { offset: 0, more: true },
    }),
    "a first fragment of 8 bytes": ipv4({
      port: FORWARDED,
      payload: new Uint8Array(),
      ipv4Fragment: { offset: 0, more: true },
    }),
    "an IPv6 first fragment for a port that drops them": ipv6({
      port: FORWARDED,
      ipv6Extensions: [{ kind: "fragment", fragment: { offset: 0, more: true } }],
    }),
    "an IPv6 first fragment between other headers": ipv6({
      port: FORWARDED,
      ipv6Extensions: [destination, { kind: "fragment", fragment: { offset: 0, more: true } }, destination],
    }),
  },
  UNLISTED_PORT: {
    "port 2": ipv4({ port: 2 }),
    "port 65534": ipv4({ port: 65534 }),
    "the listed port as the source port": ipv4({
      port: 40_000,
      source: { mac: MACS.from, address: "192.0.2.1", port: LISTED },
    }),
    "the listed port in the other byte order": ipv4({ port: (LISTED & 0xff) << 8 | LISTED >> 8 }),
  },
  NOT_IP: {
    "ARP": raw(ETHERTYPE.arp, 42),
    "LLDP": raw(ETHERTYPE.lldp, 60),
    "a bare Ethernet header": raw(ETHERTYPE.lldp, 14),
    "an 802.3 length": raw(46, 60),
    "tagged ARP": with16(ipv4({ vlans: [vlan(7)] }), 16, ETHERTYPE.arp),
    "three tags": ipv4({ vlans: [vlan(7, ETHERTYPE.qinq), vlan(8), vlan(9)] }),
    "three tags on IPv6": ipv6({ vlans: [vlan(7), vlan(8), vlan(9)] }),
    "PPPoE": with16(ipv4(), 12, 0x8864),
    "MPLS": with16(ipv4(), 12, 0x8847),
  },
  NOT_UDP: {
    "ICMP": ipv4({ protocol: PROTOCOL.icmp }),
    "TCP": ipv4({ protocol: PROTOCOL.tcp }),
    "IPv4 ESP": ipv4({ protocol: PROTOCOL.esp }),
    "UDP-Lite": ipv4({ protocol: 136 }),
    "a TCP fragment": ipv4({ protocol: PROTOCOL.tcp, ipv4Fragment: { offset: 0, more: true } }),
    "ICMPv6": ipv6({ protocol: PROTOCOL.icmpv6 }),
    "TCP over IPv6": ipv6({ protocol: PROTOCOL.tcp }),
    "ESP": ipv6({ protocol: PROTOCOL.esp }),
    "no next header": ipv6({ protocol: PROTOCOL.none }),
    "no next header after an extension header": ipv6({ protocol: PROTOCOL.none, ipv6Extensions: [destination] }),
    "a mobility header": ipv6({ protocol: 135 }),
  },
  FRAGMENT: {
    "a first fragment": ipv4({ ipv4Fragment: { offset: 0, more: true } }),
    "a middle fragment": ipv4({ ipv4Fragment: { offset: 1480, more: true } }),
    "a last fragment": ipv4({ ipv4Fragment: { offset: 2960, more: false } }),
    "the last fragment there can be": ipv4({ ipv4Fragment: { offset: 0x1fff * 8, more: false } }),
    "a later fragment for a port that drops first ones": ipv4({
      port: FORWARDED,
      ipv4Fragment: { offset: 8, more: true },
    }),
    "a first fragment without a whole UDP header": cut(
      with16(ipv4({ port: FORWARDED, ipv4Fragment: { offset: 0, more: true } }), V4.total, 27),
      41,
    ),
    "a first fragment for a port with a pass rule": ipv4({ port: PASSED, ipv4Fragment: { offset: 0, more: true } }),
    "a first fragment for an unlisted port": ipv4({ port: 2, ipv4Fragment: { offset: 0, more: true } }),
    "an IPv6 first fragment of TCP": ipv6({
      protocol: PROTOCOL.tcp,
      ipv6Extensions: [{ kind: "fragment", fragment: { offset: 0, more: true } }],
    }),
    "a tagged first fragment": ipv4({ vlans: [vlan(7)], ipv4Fragment: { offset: 0, more: true } }),
    "an IPv6 first fragment": ipv6With({ kind: "fragment", fragment: { offset: 0, more: true } }),
    "an IPv6 middle fragment": ipv6With({ kind: "fragment", fragment: { offset: 1448, more: true } }),
    "an IPv6 last fragment": ipv6With({ kind: "fragment", fragment: { offset: 1448, more: false } }),
    "an IPv6 fragment after another header": ipv6With(destination, {
      kind: "fragment",
      fragment: { offset: 0, more: true },
    }),
  },
  TRUNCATED: {
    "a runt of 14 bytes": cut(ipv4(), 14),
    "half a tag": cut(ipv4({ vlans: [vlan(7)] }), 16),
    "half an inner tag": cut(ipv4({ vlans: [vlan(7), vlan(8)] }), 20),
    "half an IPv4 header": cut(ipv4(), 24),
    "half an IPv6 header": cut(ipv6(), 40),
    "an IPv4 total length one beyond the frame": with16(ipv4(), V4.total, V4_TOTAL + 1),
    "the largest IPv4 total length": with16(ipv4(), V4.total, 0xffff),
    "an IPv6 payload length one beyond the frame": with16(ipv6(), V6.payload, V6_PAYLOAD + 1),
    "an extension header that ends beyond the frame": with8(ipv6With(destination), V6.extension + 1, 255),
    "an authentication header that ends beyond the frame": with8(ipv6With({ kind: "authentication" }), 55, 255),
  },
  BAD_LENGTH: {
    "IP version 5": with8(ipv4(), V4.version, 0x55),
    "an IPv6 packet that says it is IPv4": with16(ipv6(), 12, ETHERTYPE.ipv4),
    "an IPv4 packet that says it is IPv6": with16(ipv4({ padTo: 80 }), 12, ETHERTYPE.ipv6),
    "IHL 4": with8(ipv4(), V4.version, 0x44),
    "IHL 4 where the end of the address would pass for a UDP header": with8(DISGUISED, V4.version, 0x44),
    "IHL 0": with8(ipv4(), V4.version, 0x40),
    "IHL 15 in a datagram of 40 bytes": with8(ipv4(), V4.version, 0x4f),
    "an IPv4 total length of 0": with16(ipv4(), V4.total, 0),
    "an IPv4 total length that ends in the IP header": with16(ipv4(), V4.total, 19),
    "an IPv4 total length that ends in the UDP header": with16(ipv4(), V4.total, 27),
    "an IPv4 total length that ends in the datagram": with16(ipv4(), V4.total, V4_TOTAL - 1),
    "a UDP length of 0": with16(ipv4(), V4.udpLength, 0),
    "a UDP length of 7": with16(ipv4(), V4.udpLength, 7),
    "a UDP length one beyond the IPv4 datagram": with16(ipv4({ padTo: 80 }), V4.udpLength, V4_TOTAL - 20 + 1),
    "the largest UDP length": with16(ipv4(), V4.udpLength, 0xffff),
    "an IPv6 payload length of 0": with16(ipv6(), V6.payload, 0),
    "an IPv6 payload length that ends in the UDP header": with16(ipv6(), V6.payload, 7),
    "an IPv6 UDP length of 0": with16(ipv6(), V6.udpLength, 0),
    "a UDP length one beyond the IPv6 datagram": with16(ipv6({ padTo: 100 }), V6.udpLength, V6_PAYLOAD + 1),
    "an extension header that ends in the padding": with16(
      ipv6({ padTo: 100, ipv6Extensions: [destination] }),
      V6.payload,
      8,
    ),
  },
  OTHER_ADDRESS: {
    "an address of somebody else": to("198.51.100.1"),
    "the same, with IPv4 options": to("198.51.100.1", { ipv4Options: nops(8) }),
    "the same, for a port with a drop rule": to("198.51.100.1", { port: DROPPED }),
    "the same, for a port with a pass rule": to("198.51.100.1", { port: PASSED }),
    "an IPv6 address of somebody else": to("2001:db8::3"),
    "an address that ends as an own one": to("2001:db8:1::2"),
    "the limited broadcast": to("255.255.255.255"),
    "the broadcast of an own network": to("192.0.2.255"),
    "a multicast group": to("224.0.0.251"),
    "an IPv6 group": to("ff02::fb"),
    "the zero address": to("0.0.0.0"),
    "the unspecified address": to("::"),
    "a loopback address": to("127.0.0.1"),
    "the IPv6 loopback address": to("::1"),
  },
  OTHER_MAC: {
    "a frame for somebody else": toMac(ipv4(), "02:00:00:00:00:03"),
    "the same over IPv6": toMac(ipv6(), "02:00:00:00:00:03"),
    "the same with a tag": toMac(ipv4({ vlans: [vlan(7)] }), "02:00:00:00:00:03"),
    "a frame for an address with another first byte": toMac(ipv4(), "06:00:00:00:00:02"),
  },
  MARTIAN_SOURCE: {
    ...Object.fromEntries(
      [
        "192.0.2.2",
        "127.0.0.1",
        "127.255.255.255",
        "0.0.0.0",
        "224.0.0.1",
        "239.1.2.3",
        "255.255.255.255",
        "192.0.2.255",
      ]
        .map((address) => [`from ${address}`, from(address)]),
    ),
    ...Object.fromEntries(["::1", "ff02::1"].map((address) => [`from ${address}`, from(address)])),
    "a martian source for a port with a drop rule": from("127.0.0.1", { port: DROPPED }),
  },
  BAD_IP_CHECKSUM: {
    "a wrong checksum of the IPv4 header": with16(ipv4(), 24, 0x1234),
    "a checksum of zero": with16(ipv4(), 24, 0),
    "another TTL than was summed": with8(ipv4(), 22, 1),
    "a wrong checksum of a header with options": with8(ipv4({ ipv4Options: nops(40) }), 22, 1),
  },
  IP_OPTIONS: {
    ...Object.fromEntries(
      Object.entries({
        "a loose source route": [131, 7, 4, 203, 0, 113, 9, 0],
        "a strict source route": [137, 7, 4, 203, 0, 113, 9, 0],
        "a source route that has been followed": [131, 7, 8, 203, 0, 113, 9, 0],
        "a source route behind other options": [1, 1, 148, 4, 0, 0, 1, 131, 3, 4, 0, 0],
        "a source route in the last of 40 bytes": [...Array<number>(37).fill(1), 131, 3, 4],
        "an option of no length": [7, 0, 0, 0],
        "an option of one byte": [7, 1, 0, 0],
        "an option that is longer than all": [7, 9, 4, 0, 0, 0, 0, 0],
        "an option without its length": [1, 1, 1, 7],
        "a recorded route with a pointer into its head": [7, 7, 3, 0, 0, 0, 0, 0],
        "timestamps with a pointer at their end": [68, 12, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      }).map(([name, options]) => [name, ipv4({ ipv4Options: Uint8Array.from(options) })]),
    ),
    "an IPv6 option that discards": ipv6With({ kind: "destination", options: [0xc7, 4, 0, 0, 0, 0] }),
    "the same in the last of six headers": ipv6With(
      ...Array<Ipv6Extension>(5).fill(destination),
      { kind: "destination", options: [0x47, 4, 0, 0, 0, 0] },
    ),
    "IPv6 options that are longer than all": ipv6With({ kind: "hopByHop", options: [0x1e, 5, 0, 0, 0, 0] }),
    "a hop-by-hop header behind another": ipv6With(destination, { kind: "hopByHop" }),
    "an authentication header": ipv6With({ kind: "authentication" }),
    "a segment routing header": ipv6With({ kind: "routing", type: 4, bytes: 24 }),
  },
  IPV6_EXTENSIONS: {
    "seven extension headers": ipv6With(...Array<Ipv6Extension>(7).fill(destination)),
    "a routing header with segments left": ipv6With({ kind: "routing", segmentsLeft: 1 }),
    "the same after another header": ipv6With(destination, { kind: "routing", bytes: 24, segmentsLeft: 255 }),
  },
};

/** Whole datagrams for {@linkcode LISTED} and other steered ports. */
export const STEERED_FRAMES: readonly (readonly [name: string, frame: Frame])[] = Object.entries(STEERED);

export const FRAME_CASES: readonly FrameCase[] = Object.entries({ STEERED, ...NOT_STEERED }).flatMap((
  [reason, frames],
) => Object.entries(frames).map(([name, { bytes }]) => ({ name, reason: reason as Reason, bytes })));
