/**
 * A YAML text as plain values, with the place of each of them.
 *
 * @module
 */

import { type Alias, Composer, type Document, isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, Parser } from "yaml";
import type { CST, Node, Pair, Scalar, YAMLError, YAMLMap } from "yaml";
import {
  isMergeKey,
  MAX_MERGED_KEYS,
  MERGE_SOURCES,
  mergeAll,
  mergeSources,
  TooMuchMerged,
  withoutExtensions,
} from "./merge.ts";
import { STOPS, YamlBudget } from "./yaml_budget.ts";
import { complainAboutKind, show, startsWithZero, syntaxMessage, ZERO } from "./wording.ts";

/** Keys and list indices that lead from the top of the file to a value. */
export type Path = readonly PropertyKey[];

/** Part of the text, as offsets in UTF-16 units. */
export interface Place {
  readonly start: number;
  readonly end: number;
}

/** Something wrong, and where. */
export interface Finding extends Place {
  readonly message: string;
}

/** Deeper than any configuration. What is nested costs the YAML composer quadratic time, and finally its stack. */
const MAX_DEPTH = 64;
/** Anchors and aliases together: the time to resolve one alias grows with their number. */
const MAX_ALIASES = 10_000;

/** Of the YAML parser's errors: what is not YAML at all has one at every character. */
const MAX_SYNTAX_ERRORS = 1000;

/** How YAML is read here. */
export const DIALECT = {
  version: "1.2",
  schema: "core",
  merge: false,
  resolveKnownTags: false,
  prettyErrors: false,
  // This check compares each key with each other; #explore does it in linear time.
  uniqueKeys: false,
} as const;

/** What may follow a value on its line, or ends a flow collection. */
const ENDS: readonly string[] = ["space", "comment", "newline", "flow-map-end", "flow-seq-end"];

/** Whether the last thing that was read stands where a value has ended: the parser makes an error of it later. */
function isAfterEnd(token: CST.Token | undefined): boolean {
  if (token === undefined || !("end" in token) || !Array.isArray(token.end)) return false;
  const last: CST.SourceToken | undefined = token.end.at(-1);
  return last !== undefined && !ENDS.includes(last.type);
}

/** A parsed file. */
export class YamlFile {
  /**
   * The content as plain maps, lists, texts, numbers and booleans, with what merge keys bring in and without the `x-`
   * keys of the top; null where there is none to be had.
   */
  readonly value: unknown = null;
  /** What is wrong with the text as YAML. */
  readonly findings: Finding[] = [];
  /** Where the syntax is broken first: what comes after is the parser's guess. Infinity in a sound file. */
  readonly brokenAt: number;
  readonly #lines = new LineCounter();
  readonly #root: Node | null;
  readonly #keys = new Map<YAMLMap, Map<string, Pair>>();
  readonly #anchors = new Map<string, Node>();
  readonly #targets = new Map<Alias, Node>();
  #namesAndAliases = 0;

  constructor(readonly text: string) {
    const document = this.#compose(text);
    this.brokenAt = this.findings.reduce((first, { start }) => Math.min(first, start), Infinity);
    this.#root = document?.contents ?? null;
    if (document === undefined || !this.#explore(this.#root, [])) return;
    try {
      this.value = withoutExtensions(mergeAll(document.toJS({ maxAliasCount: MAX_ALIASES })));
    } catch (error) {
      const whole = { start: 0, end: text.length };
      if (error instanceof ReferenceError) {
        this.#report(whole, `too many aliases: expected at most ${MAX_ALIASES}`);
      } else if (error instanceof TooMuchMerged) {
        this.#report(whole, `merge keys (<<) bring in too much: expected at most ${MAX_MERGED_KEYS} keys in all`);
      } else throw error;
    }
  }

  /** Line and column of an offset, both 1-based. */
  position(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line, column: col };
  }

  /** The value at the end of a path; undefined where there is none. */
  valueAt(path: Path): unknown {
    return valueAt(this.value, path);
  }

  /** Place of a value: of its key where nothing follows it, of the map around it where the key is missing. */
  place(path: Path): Place {
    return this.#locate(path).value;
  }

  /** As {@linkcode place}, but of the alias where one leads there: two uses of one anchor are two places. */
  usePlace(path: Path): Place {
    const { alias, value } = this.#locate(path);
    return alias ?? value;
  }

