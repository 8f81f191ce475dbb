/**
 * What a change of rules changes, in words for the log. Whether there is a change is not decided here.
 *
 * @module
 */
import type { Action } from "./action.ts";
import { textOf as addressesText } from "./addresses.ts";
import { type GuardSettings, isGuarding, type SourceList, type Sources } from "./guard.ts";
import { limitText } from "./limit.ts";
import { merged } from "./port_set.ts";
import { formatPorts, type PortRange, type Rule } from "./rule.ts";

/** What the log says of a rule, by key. */
const RULE_WORDS: Readonly<Record<Exclude<keyof Rule, "name">, (rule: Rule) => string>> = {
  ports: ({ ports }) => portsText(ports),
  addresses: ({ addresses }) => addressesText(addresses),
  sources: ({ sources }) => sourcesText(sources),
  worker: ({ worker }) => `${worker}`,
  action: ({ action }) => describeAction(action),
  fragments: ({ fragments }) => fragments,
  limit: ({ limit }) => limit === undefined ? "none" : limitText(limit),
  capture: describeCapture,
};

/** One line per rule that was added, removed or changed, in the order of the new rules, removed ones last. */
export function diffRules(before: readonly Rule[], after: readonly Rule[]): string[] {
  const old = new Map(before.map((rule) => [rule.name, rule]));
  const captured = new CapturedPorts(before);
  const lines: string[] = [];
  for (const rule of after) {
    const previous = old.get(rule.name);
    old.delete(rule.name);
    if (previous === undefined) {
      lines.push(`+ ${rule.name}: ${[describe(rule), ...captured.lostBy(rule)].join(", ")}`);
      continue;
    }
    if (JSON.stringify(previous) === JSON.stringify(rule)) continue;
    const changes = Object.entries(RULE_WORDS).map(([key, wordsFor]) => change(key, wordsFor(previous), wordsFor(rule)))
      .filter((text) => text !== "");
    changes.push(...settingChanges(previous, rule), ...captured.lostBy(rule));
    lines.push(`~ ${rule.name}: ${changes.length > 0 ? changes.join(", ") : "the order of its ports"}`);
  }
  const added = new Set(after.map(({ name }) => name)).difference(new Set(before.map(({ name }) => name)));
  const namesOf = (rules: readonly Rule[], left: { has(name: string): boolean }): string[] =>
    rules.map(({ name }) => name).filter((name) => !left.has(name));
  const order = namesOf(after, added);
  if (namesOf(before, old).some((name, index) => name !== order[index])) lines.push("~ the order of the rules");
  for (const rule of old.values()) lines.push(`- ${rule.name}: ${describe(rule)}`);
  return lines;
}

/** A line where the translation addresses differ. */
export function diffAddresses(before: readonly string[], after: readonly string[]): string[] {
  const [was, is] = [before, after].map((addresses) => addresses.join(" ") || "as routes say");
  return was === is ? [] : [`~ translation addresses ${was} -> ${is}`];
}

/** A line for what guards all rules and for each list, where they differ. */
export function diffGuards(before: GuardSettings, after: GuardSettings): string[] {
  const [was, is] = [before.guard, after.guard].map(sourcesText);
  const old = new Map(before.lists.map((list) => [list.name, list]));
  const lines = was === is ? [] : [`~ guard ${was} -> ${is}`];
  for (const list of after.lists) {
    const previous = old.get(list.name);
    old.delete(list.name);
    if (previous === undefined) lines.push(`+ list ${list.name}: ${listText(list)}`);
    else if (JSON.stringify(previous) !== JSON.stringify(list)) {
      lines.push(`~ list ${list.name} ${listText(previous)} -> ${listText(list)}`);
    }
  }
  return [...lines, ...old.values().map((list) => `- list ${list.name}: ${listText(list)}`)];
}

/** `allow customers 192.0.2.0/24, deny blocklist` */
function sourcesText(sources: Sources | undefined): string {
  if (!isGuarding(sources)) return "none";
  const { allow, deny } = sources;
  const part = (verb: string, entries: readonly string[]): string[] =>
    entries.length === 0 ? [] : [`${verb} ${fewOf(entries)}`];
  return [...part("allow", allow), ...part("deny", deny)].join(", ");
}

function listText({ entries, file, url, interval, onBadLine, widePrefixes }: SourceList): string {
  const parts = [
    ...entries.length === 0 ? [] : [fewOf(entries)],
    ...file === null ? [] : [`file ${file}`],
    ...url === null ? [] : [`url ${url} every ${interval} s`],
    ...onBadLine === "skip" ? [] : ["without bad lines"],
    ...widePrefixes ? ["with wide prefixes"] : [],
  ];
  return parts.join(", ");
}

