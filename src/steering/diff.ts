/**
 * What a change of rules changes, in words for the log. Whether there is a change is not decided here.
 *
 * @module
 */
import type { Action } from "./action.ts";
import { formatPorts, type Rule } from "./rule.ts";

/** What the log says of a rule, by key. */
const RULE_WORDS: Readonly<Record<Exclude<keyof Rule, "name">, (rule: Rule) => string>> = {
  ports: ({ ports }) => formatPorts(ports),
  worker: ({ worker }) => `${worker}`,
  action: ({ action }) => describeAction(action),
  fragments: ({ fragments }) => fragments,
  capture: describeCapture,
};

/** One line per rule that was added, removed or changed, in the order of the new rules, removed ones last. */
export function diffRules(before: readonly Rule[], after: readonly Rule[]): string[] {
  const old = new Map(before.map((rule) => [rule.name, rule]));
  const lines: string[] = [];
  for (const rule of after) {
    const previous = old.get(rule.name);
    old.delete(rule.name);
    if (previous === undefined) {
      lines.push(`+ ${rule.name}: ports ${formatPorts(rule.ports)}, ${describe(rule)}`);
      continue;
    }
    const changes = Object.entries(RULE_WORDS).map(([key, wordsFor]) => change(key, wordsFor(previous), wordsFor(rule)))
      .filter((text) => text !== "");
    if (changes.length === 0 && JSON.stringify(previous) !== JSON.stringify(rule)) { // what describeAction() leaves out
      changes.push(`other settings of ${rule.action.kind}`);
    }
    if (changes.length > 0) lines.push(`~ ${rule.name}: ${changes.join(", ")}`);
  }
  const added = new Set(after.map(({ name }) => name)).difference(new Set(before.map(({ name }) => name)));
  const namesOf = (rules: readonly Rule[], left: { has(name: string): boolean }): string[] =>
    rules.map(({ name }) => name).filter((name) => !left.has(name));
  const order = namesOf(after, added);
  if (namesOf(before, old).some((name, index) => name !== order[index])) lines.push("~ the order of the rules");
  for (const rule of old.values()) lines.push(`- ${rule.name}: ports ${formatPorts(rule.ports)}, ${describe(rule)}`);
  return lines;
}

/** A line where the translation addresses differ. */
export function diffAddresses(before: readonly string[], after: readonly string[]): string[] {
  const [was, is] = [before, after].map((addresses) => addresses.join(" ") || "as routes say");
  return was === is ? [] : [`~ translation addresses ${was} -> ${is}`];
}

function describe(rule: Rule): string {
  return `worker ${rule.worker}, action ${describeAction(rule.action)}`;
}

/** `count`, `forward to 10.0.0.11:9000 10.0.0.12:9000 (weight 2)` */
export function describeAction(action: Action): string {
  if (action.kind !== "forward") return action.kind;
  const { mode, to } = action;
  const backends = to.map(({ name, weight }) => (weight === 1 ? name : `${name} (weight ${weight})`));
  return `forward${mode === "nat" ? "" : ` by ${mode}`} to ${backends.join(" ")}`;
}

function describeCapture({ capture }: Rule): string {
  if (capture === undefined) return "none";
  const { file, snap, sample, rotate: { size, seconds, keep } } = capture;
  const age = seconds === null ? "" : ` or ${seconds} s`;
  return `to ${file} (snap ${snap}, sample ${sample}, rotate at ${size} bytes${age}, keep ${keep})`;
}

function change(what: string, before: string, after: string): string {
  return before === after ? "" : `${what} ${before} -> ${after}`;
}
