/**
 * Rules of three kinds, for tests of what becomes of any packet: counted by one worker, counted by any, and echoed.
 *
 * @module
 */
import { fatesOf } from "./accounts.ts";
import type { Status } from "./appliance.ts";

export const MIXED_RULES = [
  "{ name: count, ports: 8080, worker: 0 }",
  "{ name: spread, ports: 9090, worker: hash }",
  "{ name: echo, ports: 7777, worker: 1, action: echo }",
];
export const MIXED_NAMES = ["count", "spread", "echo"];
export const MIXED_PORTS = [8080, 9090, 7777];

/** Packets of these rules that have a fate. */
export function mixedFates(status: Status): number {
  return MIXED_NAMES.flatMap((rule) => Object.values(fatesOf(status, rule))).reduce((sum, packets) => sum + packets, 0);
}
