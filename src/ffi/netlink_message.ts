/**
 * Netlink messages and their attributes, written and read: pure functions over bytes. The machines that xdpsteer runs
 * on are little-endian, and so is netlink there.
 *
 * @module
 */
import { NETLINK, NLATTR, NLMSGHDR } from "./netlink_uapi.ts";

/** One message as it was received. */
export interface NetlinkMessage {
  /** `RTM_NEWLINK`, `NLMSG_DONE`. */
  readonly type: number;
  /** `NLM_F_MULTI`. */
  readonly flags: number;
  readonly sequence: number;
  /** What follows the `struct nlmsghdr`: a view of the buffer received into, valid until the next receive. */
  readonly body: Uint8Array;
}

const ALIGNMENT = 4;
const TYPE_FLAGS = NETLINK.NLA_F_NESTED | NETLINK.NLA_F_NET_BYTEORDER;
const align = (length: number): number => (length + ALIGNMENT - 1) & -ALIGNMENT;

/** A `DataView` of some bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The messages in what one receive brought. A message that says it is longer than what is there ends them. */
export function* messagesIn(bytes: Uint8Array): Generator<NetlinkMessage> {
  const view = viewOf(bytes);
  for (let at = 0; at + NLMSGHDR.size <= bytes.length;) {
    const length = view.getUint32(at + NLMSGHDR.nlmsg_len, true);
    if (length < NLMSGHDR.size || at + length > bytes.length) return;
    yield {
      type: view.getUint16(at + NLMSGHDR.nlmsg_type, true),
      flags: view.getUint16(at + NLMSGHDR.nlmsg_flags, true),
      sequence: view.getUint32(at + NLMSGHDR.nlmsg_seq, true),
      body: bytes.subarray(at + NLMSGHDR.size, at + length),
    };
    at += align(length);
  }
}

/** The attributes from `offset` to the end, in order, as views. */
function* attributes(bytes: Uint8Array, offset: number): Generator<readonly [type: number, value: Uint8Array]> {
  const view = viewOf(bytes);
  for (let at = align(offset); at + NLATTR.size <= bytes.length;) {
    const length = view.getUint16(at + NLATTR.nla_len, true);
    if (length < NLATTR.size || at + length > bytes.length) return;
    yield [view.getUint16(at + NLATTR.nla_type, true) & ~TYPE_FLAGS, bytes.subarray(at + NLATTR.size, at + length)];
    at += align(length);
  }
}

/** The attributes from `offset` to the end by type, as views; the last of a type wins. */
export function attributesIn(bytes: Uint8Array, offset = 0): Map<number, Uint8Array> {
  return new Map(attributes(bytes, offset));
}

/** The values of all attributes of a type, as views. */
export function valuesIn(bytes: Uint8Array, wanted: number): Uint8Array[] {
  return [...attributes(bytes, 0)].filter(([type]) => type === wanted).map(([, value]) => value);
}

/** A value that is a text with a zero at its end; "" where there is none. */
export function textOf(value: Uint8Array | undefined): string {
  if (value === undefined) return "";
  const end = value.indexOf(0);
  return new TextDecoder().decode(value.slice(0, end < 0 ? undefined : end));
}

/** A value that is a number of 32 bits; 0 where there is none. */
export function u32Of(value: Uint8Array | undefined): number {
  return value === undefined || value.length < 4 ? 0 : viewOf(value).getUint32(0, true);
}

/** An attribute to be sent: its type and value. */
export type Attribute = readonly [type: number, value: Uint8Array];

/** Attributes one after the other, each padded; also the value of one that nests others. */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array<ArrayBuffer> {
  const total = attributes.reduce((sum, [, value]) => sum + align(NLATTR.size + value.length), 0);
  const bytes = new Uint8Array(total);
  const view = viewOf(bytes);
  let at = 0;
  for (const [type, value] of attributes) {
    view.setUint16(at + NLATTR.nla_len, NLATTR.size + value.length, true);
    view.setUint16(at + NLATTR.nla_type, type, true);
    bytes.set(value, at + NLATTR.size);
    at += align(NLATTR.size + value.length);
  }
  return bytes;
}

/**
 * A whole message; the socket that sends it gives it a sequence number.
 *
 * @param header The struct of this type of message: `struct rtmsg`.
 */
export function encodeMessage(
  type: number,
  flags: number,
  header: Uint8Array,
  attributes: readonly Attribute[] = [],
): Uint8Array<ArrayBuffer> {
  const encoded = encodeAttributes(attributes);
  const attributesAt = NLMSGHDR.size + align(header.length);
  const bytes = new Uint8Array(attributesAt + encoded.length);
  const view = viewOf(bytes);
  view.setUint32(NLMSGHDR.nlmsg_len, bytes.length, true);
  view.setUint16(NLMSGHDR.nlmsg_type, type, true);
  view.setUint16(NLMSGHDR.nlmsg_flags, flags, true);
  bytes.set(header, NLMSGHDR.size);
  bytes.set(encoded, attributesAt);
  return bytes;
}
