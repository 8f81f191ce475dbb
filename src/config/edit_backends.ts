/**
 * Writes other backends into a rule that forwards, in the text of a configuration file: of its action only the list
 * changes, however the rest is written.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { isAlias, isMap, isNode, isSeq, visit } from "yaml";
import type { Action } from "../steering/action.ts";
import { pairOf, valueOf } from "./pairs.ts";
import { contentEnd, lineEnd, type Splices } from "./splices.ts";

/** Whether two actions differ in nothing but their backends. */
export function differsInBackends(before: Action, after: Action): boolean {
  if (before.kind !== "forward" || after.kind !== "forward") return false;
  return isDeepStrictEqual({ ...before, to: [], names: [] }, { ...after, to: [], names: [] });
}

/**
 * @param action The value of the rule's `action`.
 * @param list The backends, in brackets.
 * @returns false, and changes nothing, where a comment, an anchor or an alias would go.
 */
export function editBackends(splices: Splices, action: unknown, list: string): boolean {
  const forward = valueOf(action, "forward");
  const pair = isMap(forward) ? pairOf(forward, "to") : undefined;
  if (pair === undefined || !isSeq(pair.value) || !isNode(pair.key)) return false;
  const [start, end] = [pair.key.range![1], contentEnd(pair)];
  // What stands behind the last line of a list is about that line, behind a bracket about the whole.
  const last = pair.value.flow ? end : lineEnd(splices.text, end);
  let hasMarks = splices.text.slice(start, last).includes("#");
  visit(pair.value, {
    Node: (_, node) => void (hasMarks ||= isAlias(node) || node.anchor !== undefined),
  });
  if (hasMarks) return false;
  splices.replace(start, end, `: ${list}`);
  return true;
}
