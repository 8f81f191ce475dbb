/**
 * ICMP errors, and which of them the XDP program must steer: those about UDP packets from port {@linkcode FORWARDED}
 * that their receiver has sent.
 *
 * @module
 */
import { buildFrame, type Frame, type FrameOptions, type Ipv6Extension, PROTOCOL } from "../../src/traffic/frames.ts";
import {
  buildIcmpError,
  ICMP_ERROR,
  type IcmpErrorKind,
  type IcmpErrorOptions,
  ipPacketOf,
} from "../../src/traffic/icmp_frames.ts";
import { FORWARDED, LISTED, MACS, PASSED } from "./steer_frames.ts";

/** The box that has sent what errors are about, the router that sends them, and the host that was meant. */
const ADDRESSES = {
  IPv4: { box: "192.0.2.2", router: "192.0.2.1", host: "198.51.100.7" },
  IPv6: { box: "2001:db8::2", router: "2001:db8::1", host: "2001:db8:1::7" },
} as const;
type Family = keyof typeof ADDRESSES;
const BOTH = ["IPv4", "IPv6"] as const;
/** Bytes of a packet that an error has to quote: the IP header and 8 more. */
const LEAST = { IPv4: 28, IPv6: 48 } as const;

interface Variation extends Partial<IcmpErrorOptions> {
  /** Of the quoted packet. */
  readonly about?: Partial<FrameOptions>;
  /** Ports of the quoted packet. */
  readonly from?: number;
  readonly to?: number;
  /** Bytes that are quoted. Default: as few as allowed. */
  readonly bytes?: number;
}

function error(family: Family, { about = {}, from = FORWARDED, to = 40_000, ...more }: Variation = {}): Frame {
  const { box, router, host } = ADDRESSES[family];
  const packet = buildFrame({
    source: { mac: MACS.to, address: box, port: from },
    destination: { mac: MACS.from, address: host, port: to },
    payload: new TextEncoder().encode("an answer that does not arrive"),
    ...about,
  });
  const [type, code] = ICMP_ERROR.portUnreachable[family];
  return buildIcmpError({
    source: { mac: MACS.from, address: router },
    destination: { mac: MACS.to, address: box },
    quoted: ipPacketOf(packet, more.bytes ?? LEAST[family]),
    type,
    code,
    ...more,
  });
}

const each = (name: string, make: (family: Family) => Frame): [string, Frame][] =>
  BOTH.map((family) => [`${name}: ${family}`, make(family)]);
const ofKind = (family: Family, kind: IcmpErrorKind): Frame => {
  const [type, code] = ICMP_ERROR[kind][family];
  return error(family, { type, code, parameter: 1280 });
};
const vlans = [{ id: 7, type: 0x88a8 }, { id: 8 }];
const options = new Uint8Array(8).fill(1);
const destination: Ipv6Extension = { kind: "destination" };

export const STEERED_ERRORS: readonly (readonly [name: string, frame: Frame])[] = [
  ...(Object.keys(ICMP_ERROR) as IcmpErrorKind[]).flatMap((kind) => each(kind, (family) => ofKind(family, kind))),
  ...each("an error that quotes a whole packet", (family) => error(family, { bytes: 1500 })),
  ...each("a tagged error", (family) => error(family, { vlans })),
  ...each("a padded error", (family) => error(family, { padTo: 200 })),
  ["an error with IPv4 options", error("IPv4", { ipv4Options: options })],
  ["an error that quotes IPv4 options", error("IPv4", { about: { ipv4Options: options }, bytes: 36 })],
  ["an error that quotes a first fragment", error("IPv4", { about: { ipv4Fragment: { offset: 0, more: true } } })],
  ["an error behind extension headers", error("IPv6", { ipv6Extensions: [{ kind: "hopByHop" }, destination] })],
];

/** The same, cut where no header ends, with the length in its IP header right. */
const cut = (family: Family, bytes: number): Frame => error(family, { bytes });
/** An error whose IP header says that it ends before it does. */
function shortened(family: Family): Frame {
  const frame = error(family);
  const bytes = frame.bytes.slice();
  const at = frame.ipAt + (family === "IPv6" ? 4 : 2);
  const view = new DataView(bytes.buffer);
  view.setUint16(at, view.getUint16(at) - 1);
  return { ...frame, bytes };
}

export const PASSED_ERRORS: readonly (readonly [name: string, frame: Frame])[] = [
  ...each("an error that quotes less than a UDP header", (family) => cut(family, LEAST[family] - 1)),
  ...each("an error that quotes nothing", (family) => cut(family, 0)),
  ...each("an error that ends in the quoted UDP header", shortened),
  ...each("an error about a packet to the port", (family) => error(family, { from: 40_000, to: FORWARDED })),
  ...each("an error about a packet from a port that does not forward", (family) => error(family, { from: LISTED })),
  ...each("an error about a packet from a port of the kernel stack", (family) => error(family, { from: PASSED })),
  ...each("an error about a packet from port 2", (family) => error(family, { from: 2 })),
  ...each("an error about TCP", (family) => error(family, { about: { protocol: PROTOCOL.tcp }, bytes: 1500 })),
  ...each("an error about somebody else's packet", (family) => {
    const { host, router } = ADDRESSES[family];
    return error(family, { about: { source: { mac: MACS.to, address: router, port: FORWARDED } }, to: host.length });
  }),
  ["an echo request that looks like an error", error("IPv4", { type: 8, code: 0 })],
  ["a redirect", error("IPv4", { type: 5, code: 1 })],
  ["a source quench", error("IPv4", { type: 4, code: 0 })],
  ["an ICMPv6 echo request that looks like an error", error("IPv6", { type: 128, code: 0 })],
  ["a neighbour solicitation that looks like an error", error("IPv6", { type: 135, code: 0 })],
  ["an ICMPv6 redirect", error("IPv6", { type: 137, code: 0 })],
  ["a fragment of an error", error("IPv4", { ipv4Fragment: { offset: 0, more: true } })],
  [
    "an error that quotes a later fragment",
    error("IPv4", { about: { ipv4Fragment: { offset: 8, more: true } }, bytes: 60 }),
  ],
  ["an error that quotes IPv4 options by halves", error("IPv4", { about: { ipv4Options: options }, bytes: 35 })],
  ["an error that quotes extension headers", error("IPv6", { about: { ipv6Extensions: [destination] }, bytes: 1000 })],
  [
    "an IPv4 error that quotes an IPv6 packet",
    error("IPv4", { quoted: ipPacketOf(error("IPv6"), 100) }),
  ],
];
