/**
 * What guards a rule: what the XDP program asks before it takes a packet.
 *
 * @module
 */
export interface RuleGuard {
  /** Policies whose lists say who may send: a bit each, by their numbers in the lists of sources in force. */
  readonly policies: bigint;
}
