/**
 * What a configuration would change of the one in force, and how: while packets are steered, by a process that takes
 * over, or by a restart.
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import { diffAddresses, diffGuards, diffRules } from "../steering/diff.ts";
import type { FixedDifference } from "./fixed.ts";

export interface Difference extends FixedDifference {
  /** The generation in force. */
  readonly generation: number;
  /** What comes into force at once, without a packet lost; in words. */
  readonly live: readonly string[];
  /**
   * What comes into force by a process that takes over, without a packet lost, and all the rest of the file with it.
   * `log.level: info -> debug`.
   */
  readonly handover: readonly string[];
  /** What only a restart puts in force: a reload would refuse all of it. `workers.count: 2 -> 4`. */
  readonly restart: readonly string[];
  readonly warnings: readonly string[];
}

/** @returns What would change live, in words. */
export function liveDifference(inForce: Config, next: Config): string[] {
  return [
    ...diffRules(inForce.steering, next.steering),
    ...diffAddresses(inForce.forwarding.addresses, next.forwarding.addresses),
    ...diffGuards(inForce, next),
  ];
}
