/**
 * What the XDP program counts by rule: in which order its numbers are given, and what they are of.
 *
 * @module
 */
import { GUARD_COUNTERS, REASON, RULE_COUNTERS } from "./layout.gen.ts";

/**
 * Counters of rule slots, one after the other: each in the order of {@linkcode RULE_COUNTER_FIELDS}, summed over CPUs.
 */
export type RuleCounters = Float64Array;

/** Order of the numbers in {@linkcode RuleCounters}: in which map each is, and where in its elements. */
export const RULE_COUNTER_FIELDS = [
  ...[
    RULE_COUNTERS.redirectedPackets,
    RULE_COUNTERS.redirectedBytes,
    RULE_COUNTERS.droppedPackets,
    RULE_COUNTERS.droppedBytes,
    RULE_COUNTERS.passedPackets,
    RULE_COUNTERS.passedBytes,
    RULE_COUNTERS.deliveredPackets,
    RULE_COUNTERS.deliveredBytes,
    RULE_COUNTERS.answeredPackets,
    RULE_COUNTERS.answeredBytes,
  ].map((offset) => ({ map: "rules", word: offset / 8 }) as const),
  ...[
    GUARD_COUNTERS.denied,
    GUARD_COUNTERS.banned,
    GUARD_COUNTERS.limited,
    GUARD_COUNTERS.observed,
    GUARD_COUNTERS.overTotal,
  ].map((offset) => ({ map: "guards", word: offset / 8 }) as const),
  { map: "rules", word: RULE_COUNTERS.fragmentPackets / 8 },
] as const;

/** Where in those numbers packets are. */
export const RULE_PACKETS = {
  redirected: 0,
  dropped: 2,
  passed: 4,
  delivered: 6,
  denied: 10,
  banned: 11,
  limited: 12,
} as const;
/** Where the packets are that local programs answered. */
export const ANSWERED_PACKETS = 8;
/** Where the packets are that a guard let through and only observed. */
export const OBSERVED_PACKETS = 13;
/** Of those that are limited or observed, packets over what the rule takes in total. */
export const OVER_TOTAL_PACKETS = 14;

/** Where the first fragments are that were dropped: they also have a reason of their own, which is no rule's. */
export const FRAGMENT_PACKETS = 15;

/** Reasons that are a rule's, and where its packets are. */
export const RULE_REASONS = [
  [REASON.STEERED, RULE_PACKETS.redirected],
  [REASON.RULE_DROP, RULE_PACKETS.dropped],
  [REASON.RULE_PASS, RULE_PACKETS.passed],
  [REASON.DENIED, RULE_PACKETS.denied],
  [REASON.BANNED, RULE_PACKETS.banned],
  [REASON.LIMITED, RULE_PACKETS.limited],
  [REASON.DELIVERED, RULE_PACKETS.delivered],
] as const;
