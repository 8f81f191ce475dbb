/**
 * How much YAML is parsed. The parser takes about a kilobyte for each value, so a mebibyte of quotation marks would
 * take it 600 MiB and many seconds. Looking at what the lexer finds is cheap, and tells in time.
 *
 * @module
 */

/** All 65,536 ports one by one, with the comma or dash of each, and 1,000 rules, are three quarters of it. */
export const MAX_MARKS = 200_000;
/** Spaces between marks, line breaks and comments. The same file has half as many. */
export const MAX_BLANKS = 400_000;
/** Marks that stand twice in a row: each is a mistake, but the parser goes on for as long as they come. */
const MAX_REPETITIONS = 1000;
const MAX_DOCUMENTS = 2;

/** What the lexer puts before plain and block scalars, documents and the end of an unfinished flow collection. */
const PLAIN = "\x1f";
const SIGNALS = "\x02\x18\uFEFF";
const BLANKS = " \t\r\n#";

/** Why no more is parsed. */
export const STOPS = {
  marks: `too many values: expected at most ${MAX_MARKS}, with their marks; ports can be a range, as 1000-1999`,
  blanks: `too many lines and comments: expected at most ${MAX_BLANKS}, with the spaces between values`,
  repetitions: "too many mistakes: what follows is not looked at",
} as const;

export class YamlBudget {
  #marks = 0;
  #blanks = 0;
  #repetitions = 0;
  #documents = 0;
  /** The last mark was of this kind; "" where it may be repeated. */
  #last = "";
  #isPlain = false;

  /** @returns why parsing ends before this lexeme; undefined where it goes on. */
  take(lexeme: string): string | undefined {
    const first = lexeme[0] ?? "";
    const isPlain = this.#isPlain;
    this.#isPlain = !isPlain && lexeme === PLAIN;
    if (this.#isPlain || (!isPlain && SIGNALS.includes(first))) return undefined;
    if (!isPlain && BLANKS.includes(first)) {
      if (first === "\n" && this.#last === '"') this.#last = ""; // a key may follow a value
      this.#blanks++;
    } else {
      this.#marks++;
      this.#note(isPlain ? '"' : kindOf(lexeme));
    }
    if (this.#marks > MAX_MARKS) return STOPS.marks;
    if (this.#blanks > MAX_BLANKS) return STOPS.blanks;
    return this.#repetitions >= MAX_REPETITIONS || this.#documents > MAX_DOCUMENTS ? STOPS.repetitions : undefined;
  }

  #note(kind: string): void {
    if (kind !== "" && kind === this.#last) this.#repetitions++;
    if (kind === "---") this.#documents++;
    this.#last = kind;
  }
}

/** Of what cannot stand twice in a row: scalars and aliases, anchors, tags, commas, documents. */
function kindOf(lexeme: string): string {
  const first = lexeme[0]!;
  if (first === "'" || first === "*") return '"';
  return '"&!,'.includes(first) ? first : lexeme === "---" ? lexeme : "";
}
