/**
 * Sentences for the operator: what was found, what is wrong with it, what was expected.
 *
 * @module
 */

/** A key at the top of a file that begins with it is ignored: a place for anchors. */
export const EXTENSION_PREFIX = "x-";

/** What zod tells the author of a message, as far as it is used here. */
export interface Refusal {
  /** The value that was refused; undefined where a key is missing. */
  readonly input?: unknown;
  /** Where it stands, as far as the schema that refused it knows. */
  readonly path?: readonly PropertyKey[] | undefined;
}

/** Makes the message for one refused value; usable as zod's `error`. */
export type Wording = (refusal: Refusal) => string;

/** Control, format and line separating characters: a terminal could take them for commands. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A value as it may stand in a one-line message: texts quoted, cut and harmless. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a map";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(cut(value, 60))
    .replace(UNPRINTABLE, (character) => `\\u${character.codePointAt(0)?.toString(16).padStart(4, "0")}`);
}

/** At most so many characters of a text, with an ellipsis in place of the rest. */
function cut(text: string, length: number): string {
  const characters = Array.from(text.slice(0, 2 * length + 1));
  return characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : text;
}

/** A source line as it may stand under a message: one cell per character, so that a caret can be aligned. */
export function harmless(line: string): string {
  return line.replaceAll("\t", " ").replace(UNPRINTABLE, "\uFFFD");
}

/**
 * The usual sentence: `NOUN VALUE FAULT: expected EXPECTED`, with variants for a missing key, no value, a list or a
 * map.
 *
 * @param fault What is wrong with a plain value: `is not a name`.
 */
export function complain(noun: string, expected: string, fault: (input: unknown) => string): Wording {
  return ({ input, path }) => {
    if (input === undefined) return `missing key ${show(String(path?.at(-1) ?? noun))}: expected ${expected}`;
    if (input === null) return `${noun} is empty: expected ${expected}`;
    if (typeof input === "object") return `${noun} is ${show(input)}: expected ${expected}`;
    return `${noun} ${show(input)} ${fault(input)}: expected ${expected}`;
  };
}

/** For whole numbers. `fault` is what is wrong with something else than a number. */
export function complainAboutNumber(noun: string, expected: string, fault = "is not a whole number"): Wording {
  return complain(noun, expected, (input) => {
    if (typeof input !== "number") return fault;
    return Number.isInteger(input) ? "is out of range" : "is not a whole number";
  });
}

/** What is wrong with a number that {@linkcode startsWithZero}, to follow it in a sentence. */
export const ZERO = "begins with 0, which some read as octal and some as decimal";

/** True for digits that mean one number to some programs and another to others: `010` is 8 or 10. */
export function startsWithZero(digits: string): boolean {
  return /^0\d/.test(digits);
}

/** For texts. A bare `8080` or `true` is the usual slip, so the sentence says how to write it. */
export function complainAboutText(noun: string, expected: string, fault: string | ((text: string) => string)): Wording {
  const plain = complain(noun, expected, (input) => typeof fault === "string" ? fault : fault(`${input}`));
  const unquoted = complain(noun, `${expected}, in quotes`, () => "is not text");
  return (refusal) => {
    const bare = typeof refusal.input === "number" || typeof refusal.input === "boolean";
    return bare ? unquoted(refusal) : plain(refusal);
  };
}

/** For a choice among words. `later` are words the configuration language has, but not this version. */
export function complainAboutChoice(noun: string, choices: readonly string[], later: readonly string[] = []): Wording {
  const list = `one of: ${choices.join(", ")}`;
  const usual = complain(noun, list, () => "is not known");
  return (refusal) => {
    const { input } = refusal;
    const word = typeof input === "object" && input !== null ? Object.keys(input)[0] : input;
    return typeof word === "string" && later.includes(word)
      ? `${noun} ${show(word)} is not available in this version; expected ${list}`
      : usual(refusal);
  };
}

/** For maps and lists, where naming the kind of what was found helps more than the value. */
export function complainAboutKind(noun: string, expected: string): Wording {
  const usual = complain(noun, expected, () => "");
  return (refusal) => {
    const { input } = refusal;
    if (input === undefined || input === null || typeof input === "object") return usual(refusal);
    return `${noun} is ${typeof input === "string" ? "text" : `a ${typeof input}`}: expected ${expected}`;
  };
}

/** For a key no schema knows: names the nearest one, or all of them. */
export function complainAboutKey(key: string, known: readonly string[]): string {
  if (key.startsWith(EXTENSION_PREFIX)) {
    return `unknown key ${
      show(key)
    }: a key that begins with "${EXTENSION_PREFIX}" may only stand at the top of the file`;
  }
  return `unknown key ${show(key)}: ${expectWord(key, known)}`;
}

/** What is expected instead of a word that is none of those known. */
export function expectWord(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near === undefined ? `expected one of: ${known.join(", ")}` : `did you mean "${near}"?`;
}

/** The word meant by a mistyped one: `zeroCopy` is `zero_copy`, `prots` is `ports`. */
function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestSlip = 3;
  for (const candidate of known) {
    const slip = slipBetween(simplify(word), simplify(candidate));
    if (slip < bestSlip && slip * 2 <= candidate.length) {
      best = candidate;
      bestSlip = slip;
    }
  }
  return best;
}

function simplify(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/g, "");
}

/** How many letters differ between what two words have in common at their start and at their end. */
function slipBetween(one: string, other: string): number {
  const shorter = Math.min(one.length, other.length);
  let start = 0;
  while (start < shorter && one[start] === other[start]) start++;
  let end = 0;
  while (end < shorter - start && one.at(-1 - end) === other.at(-1 - end)) end++;
  return Math.max(one.length, other.length) - start - end;
}

/** How messages of the YAML parser read to someone who writes YAML twice a year. */
const SYNTAX: readonly (readonly [pattern: RegExp, text: string])[] = [
  [/^Tabs are not allowed/, "a tab is used for indentation: expected spaces"],
  [/^Nested mappings are not allowed/, 'a second ": " on one line: expected quotes around a value that contains ": "'],
  [/^Implicit map keys need to be followed/, 'a key without a value: expected ":" after it'],
  [/^Implicit keys need to be on a single line/, 'a line without ":", expected "key: value"'],
  [/^All mapping items must start/, "wrong indentation: expected all keys of a map in the same column"],
  [/^All sequence items must start/, "wrong indentation: expected all items of a list in the same column"],
  [/^Sequence item without/, 'wrong indentation: expected "- " before an item of the list'],
  [/^Missing closing (["'])/, "a quoted text does not end: expected a closing $1"],
  [/must (?:be sufficiently indented and )?end with a (.)/, "a list or map in brackets is not closed: expected $1"],
  [/^Unresolved tag: (.*)/, "tag $1 is not known: expected a value without a tag"],
];

/** The YAML parser's message in plain words. */
export function syntaxMessage(message: string): string {
  for (const [pattern, text] of SYNTAX) {
    const match = pattern.exec(message);
    if (match !== null) return text.replace("$1", () => harmless(cut(match[1] ?? "", 60)));
  }
  return `not valid YAML: ${harmless(cut(message, 150))}`;
}
