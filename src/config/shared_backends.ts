/**
 * Backends that several services lead to, where they see clients themselves: they cannot tell the services apart.
 *
 * @module
 */
import type { Rule } from "../steering/rule.ts";
import type { Obstacle } from "./warnings.ts";
import { show } from "./wording.ts";

/** What is odd about rules with `source: client`: each place where a backend is named again. */
export function sharedBackends(rules: readonly Rule[]): Obstacle[] {
  const first = new Map<string, string>();
  return rules.flatMap(({ name: rule, ports, action }, index): Obstacle[] => {
    if (action.kind !== "forward" || action.source !== "client") return [];
    const { names, to } = action;
    const found = [...to, ...names].flatMap(({ name }, place): Obstacle[] => {
      const before = first.get(name);
      if (before === undefined) {
        first.set(name, rule);
        return [];
      }
      // Between names, the file's numbers are others.
      const at = names.length === 0 ? [place] : [];
      const message = `backend ${show(name)} is in rule ${show(before)} too, and both have source: client: ${LAST}`;
      return [{ path: ["steering", index, "action", "forward", "to", ...at], message }];
    });
    const isSingle = ports.length === 1 && ports[0]!.first === ports[0]!.last;
    // A range has a port for each.
    const hasRanges = to.every(({ port, lastPort }) => port === 0 || lastPort !== undefined);
    if (isSingle || hasRanges) return found;
    const path = ["steering", index, "action", "forward", "source"];
    return [...found, { path, message: `source: client, and several ports lead to one of a backend: ${LAST}` }];
  });
}

const LAST = "a client that uses both from one port of its own gets the answers of the one that it has sent to last";
