/**
 * Prefixes so wide that a list has them by mistake: with one, a denied list keeps a large part of the internet out.
 *
 * @module
 */

/** Shorter IPv4 prefixes are wide: the largest networks that anybody has are /8. */
export const WIDEST_IPV4 = 8;
/** The same of IPv6. */
export const WIDEST_IPV6 = 16;

/** From here on no IPv4 address is a sender's: groups, and what is reserved. Lists of bogons have 224.0.0.0/3. */
const IPV4_UNICAST_END = 0xe0000000;
/** 2000::/3, of which all public addresses are. */
const [PUBLIC_WORD, PUBLIC_BITS] = [0x20000000, 3];

/** @param start The first address, as a number. */
export function isWideIpv4(start: number, bits: number): boolean {
  return bits < WIDEST_IPV4 && start < IPV4_UNICAST_END;
}

/** @param first The first 32 bits of the first address. */
export function isWideIpv6(first: number, bits: number): boolean {
  const shared = Math.min(bits, PUBLIC_BITS);
  return bits < WIDEST_IPV6 && (shared === 0 || (first ^ PUBLIC_WORD) >>> 32 - shared === 0);
}

/** Of a prefix in its shortest spelling. @returns undefined where it is not wide, else "/8" or "/16". */
export function widerThan(address: Uint8Array, bits: number): string | undefined {
  const first = new DataView(address.buffer, address.byteOffset).getUint32(0);
  if (address.length === 4) return isWideIpv4(first, bits) ? `/${WIDEST_IPV4}` : undefined;
  return isWideIpv6(first, bits) ? `/${WIDEST_IPV6}` : undefined;
}
