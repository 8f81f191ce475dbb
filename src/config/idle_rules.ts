/**
 * Rules that forward, and have no backend that takes new sessions.
 *
 * @module
 */
import type { Rule } from "../steering/rule.ts";
import type { Obstacle } from "./warnings.ts";
import { show } from "./wording.ts";

/** Each rule all of whose backends have `weight: 0` or `drain: true`: it has nobody for new clients. */
export function idleRules(rules: readonly Rule[]): Obstacle[] {
  return rules.flatMap(({ name, action }, index): Obstacle[] => {
    if (action.kind !== "forward") return [];
    const backends = [...action.to, ...action.names];
    if (backends.some(({ weight, drain }) => weight > 0 && drain !== true)) return [];
    const { length } = backends;
    const all = length === 1 ? "its backend has" : length === 2 ? "both of its backends have" : `all ${length} have`;
    return [{
      path: ["steering", index, "action", "forward", "to"],
      message: `rule ${show(name)} has no backend that takes new sessions, for ${all} weight: 0 or drain: true: ` +
        "packets of new clients are lost",
    }];
  });
}
