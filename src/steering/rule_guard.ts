/**
 * What guards a rule: what the XDP program asks before it takes a packet.
 *
 * @module
 */
import type { Limit } from "./limit.ts";

export interface RuleGuard {
  /** Of the rule. */
  readonly name: string;
  /** Policies whose lists say who may send: a bit each, by their numbers in the lists of sources in force. */
  readonly policies: bigint;
  /** How much the rule takes. */
  readonly limit?: Limit | undefined;
}
