/**
 * Builds ICMP and ICMPv6 errors byte by byte, with checksums that are right: independent of src/packet, as frames.ts.
 *
 * @module
 */
import { parseAddress } from "../packet/address.ts";
import { addWords, buildFrame, type Frame, type FrameOptions, internetChecksum, PROTOCOL } from "./frames.ts";

/** Types and codes of errors, and what they are called in both versions. */
export const ICMP_ERROR = {
  portUnreachable: { IPv4: [3, 3], IPv6: [1, 4] },
  tooBig: { IPv4: [3, 4], IPv6: [2, 0] },
  timeExceeded: { IPv4: [11, 0], IPv6: [3, 0] },
  parameterProblem: { IPv4: [12, 0], IPv6: [4, 0] },
} as const;
export type IcmpErrorKind = keyof typeof ICMP_ERROR;

/** What an error says besides its addresses. */
export interface IcmpErrorOptions extends FrameOptions {
  /** The packet it is about: an IP packet, or its beginning. */
  readonly quoted: Uint8Array;
  readonly type: number;
  readonly code: number;
  /** The 4 bytes behind the checksum. Default 0. */
  readonly parameter?: number;
}

/** Builds one error; `options.payload` and `protocol` do not matter. */
export function buildIcmpError(options: IcmpErrorOptions): Frame {
  const { quoted, type, code, parameter = 0 } = options;
  const source = parseAddress(options.source.address);
  const isIpv6 = source.length === 16;
  const payload = new Uint8Array(8 + quoted.length);
  const view = new DataView(payload.buffer);
  payload[0] = type;
  payload[1] = code;
  view.setUint32(4, parameter);
  payload.set(quoted, 8);
  view.setUint16(2, icmpChecksum(payload, isIpv6 ? [source, parseAddress(options.destination.address)] : []));
  return buildFrame({ ...options, payload, protocol: isIpv6 ? PROTOCOL.icmpv6 : PROTOCOL.icmp });
}

/** What the checksum of an ICMP message has to be; the message's present one does not matter. @param ends Of IPv6. */
export function icmpChecksum(message: Uint8Array, ends: readonly Uint8Array[]): number {
  const copy = message.slice();
  copy.fill(0, 2, 4);
  const pseudo = ends.length === 0 ? 0 : PROTOCOL.icmpv6 + copy.length;
  return internetChecksum(ends.reduce((sum, end) => addWords(end, sum), addWords(copy, pseudo)));
}

/** The IP packet of a frame without its link header; `bytes`: no more than these. */
export function ipPacketOf({ bytes, ipAt, endAt }: Frame, most = Infinity): Uint8Array {
  return bytes.slice(ipAt, Math.min(endAt, ipAt + most));
}
