/**
 * What guards a rule: what the XDP program asks before it takes a packet.
 *
 * @module
 */
import type { Limit } from "./limit.ts";

/** Which bans the packets of a rule are held against. */
export interface RuleBans {
  /** Those that are for all rules. */
  readonly forAll: boolean;
  /** Number of the rule's own, 0 for none. */
  readonly scope: number;
}

export interface RuleGuard {
  /** Of the rule. */
  readonly name: string;
  /** Policies whose lists say who may send: a bit each, by their numbers in the lists of sources in force. */
  readonly policies: bigint;
  /** How much the rule takes. */
  readonly limit?: Limit | undefined;
  /** Undefined: there are none. */
  readonly bans?: RuleBans | undefined;
}
