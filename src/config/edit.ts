/**
 * Changes the rules in the text of a configuration file and leaves every other byte as it is: comments, order, quotes,
 * spaces.
 *
 * Nothing is printed from a parsed document. Each change replaces, inserts or removes the characters of one value, one
 * line or one item, and the outcome is parsed again and compared with what was wanted before anybody sees it.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { isAlias, isMap, isScalar, isSeq, type Node, parseDocument, visit } from "yaml";
import type { YAMLMap, YAMLSeq } from "yaml";
import { ConfigError, SteerError } from "../errors.ts";
import type { Action } from "../steering/action.ts";
import { without } from "../steering/port_set.ts";
import { type PortRange, rangeText, type Rule } from "../steering/rule.ts";
import type { Addresses } from "../steering/addresses.ts";
import { actionSchema } from "./actions.ts";
import { addressesSchema } from "./addresses.ts";
import { differsInBackends, editBackends } from "./edit_backends.ts";
import { differsInDrains, editDrains } from "./edit_drains.ts";
import { editFlowList, editPortLines, removeLines } from "./edit_lists.ts";
import { captureSchema } from "./capture.ts";
import { limitSchema } from "./limit.ts";
import { flowText, isWord, keyText, shortest } from "./flow.ts";
import { parseConfig, type ParseOptions } from "./parse.ts";
import { pairOf, valueOf } from "./pairs.ts";
import { contentEnd, lineEnd, lineStart, Splices } from "./splices.ts";
import { isMergeKey } from "./merge.ts";
import { DIALECT } from "./yaml_file.ts";

/** The value or place is written in a way that cannot be changed without changing more. */
class CannotEdit extends SteerError {
  constructor(what: string) {
    super(`The file cannot be edited: ${what}`, { hint: "make this change in the file by hand" });
  }
}

/**
 * The text with `rules` as its `steering`. Rules are told apart by name; new ones come last.
 *
 * @throws {ConfigError} when the text is no valid configuration.
 * @throws {SteerError} when the change cannot be made without touching more than the rules it is about.
 */
