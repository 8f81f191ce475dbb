/**
 * Which IP addresses the box has.
 *
 * @module
 */
import { logger } from "../log.ts";
import { parseAddress } from "../packet/address.ts";

const log = logger("forwarding");

/** Those of some addresses that no interface of this network namespace has. */
export function foreignAmong(addresses: readonly string[]): string[] {
  if (addresses.length === 0) return [];
  const own = new Set(Deno.networkInterfaces().map(({ address }) => keyOf(address.split("%")[0]!)));
  return addresses.filter((address) => !own.has(keyOf(address)));
}

/** Logs a warning for each of these translation addresses that the box does not have (yet). */
export function warnOfForeign(translation: readonly string[]): void {
  for (const address of foreignAmong(translation)) {
    log.warn(
      "No interface of this box has the translation address {address}, so backends cannot answer to it: {command}",
      { address, command: commandFor(address, "DEVICE") },
    );
  }
}

/** The command that gives the box an address. */
export function commandFor(address: string, device: string): string {
  return `ip address add ${address}/${address.includes(":") ? 128 : 32} dev ${device}`;
}

function keyOf(address: string): string {
  return parseAddress(address).join(".");
}
