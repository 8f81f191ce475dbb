/**
 * Which IP addresses the box has.
 *
 * @module
 */
import { parseAddress } from "../packet/address.ts";

/** All addresses of the interfaces of this network namespace, 4 or 16 bytes each. */
export function ownAddresses(): Uint8Array[] {
  return Deno.networkInterfaces().map(({ address }) => parseAddress(address.split("%")[0]!));
}

/** Those of some addresses that no interface of this network namespace has. */
export function foreignAmong(addresses: readonly string[]): string[] {
  const own = ownAmong(addresses);
  return addresses.filter((address) => !own.includes(address));
}

/** Those of some addresses that an interface of this network namespace has. */
export function ownAmong(addresses: readonly string[]): string[] {
  if (addresses.length === 0) return [];
  const own = new Set(ownAddresses().map((address) => address.join(".")));
  return addresses.filter((address) => own.has(parseAddress(address).join(".")));
}

/** The command that gives the box an address. */
export function commandFor(address: string, device: string): string {
  return `ip address add ${address}/${address.includes(":") ? 128 : 32} dev ${device}`;
}
