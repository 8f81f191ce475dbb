/**
 * Writes `drain: true` to backends in the text of a configuration file, and takes it out again: of a backend only that
 * changes, however the rest of its action is written.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { isMap, isScalar, isSeq, type Node } from "yaml";
import type { Action } from "../steering/action.ts";
import type { Backend } from "../steering/forward.ts";
import { readBackend } from "./backend.ts";
import { keyText } from "./flow.ts";
import { keyOf, pairOf, valueOf } from "./pairs.ts";
import { contentEnd, lineEnd, lineStart, type Splices } from "./splices.ts";

const KEY = "drain";

/** Whether two actions differ in nothing but which backends drain. */
export function differsInDrains(before: Action, after: Action): boolean {
  if (before.kind !== "forward" || after.kind !== "forward") return false;
  const bare = (list: readonly Backend[]): unknown[] => list.map(({ drain: _, ...others }) => others);
  return isDeepStrictEqual({ ...before, to: bare(before.to) }, { ...after, to: bare(after.to) });
}

/**
 * @param action The value of the rule's `action`.
 * @returns false, and changes nothing, where the backends are written in a way that this does not fit in.
 */
export function editDrains(
  splices: Splices,
  action: unknown,
  before: Action,
  after: Action,
  { json, eol }: { readonly json: boolean; readonly eol: string },
): boolean {
  if (before.kind !== "forward" || after.kind !== "forward") return false;
  const list = valueOf(valueOf(action, "forward"), "to");
  if (!isSeq(list) || list.items.length !== after.to.length + after.names.length) return false;
  const items = new Map(list.items.map((item) => [backendOf(item), item]));
  const edits: (() => void)[] = [];
  for (const [index, { name, drain }] of after.to.entries()) {
    if (drain === before.to[index]!.drain) continue;
    const item = items.get(name);
    const edit = drain === true ? setDrain(splices, item, json, eol) : unsetDrain(splices, item);
    if (edit === undefined) return false;
    edits.push(edit);
  }
  for (const edit of edits) edit();
  return true;
}

/** The name of the backend that an item of the list is; undefined where it is looked up, or is written elsewhere. */
function backendOf(item: unknown): string | undefined {
  const text = isMap(item) ? valueOf(item, "address") : item;
  return isScalar(text) ? readBackend(String(text.value))?.name : undefined;
}

function setDrain(splices: Splices, item: unknown, json: boolean, eol: string): (() => void) | undefined {
  const key = keyText(KEY, json);
  if (isScalar(item) && item.range && item.anchor === undefined) {
    const [start, end] = item.range;
    const text = splices.text.slice(start, end);
    return () => splices.replace(start, end, `{ ${keyText("address", json)}: ${text}, ${key}: true }`);
  }
  if (!isMap(item)) return undefined;
  const known = pairOf(item, KEY)?.value;
  if (isScalar(known) && known.range) {
    const [start, end] = known.range;
    return () => splices.replace(start, end, "true");
  }
  const last = item.items.at(-1);
  if (last === undefined || known !== undefined) return undefined;
  if (item.flow) return () => splices.insert(contentEnd(last), `, ${key}: true`);
  const first = (item.items[0]!.key as Node).range![0];
  const indent = " ".repeat(first - lineStart(splices.text, first));
  return () => splices.insert(lineEnd(splices.text, contentEnd(last)), `${indent}${key}: true${eol}`);
}

function unsetDrain(splices: Splices, item: unknown): (() => void) | undefined {
  if (!isMap(item)) return undefined;
  const pair = pairOf(item, KEY);
  if (pair === undefined) return undefined;
  const { text } = splices;
  const at = item.items.indexOf(pair);
  if (item.flow) {
    const [only, ...more] = item.items.filter((other) => other !== pair);
    // What had been a word before it was drained is one again.
    if (
      only !== undefined && more.length === 0 && isScalar(only.value) && only.value.range && keyOf(only) === "address"
    ) {
      const address = text.slice(only.value.range[0], only.value.range[1]);
      return () => splices.replace(item.range![0], item.range![1], address);
    }
    if (at > 0) return () => splices.replace(contentEnd(item.items[at - 1]), contentEnd(pair), "");
    const next = item.items[1];
    if (next === undefined) return undefined;
    return () => splices.replace((pair.key as Node).range![0], (next.key as Node).range![0], "");
  }
  const start = lineStart(text, (pair.key as Node).range![0]);
  // The first key stands behind the dash.
  if (text.slice(start, (pair.key as Node).range![0]).trim() !== "") return undefined;
  return () => splices.replace(start, lineEnd(text, contentEnd(pair)), "");
}