const SHOWN_ENTRIES = 5;

function fewOf(entries: readonly string[]): string {
  const more = entries.length - SHOWN_ENTRIES;
  return `${entries.slice(0, SHOWN_ENTRIES).join(" ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function describe(rule: Rule): string {
  const capture = rule.capture === undefined ? "" : `, capture ${describeCapture(rule)}`;
  const to = rule.addresses === "own" ? "" : `, addresses ${addressesText(rule.addresses)}`;
  const from = rule.sources === undefined ? "" : `, sources ${sourcesText(rule.sources)}`;
  const limit = rule.limit === undefined ? "" : `, limit ${limitText(rule.limit)}`;
  const action = describeAction(rule.action);
  return `ports ${portsText(rule.ports)}${to}${from}, worker ${rule.worker}, action ${action}${limit}${capture}`;
}

/** In ascending order, however the rule lists them. */
function portsText(ports: readonly PortRange[]): string {
  return formatPorts(merged(ports));
}

/** Which ports are captured before a change. */
class CapturedPorts {
  /** By port: the rule that is captured. */
  readonly #rules = new Map<number, Rule>();

  constructor(rules: readonly Rule[]) {
    for (const rule of rules) if (rule.capture !== undefined) this.#each(rule, (port) => this.#rules.set(port, rule));
  }

  /** What the ports that a rule takes from others lose: a capture stays with its rule. */
  lostBy(rule: Rule): string[] {
    if (this.#rules.size === 0) return [];
    const lost = new Map<string, PortRange[]>();
    this.#each(rule, (port) => {
      const owner = this.#rules.get(port);
      const file = owner?.capture?.file;
      if (file === undefined || owner!.name === rule.name || file === rule.capture?.file) return;
      const ports = lost.get(file) ?? [];
      if (ports.length === 0) lost.set(file, ports);
      ports.push({ first: port, last: port });
    });
    return [...lost].map(([file, ports]) => `ports ${portsText(ports)} no longer captured to ${file}`);
  }

  #each({ ports }: Rule, visit: (port: number) => void): void {
    for (const { first, last } of ports) for (let port = first; port <= last; port++) visit(port);
  }
}

/** Of a rule and its action: the settings for which there are no words above, by their keys in the file. */
function settingChanges({ action: was, ...before }: Rule, { action: is, ...after }: Rule): string[] {
  const of = (inside: object, said: readonly string[]): Settings =>
    Object.fromEntries(Object.entries(inside).filter(([key]) => !said.includes(key)));
  const rule = ["name", ...Object.keys(RULE_WORDS)];
  const action = ["kind", "mode", "to", "port"];
  return [
    ...valueChanges("", of(before, rule), of(after, rule)),
    ...was.kind === is.kind ? valueChanges("", of(was, action), of(is, action)) : [],
  ];
}

type Settings = Readonly<Record<string, unknown>>;

function valueChanges(path: string, before: unknown, after: unknown): string[] {
  if (!isMap(before) || !isMap(after)) {
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [change(path, valueText(before), valueText(after))];
  }
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) =>
    valueChanges(path === "" ? inFile(key) : `${path}.${inFile(key)}`, before[key], after[key])
  );
}

function isMap(value: unknown): value is Settings {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function valueText(value: unknown): string {
  if (value === undefined || value === null) return "none";
  if (!isMap(value)) return typeof value === "string" ? value : JSON.stringify(value);
  const entries = Object.entries(value).filter(([, inner]) => inner !== null);
  return `{ ${entries.map(([key, inner]) => `${inFile(key)}: ${valueText(inner)}`).join(", ")} }`;
}

/** `idleTimeout` is `idle_timeout` there. */
function inFile(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** `count`, `forward to 10.0.0.11:9000 10.0.0.12:9000 (weight 2)` */
export function describeAction(action: Action): string {
  if (action.kind === "deliver") return `deliver to port ${action.port}`;
  if (action.kind !== "forward") return action.kind;
  const { mode, to } = action;
  const backends = to.map(({ name, weight, maxSessions, backup, drain }) => {
    const words = [
      weight === 1 ? "" : `weight ${weight}`,
      maxSessions === undefined ? "" : `max_sessions ${maxSessions}`,
      backup === true ? "backup" : "",
      drain === true ? "drained" : "",
    ].filter((word) => word !== "");
    return words.length === 0 ? name : `${name} (${words.join(", ")})`;
  });
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
