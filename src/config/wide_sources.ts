/**
 * Denied prefixes that are a large part of the internet: `check` warns of them, and the log when they come into force.
 * In files and pages they are bad lines.
 *
 * @module
 */
import { parsePrefix } from "../steering/addresses.ts";
import { type GuardSettings, isListName } from "../steering/guard.ts";
import type { Rule } from "../steering/rule.ts";
import { widerThan } from "../steering/wide_prefix.ts";
import type { Obstacle } from "./warnings.ts";
import { show } from "./wording.ts";

/** Each at its place: denied ones, and those of a list that does not say that it has such. */
export function wideSources(
  { guard, lists, steering }: GuardSettings & { readonly steering: readonly Pick<Rule, "name" | "sources">[] },
): Obstacle[] {
  return [
    ...widePrefixes(guard.deny, ["guard", "deny"], () => "all rules keep it out"),
    ...steering.flatMap(({ name, sources }, index) =>
      widePrefixes(sources?.deny ?? [], ["steering", index, "sources", "deny"], () => `rule ${show(name)} keeps it out`)
    ),
    ...lists.flatMap(({ name, entries, widePrefixes: isMeant }, index) =>
      isMeant
        ? []
        : widePrefixes(entries, ["lists", index, "entries"], () =>
          `list ${show(name)} has it, without wide_prefixes: true`)
    ),
  ];
}

function widePrefixes(entries: readonly string[], path: Obstacle["path"], words: () => string): Obstacle[] {
  return entries.flatMap((entry, index): Obstacle[] => {
    if (isListName(entry)) return [];
    const { address, bits } = parsePrefix(entry);
    const length = widerThan(address, bits);
    if (length === undefined) return [];
    const message = `${show(entry)} is wider than ${length}, a large part of the internet: ${words()}`;
    return [{ path: [...path, index], message }];
  });
}