export function editSteering(source: string, rules: readonly Rule[], options: ParseOptions): string {
  const before = parseConfig(source, options);
  if (isDeepStrictEqual(before.steering, rules)) return source;
  const edit = new SteeringEdit(source);
  const edited = edit.apply(before.steering, rules);
  let after: unknown;
  try {
    after = parseConfig(edited, options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
  }
  if (!isDeepStrictEqual(after, { ...before, steering: rules }) || isJson(source) && !isJson(edited)) {
    throw new CannotEdit(
      edit.anchored === undefined
        ? "its rules are written in a way that a small change does not fit in"
        : `rule "${edit.anchored}" has an anchor, and what uses that would change too`,
    );
  }
  return edited;
}

class SteeringEdit {
  readonly #text: string;
  readonly #start: string;
  readonly #end: string;
  readonly #eol: string;
  readonly #splices: Splices;
  /** Whether the file is JSON, and is to stay so. */
  readonly #json: boolean;
  /** A rule that changes or goes and has an anchor, itself or in it: others may be made from it. */
  anchored: string | undefined;

  constructor(source: string) {
    this.#start = source.startsWith("\uFEFF") ? "\uFEFF" : "";
    this.#json = isJson(source);
    this.#eol = source.includes("\r\n") ? "\r\n" : "\n";
    // A last line without an end is given one for now: every line can then be followed by another.
    this.#end = source.endsWith("\n") ? "" : this.#eol;
    this.#text = source.slice(this.#start.length) + this.#end;
    this.#splices = new Splices(this.#text);
  }

  apply(before: readonly Rule[], after: readonly Rule[]): string {
    const { contents: root } = parseDocument(this.#text, { ...DIALECT, keepSourceTokens: true });
    if (!isMap(root)) throw new CannotEdit("it is not a map");
    const wanted = new Map(after.map((rule) => [rule.name, rule]));
    const known = new Set(before.map(({ name }) => name));
    const added = after.filter(({ name }) => !known.has(name));
    const list = valueOf(root, "steering");
    if (list === undefined && root.items.some(isMergeKey) && before.length > 0) {
      throw new CannotEdit("steering comes from another map by a merge key (<<)");
    }
    if (isSeq(list)) this.#editRules(list, before, wanted, added);
    else this.#startRules(root, list, added);
    const result = this.#splices.apply();
    const kept = this.#end !== "" && result.endsWith(this.#end) ? result.slice(0, -this.#end.length) : result;
    return this.#start + kept;
  }

  #editRules(
    list: YAMLSeq,
    before: readonly Rule[],
    wanted: ReadonlyMap<string, Rule>,
    added: readonly Rule[],
  ): void {
    const removed: number[] = [];
    for (const [index, rule] of before.entries()) {
      const next = wanted.get(rule.name);
      if (next !== undefined && isDeepStrictEqual(rule, next)) continue;
      const node = list.items[index];
      if (!isMap(node)) throw new CannotEdit(`rule "${rule.name}" is an alias`);
      visit(node, {
        Node: (_, inner) => {
          if (isAlias(inner) || inner.anchor === undefined) return undefined;
          this.anchored = rule.name;
          return visit.BREAK;
        },
      });
      if (next === undefined) removed.push(index);
      else this.#editRule(node, rule, next);
    }
    if (list.flow) {
      const plan = list.items.map((_, index): string[] | undefined => removed.includes(index) ? [] : undefined);
      if (!editFlowList(this.#splices, list, plan, added.map((rule) => this.#flowRule(rule)))) {
        throw new CannotEdit("there is more between its rules than commas and comments");
      }
      return;
    }
    const last = this.#lines(list, list.items.length - 1); // before its line may be removed
    for (const index of removed) this.#removeRule(list, index);
    const flow = isMap(list.items.at(-1)) && (list.items.at(-1) as YAMLMap).flow === true;
    for (const rule of added) this.#splices.insert(last.end, this.#ruleLines(rule, last.indent, flow));
  }

  #lines(list: YAMLSeq, index: number): { readonly indent: string; readonly start: number; readonly end: number } {
    const lines = removeLines(this.#text, list, index);
    if (lines === undefined) throw new CannotEdit(`rule number ${index + 1} does not have lines of its own`);
    return lines;
  }

  #removeRule(list: YAMLSeq, index: number): void {
    const { start, end } = this.#lines(list, index);
    this.#splices.replace(start, end, "");
  }

  /** The first rules of a file that has none: `steering` is missing, or empty. */
  #startRules(root: YAMLMap, value: unknown, added: readonly Rule[]): void {
    const flow = `[${added.map((rule) => this.#flowRule(rule)).join(", ")}]`;
    const pair = pairOf(root, "steering");
    if (pair === undefined) {
      if (root.flow) return this.#insertKey(root, "steering", flow, []);
      const lines = added.map((rule) => this.#ruleLines(rule, `${this.#indentOf(root)}  `, true)).join("");
      return this.#splices.insert(this.#text.length, `${this.#indentOf(root)}steering:${this.#eol}${lines}`);
    }
    if (value !== null && !isScalar(value)) throw new CannotEdit("steering is an alias");
    const [start, end] = isScalar(value) ? value.range! : [contentEnd(pair), contentEnd(pair)];
    if (root.flow || start < end) return this.#splices.replace(start, end, start < end ? flow : ` ${flow}`);
    const lines = added.map((rule) => this.#ruleLines(rule, `${this.#indentOf(root)}  `, true)).join("");
    this.#splices.insert(lineEnd(this.#text, contentEnd(pair.key)), lines);
  }

  #editRule(node: YAMLMap, before: Rule, after: Rule): void {
    if (!isDeepStrictEqual(before.ports, after.ports)) this.#editPorts(node, before, after.ports);
    if (!isDeepStrictEqual(before.addresses, after.addresses)) {
      this.#setValue(node, "addresses", this.#addressesText(after.addresses), ["ports"]);
    }
    if (before.worker !== after.worker) this.#setValue(node, "worker", flowText(after.worker, this.#json), ["ports"]);
    if (isDeepStrictEqual(before.action, after.action)) return;
    if (differsInDrains(before.action, after.action)) {
      const options = { json: this.#json, eol: this.#eol };
      if (editDrains(this.#splices, valueOf(node, "action"), before.action, after.action, options)) return;
    }
    if (differsInBackends(before.action, after.action)) {
      const { forward } = shortest(actionSchema, after.action) as { forward: { to: Parameters<typeof flowText>[0] } };
      if (editBackends(this.#splices, valueOf(node, "action"), flowText(forward.to, this.#json))) return;
    }
    this.#setValue(node, "action", this.#actionText(after.action), ["worker", "ports"]);
  }

  /** @param follows Keys after the first of which a new one is written. */
  #setValue(node: YAMLMap, key: string, word: string, follows: readonly string[]): void {
    const value = valueOf(node, key);
    if (pairOf(node, key) === undefined) return this.#insertKey(node, key, word, follows);
    this.#replaceValue(node, key, value, word);
  }

  #replaceValue(node: YAMLMap, key: string, value: unknown, word: string): void {
    const what = `${key} of rule "${String(scalarOf(node, "name"))}"`;
    if (isAlias(value)) throw new CannotEdit(`${what} is the alias *${value.source}`);
    const isMapInLine = isMap(value) && value.flow === true &&
      !this.#text.slice(...value.range!.slice(0, 2)).includes("#");
    if (!isMapInLine && (!isScalar(value) || value.type?.startsWith("BLOCK"))) {
      throw new CannotEdit(`${what} is more than a word, or a map in brackets without comments`);
    }
    if (value.anchor !== undefined) throw new CannotEdit(`${what} has the anchor &${value.anchor}`);
    this.#splices.replace(value.range![0], value.range![1], word);
  }

  #insertKey(node: YAMLMap, key: string, word: string, follows: readonly string[]): void {
    const before = follows.map((name) => pairOf(node, name)).find((pair) => pair !== undefined) ?? node.items.at(-1);
    if (before === undefined) throw new CannotEdit(`there is no place for "${key}"`);
    if (node.flow) {
      return this.#splices.insert(contentEnd(before), `, ${keyText(key, this.#json)}: ${word}`);
    }
    const at = lineEnd(this.#text, contentEnd(before));
    this.#splices.insert(at, `${this.#indentOf(node)}${key}: ${word}${this.#eol}`);
  }

  #editPorts(node: YAMLMap, { name, ports }: Rule, wanted: readonly PortRange[]): void {
    const value = valueOf(node, "ports");
    // What is left of each item takes its place; ports that no item had come last.
    const plan = ports.map((range): string[] | undefined => {
      const left = wanted.filter(({ first, last }) => first >= range.first && last <= range.last);
      return isDeepStrictEqual(left, [range]) ? undefined : left.map(portText);
    });
    const added = wanted.filter((range) => without([range], ports).length > 0).map(portText);
    // Merged into the rule: what it says itself goes before that.
    if (value === undefined) return this.#insertKey(node, "ports", listText(wanted.map(portText)), ["name"]);
    if (!isSeq(value)) {
      const texts = [...plan[0] ?? ports.map(portText), ...added];
      return this.#replaceValue(node, "ports", value, listText(texts));
    }
    if (value.items.some((item) => !isScalar(item) || item.anchor !== undefined)) {
      throw new CannotEdit(`an alias or an anchor is among the ports of rule "${name}"`);
    }
    const done = value.flow
      ? editFlowList(this.#splices, value, plan, added)
      : editPortLines(this.#splices, value, plan, added, this.#eol);
    if (!done) throw new CannotEdit(`the ports of rule "${name}" do not have lines of their own`);
  }

  #ruleLines(rule: Rule, indent: string, flow: boolean): string {
    if (flow) return `${indent}- ${this.#flowRule(rule)}${this.#eol}`;
    const [first, ...others] = this.#ruleKeys(rule);
    return [`${indent}- ${first}`, ...others.map((line) => `${indent}  ${line}`), ""].join(this.#eol);
  }

  #flowRule(rule: Rule): string {
    return `{ ${this.#ruleKeys(rule).join(", ")} }`;
  }

  #ruleKeys({ name, ports, addresses, worker, action, fragments, limit, capture }: Rule): string[] {
    const pairs = [
      ["name", this.#json ? JSON.stringify(name) : nameText(name)],
      ["ports", listText(ports.map(portText))],
      ...addresses === "own" ? [] : [["addresses", this.#addressesText(addresses)]],
      ["worker", flowText(worker, this.#json)],
      ["action", this.#actionText(action)],
      ...fragments === "drop" ? [] : [["fragments", flowText(fragments, this.#json)]],
      ...limit === undefined ? [] : [["limit", flowText(shortest(limitSchema, limit), this.#json)]],
      ...capture === undefined ? [] : [["capture", flowText(shortest(captureSchema, capture), this.#json)]],
    ] as const;
    return pairs.map(([key, text]) => `${keyText(key!, this.#json)}: ${text}`);
  }

  #addressesText(addresses: Addresses): string {
    return flowText(shortest(addressesSchema, addresses), this.#json);
  }

  /** A word, or a map in one line. */
  #actionText(action: Action): string {
    return flowText(shortest(actionSchema, action), this.#json);
  }

  /** As many spaces as stand before the keys of a block map. */
  #indentOf(node: YAMLMap): string {
    const start = (node.items[0]!.key as Node).range![0];
    return " ".repeat(start - lineStart(this.#text, start));
  }
}

function scalarOf(node: YAMLMap, key: string): unknown {
  const value = valueOf(node, key);
  return isScalar(value) ? value.value : undefined;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text.replace(/^\uFEFF/, ""));
    return true;
  } catch {
    return false;
  }
}

function listText(texts: readonly string[]): string {
  return texts.length === 1 ? texts[0]! : `[${texts.join(", ")}]`;
}

function portText(range: PortRange): string {
  return range.first === range.last ? `${range.first}` : `"${rangeText(range)}"`;
}

/** In quotes where YAML would not read it as text, or somebody might not: `1e3`, `on`. */
function nameText(name: string): string {
  return /^[A-Za-z_][\w.-]*$/.test(name) && !isWord(name) ? name : `"${name}"`;
}
