/**
 * Takes items out of YAML lists, changes them and adds some, in the text.
 *
 * A plan says for each item what it becomes: undefined leaves it alone, no text takes it out, several texts follow one
 * another.
 *
 * @module
 */
import { type CST, isNode, type YAMLSeq } from "yaml";
import { contentEnd, lineEnd, lineStart, type Splices } from "./splices.ts";

export type Plan = readonly (readonly string[] | undefined)[];

/** @returns false, and changes nothing, where more than commas and comments is between the items. */
export function editFlowList(splices: Splices, list: YAMLSeq, plan: Plan, added: readonly string[]): boolean {
  const places = list.items.map((item) => ({ start: isNode(item) ? item.range![0] : 0, end: contentEnd(item) }));
  const [open, close] = [list.range![0] + 1, list.range![1] - 1];
  const gap = (index: number): string =>
    splices.text.slice(places[index - 1]?.end ?? open, places[index]?.start ?? close);
  const onlyCommas = (text: string): boolean => withoutCommas(text).replaceAll(/#.*/g, "").trim() === "";
  if (!places.every((_, index) => onlyCommas(gap(index))) || !onlyCommas(gap(places.length))) return false;
  if (places.length === 0) {
    splices.insert(open, added.join(", "));
    return true;
  }

  const textOf = (index: number): string => splices.text.slice(places[index]!.start, places[index]!.end);
  const full = withAdded(plan, added, textOf);
  for (let index = 0; index < full.length; index++) {
    const texts = full[index];
    if (texts === undefined) continue;
    const { start, end } = places[index]!;
    if (texts.length > 0) {
      splices.replace(start, end, texts.join(", "));
      continue;
    }
    // A run of items that all go.
    let last = index;
    while (full[last + 1]?.length === 0) last++;
    const gaps = (from: number, to: number): string => {
      const kept: string[] = [];
      for (let at = from; at <= to; at++) if (gap(at).includes("#")) kept.push(withoutCommas(gap(at)));
      return kept.join("");
    };
    if (last + 1 < places.length) splices.replace(start, places[last + 1]!.start, gaps(index + 1, last + 1));
    else if (index > 0) splices.replace(places[index - 1]!.end, places[last]!.end, gaps(index, last));
    else splices.replace(start, close, gaps(1, last + 1));
    index = last;
  }
  return true;
}

/** For a list with a line for each item. @returns false, and changes nothing, where an item does not have one. */
export function editPortLines(
  splices: Splices,
  list: YAMLSeq,
  plan: Plan,
  added: readonly string[],
  eol: string,
): boolean {
  const lines = list.items.map((_, index) => removeLines(splices.text, list, index));
  if (lines.some((line) => line === undefined)) return false;
  const places = list.items.map((item) => (isNode(item) ? item.range! : [0, 0] as const));
  const textOf = (index: number): string => splices.text.slice(places[index]![0], places[index]![1]);
  for (const [index, texts] of withAdded(plan, added, textOf).entries()) {
    if (texts === undefined) continue;
    const { indent, start, end } = lines[index]!;
    if (texts.length === 0) {
      splices.replace(start, end, "");
      continue;
    }
    splices.replace(places[index]![0], places[index]![1], texts[0]!);
    splices.insert(end, texts.slice(1).map((text) => `${indent}- ${text}${eol}`).join(""));
  }
  return true;
}

/**
 * The lines of an item of a block list, and what stands before its dash; undefined where that is more than white space.
 */
export function removeLines(
  text: string,
  list: YAMLSeq,
  index: number,
): { readonly indent: string; readonly start: number; readonly end: number } | undefined {
  const token = list.srcToken as CST.BlockSequence | undefined;
  const starts = token?.items.flatMap(({ start }) => start.filter(({ type }) => type === "seq-item-ind")) ?? [];
  const dash = starts[index]?.offset;
  if (dash === undefined) return undefined;
  const start = lineStart(text, dash);
  const indent = text.slice(start, dash);
  if (indent.trim() !== "") return undefined;
  return { indent, start, end: lineEnd(text, contentEnd(list.items[index])) };
}

/** New items follow the last one that stays; where none does, they take the place of the last. */
function withAdded(plan: Plan, added: readonly string[], textOf: (index: number) => string): Plan {
  if (added.length === 0) return plan;
  const staysLast = plan.findLastIndex((texts) => texts === undefined || texts.length > 0);
  const at = staysLast < 0 ? plan.length - 1 : staysLast;
  return plan.map((texts, index) => index === at ? [...texts ?? [textOf(index)], ...added] : texts);
}

function withoutCommas(gap: string): string {
  return gap.replaceAll(/#.*|,/g, (found) => found === "," ? "" : found);
}
