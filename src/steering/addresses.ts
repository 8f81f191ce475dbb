/**
 * Which destination addresses a rule is for.
 *
 * @module
 */
import { parseAddress } from "../packet/address.ts";

/**
 * `own`: all unicast addresses of this machine in its network namespace, as they are at any time. `any`: whatever the
 * address is. A list: addresses and prefixes in their shortest spelling, `192.0.2.10` and `2001:db8::/32`.
 */
export type Addresses = "own" | "any" | readonly string[];

/** Most lists that the rules of a configuration can have, each counted once. */
export const MAX_ADDRESS_LISTS = 61;
/** Most addresses and prefixes of one list. */
export const MAX_LISTED_ADDRESSES = 64;

/** Addresses of this machine, 4 or 16 bytes each. */
export interface OwnAddresses {
  /** Unicast addresses, without those for the box's traffic with itself. */
  readonly own: readonly Uint8Array[];
  /** IPv4 broadcast addresses of its networks. */
  readonly broadcasts: readonly Uint8Array[];
}

export const NO_ADDRESSES: OwnAddresses = { own: [], broadcasts: [] };

/** The addresses whose first bits are those of `address`, 4 or 16 bytes. */
export interface Prefix {
  readonly address: Uint8Array;
  readonly bits: number;
}

/** Reads an address, or a prefix as `ADDRESS/BITS`. @throws {TypeError} for anything else. */
export function parsePrefix(text: string): Prefix {
  const [host = "", length] = text.split("/");
  const address = parseAddress(host);
  const bits = length === undefined ? address.length * 8 : Number(length);
  if (!Number.isInteger(bits) || bits < 0 || bits > address.length * 8) throw new TypeError(`Cannot read "${text}"`);
  return { address, bits };
}

/** The first of the addresses that have the first `bits` bits in common with this one. */
export function networkOf(address: Uint8Array, bits: number): Uint8Array {
  return address.map((byte, at) => byte & (bits >= 8 * at + 8 ? 0xff : bits <= 8 * at ? 0 : 0xff00 >> (bits - 8 * at)));
}

/** Whether every address of `inner` is one of `outer`. */
export function isWithin(inner: Prefix, outer: Prefix): boolean {
  if (inner.address.length !== outer.address.length || inner.bits < outer.bits) return false;
  const whole = outer.bits >> 3;
  for (let at = 0; at < whole; at++) if (inner.address[at] !== outer.address[at]) return false;
  const rest = 0xff00 >> (outer.bits & 7) & 0xff;
  return rest === 0 || (inner.address[whole]! & rest) === (outer.address[whole]! & rest);
}

/** Whether a rule for these addresses takes packets to an own one. */
export function areFor(addresses: Addresses, own: Uint8Array): boolean {
  return typeof addresses === "string" ||
    addresses.some((text) => isWithin({ address: own, bits: own.length * 8 }, parsePrefix(text)));
}

/** What two rules' addresses have in common, in words; undefined where it is nothing that the rules themselves say. */
export function commonAddress(one: Addresses, other: Addresses): string | undefined {
  if (one === "any" || other === "any") {
    return one === other ? "any" : `${other === "any" ? textOf(one) : textOf(other)}`;
  }
  if (one === "own" || other === "own") return one === other ? "own" : undefined;
  const rights = other.map((text) => ({ text, prefix: parsePrefix(text) }));
  for (const left of one) {
    const prefix = parsePrefix(left);
    for (const right of rights) {
      if (isWithin(prefix, right.prefix)) return left;
      if (isWithin(right.prefix, prefix)) return right.text;
    }
  }
  return undefined;
}

/** `own`, `192.0.2.10,2001:db8::/32` */
export function textOf(addresses: Addresses): string {
  return typeof addresses === "string" ? addresses : addresses.join(",");
}
