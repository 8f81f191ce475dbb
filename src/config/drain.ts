/**
 * Takes backends out of use in rules, and back: what `xdpsteer backends drain --save` means for a file.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import type { Backend } from "../steering/forward.ts";
import type { Rule } from "../steering/rule.ts";

/**
 * The rules, in which a backend drains, or does not.
 *
 * @throws {SteerError} when no rule names it.
 */
export function drainRules(rules: readonly Rule[], name: string, drains: boolean): Rule[] {
  let isNamed = false;
  const changed = rules.map((rule): Rule => {
    const { action } = rule;
    if (action.kind !== "forward" || action.to.every((each) => each.name !== name)) return rule;
    isNamed = true;
    const to = action.to.map((each): Backend => {
      if (each.name !== name) return each;
      const { drain: _, ...others } = each;
      return drains ? { ...others, drain: true } : others;
    });
    return { ...rule, action: { ...action, to } };
  });
  if (isNamed) return changed;
  throw new SteerError(`No rule names the backend "${name}", so there is nothing to save`, {
    hint: "leave --save out: then it holds until xdpsteer ends",
  });
}