  /** Place of the last key of a path. */
  keyPlace(path: Path): Place {
    return this.#locate(path).key;
  }

  #report(place: Place, message: string): void {
    this.findings.push({ start: place.start, end: place.end, message });
  }

  #compose(text: string): Document.Parsed | undefined {
    const parser = new Parser(this.#lines.addNewLine);
    const tokens: CST.Token[] = [];
    // The composer complains where the text ends that lacks its closing quote, which is of no help: end -> start.
    const openQuotes = new Map<number, number>();
    let errorCount = 0;
    const budget = new YamlBudget();
    this.#lines.addNewLine(0);
    for (const lexeme of new Lexer().lex(text)) {
      const stop = budget.take(lexeme);
      if (stop !== undefined) {
        this.#report({ start: parser.offset, end: parser.offset + 1 }, stop);
        if (stop !== STOPS.repetitions) return undefined;
        break;
      }
      const quote = lexeme[0];
      if ((quote === '"' || quote === "'") && (lexeme.length === 1 || !lexeme.endsWith(quote))) {
        openQuotes.set(parser.offset + lexeme.length, parser.offset);
      }
      for (const token of parser.next(lexeme)) {
        tokens.push(token);
        if (token.type === "error") errorCount++;
      }
      if (isAfterEnd(parser.stack.at(-1))) errorCount++;
      if (errorCount >= MAX_SYNTAX_ERRORS) break;
      if (parser.stack.length > MAX_DEPTH) {
        const place = { start: parser.offset - 1, end: parser.offset };
        this.#report(place, `too deeply nested: expected at most ${MAX_DEPTH} levels`);
        return undefined;
      }
    }
    tokens.push(...parser.end());
    const [document, second] = [...new Composer(DIALECT).compose(tokens, true, text.length)];
    const errors: YAMLError[] = [
      ...document?.errors ?? [],
      ...document?.warnings.filter(({ code }) => code === "TAG_RESOLVE_FAILED" || code === "BAD_COLLECTION_TYPE") ?? [],
    ];
    let last = -1;
    for (const { pos: [start, end], message } of errors.slice(0, MAX_SYNTAX_ERRORS)) {
      // What is said twice about one place is the consequence of the first.
      if (start !== last) this.#report({ start: openQuotes.get(start) ?? start, end }, syntaxMessage(message));
      last = start;
    }
    if (second !== undefined) {
      const [start, end] = second.range;
      this.#report({ start, end }, "a second YAML document starts here: expected only one");
    }
    return document;
  }

  /**
   * Notes the keys and aliases of a node and all below it, and takes out of its maps what cannot be a key.
   *
   * @returns false when aliases make the file unusable.
   */
  #explore(node: unknown, around: readonly Node[]): boolean {
    if (isAlias(node)) return this.#resolve(node, around);
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) return true;
    if (!this.#name(node)) return false;
    if (isScalar(node)) this.#checkNumber(node);
    const inside = [...around, node];
    if (isSeq(node)) return node.items.every((item) => this.#explore(item, inside));
    if (!isMap(node)) return true;
    const keys = new Map<string, Pair>();
    this.#keys.set(node, keys);
    node.items = node.items.filter((pair) => this.#addKey(keys, pair));
    if (!node.items.every(({ key, value }) => this.#explore(key, inside) && this.#explore(value, inside))) return false;
    node.items = node.items.filter((pair) => !isMergeKey(pair) || this.#checkMerge(pair));
    return true;
  }

  /** The parser has read it as decimal, as YAML 1.2 has it; YAML 1.1 has it as octal. */
  #checkNumber({ value, source = "", range }: Scalar): void {
    if (typeof value !== "number" || !startsWithZero(source.replace(/^[-+]/, ""))) return;
    const [start, end] = range ?? [0, 0];
    this.#report({ start, end }, `number ${source} ${ZERO}: expected ${value}`);
  }

  #addKey(keys: Map<string, Pair>, pair: Pair): boolean {
    const place = placeOf(pair.key) ?? placeOf(pair.value) ?? NOWHERE;
    if (!isScalar(pair.key) || pair.key.value === null) {
      this.#report(place, "not a plain key: expected a word before the colon");
      return false;
    }
    const key = String(pair.key.value);
    const first = keys.get(key);
    if (first !== undefined) {
      const { line } = this.position(placeOf(first.key)?.start ?? 0);
      this.#report(place, `key ${show(key)} appears twice: expected it once, and it is on line ${line} already`);
    }
    keys.set(key, pair);
    return true;
  }

  #checkMerge({ key, value }: Pair): boolean {
    if (mergeSources(value, (node) => this.#behind(node)) !== undefined) return true;
    const place = placeOf(value) ?? placeOf(key) ?? NOWHERE;
    const found = this.#behind(value);
    this.#report(
      place,
      isSeq(found)
        ? `<< lists something else than maps: expected ${MERGE_SOURCES}`
        : complainAboutKind("<<", MERGE_SOURCES)({ input: isScalar(found) ? found.value : null }),
    );
    return false;
  }

  /** The node itself, or what it is an alias of. */
  #behind(node: unknown): unknown {
    return isAlias(node) ? this.#targets.get(node) : node;
  }

  #name(node: Exclude<Node, Alias>): boolean {
    if (node.anchor === undefined) return true;
    this.#anchors.set(node.anchor, node);
    return this.#countName(node);
  }

  #resolve(alias: Alias, around: readonly Node[]): boolean {
    const target = this.#anchors.get(alias.source);
    const name = show(`*${alias.source}`);
    if (target === undefined) {
      this.#report(
        placeOf(alias) ?? NOWHERE,
        `alias ${name} has no anchor: expected ${show(`&${alias.source}`)} before it`,
      );
      return false;
    }
    if (around.includes(target)) {
      this.#report(placeOf(alias) ?? NOWHERE, `alias ${name} stands for what it is part of: expected another anchor`);
      return false;
    }
    this.#targets.set(alias, target);
    return this.#countName(alias);
  }

  #countName(node: Node): boolean {
    if (++this.#namesAndAliases <= MAX_ALIASES) return true;
    this.#report(placeOf(node) ?? NOWHERE, `too many anchors and aliases: expected at most ${MAX_ALIASES}`);
    return false;
  }

  #locate(path: Path): { key: Place; value: Place; alias: Place | undefined } {
    let node: unknown = this.#root;
    let value = placeOf(node) ?? NOWHERE;
    let key = value;
    let alias: Place | undefined;
    for (const step of path) {
      if (isAlias(node)) alias ??= value;
      const container = this.#behind(node);
      const { pair, use } = this.#findPair(container, String(step));
      if (use !== undefined) alias ??= placeOf(use);
      if (pair !== undefined) node = pair.value;
      else if (isSeq(container) && Number(step) < container.items.length) node = container.items[Number(step)];
      else return { key: value, value, alias };
      key = placeOf(pair?.key) ?? value;
      value = placeOf(node) ?? (pair === undefined ? value : key);
    }
    return { key, value, alias };
  }

  /** The pair with a key, of the map itself or of one merged into it: then `use` is where that is asked for. */
  #findPair(map: unknown, key: string): { readonly pair?: Pair | undefined; readonly use?: Node } {
    if (!isMap(map)) return {};
    const own = this.#keys.get(map)?.get(key);
    if (own !== undefined) return { pair: own };
    for (const merge of map.items.filter(isMergeKey)) {
      for (const use of mergeSources(merge.value, (node) => this.#behind(node)) ?? []) {
        const { pair } = this.#findPair(this.#behind(use), key);
        if (pair !== undefined) return { pair, use };
      }
    }
    return {};
  }
}

/** What stands in a value at the end of a path; undefined where there is nothing. */
export function valueAt(value: unknown, path: Path): unknown {
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}

/** The list at the end of a path; empty where there is none. */
export function listAt(value: unknown, ...path: Path): readonly unknown[] {
  const list = valueAt(value, path);
  return Array.isArray(list) ? list : [];
}

const NOWHERE: Place = { start: 0, end: 0 };

/** Undefined for what takes no room: the value of `key:` with nothing behind it. */
function placeOf(node: unknown): Place | undefined {
  const isNode = isAlias(node) || isScalar(node) || isMap(node) || isSeq(node);
  const [start, end] = (isNode ? node.range : undefined) ?? [0, 0];
  return start < end ? { start, end } : undefined;
}
