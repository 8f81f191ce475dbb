/**
 * Wraps comments of TypeScript, JavaScript and C that are too wide. Only comments with lines of their own: those behind
 * code are left as they are.
 *
 * @module
 */

export const MAX_COLUMNS = 120;
const TAB_COLUMNS = 8;

/** A line within a block comment, or a line comment: what stands before the text, and the text. */
const LINE = /^(\s*(?:\*|\/\/)) (\s*)(\S.*)$/;
/** A block comment on one line. */
const BLOCK = /^(\s*)(\/\*\*?) (.*) \*\/$/;
/** A comment that is a directive to a tool, or has nothing to break at. */
const UNBREAKABLE = /^\s*\/\/ deno-(lint|fmt|coverage)-ignore|^\s*(\*|\/\/) \S+$/;
/** Text in columns, or a command: it cannot be wrapped. */
const LAID_OUT = /^\s*(\*|\/\/) ( {3}|.*\S {2})/;
/** A line of text that does not go on with the sentence before it. */
const BEGINS = /^(@|- |\* |\d+\. |\||```|#)/;
/** A line comment behind code. One in a string is not meant. */
const BEHIND = /[;,{}()[\]] \/\/ [^"'`]*$/;
/** Never broken within: links and code. */
const WORD = /\{@[^}]*\}[^\s{]*|[([]*`[^`]*`[^\s`]*|\S+/g;

/** True for a line that is too wide, and that a comment of its own or behind code makes so. */
export function isTooWide(line: string): boolean {
  return columns(line) > MAX_COLUMNS && (isComment(line) || BEHIND.test(line)) && !UNBREAKABLE.test(line);
}

/** True for a line of a comment that stands alone. */
function isComment(line: string): boolean {
  return LINE.test(line) || /^\s*\/\*/.test(line);
}

/**
 * The same code, its comments wrapped where they are too wide. What is laid out in columns and what is within template
 * literals is left as it is.
 */
export function wrapComments(code: string): string {
  const from = code.split("\n");
  const done: string[] = [];
  let literal = false;
  while (from.length > 0) {
    const line = from.shift()!;
    const alone = isComment(line);
    if (literal || !alone || !isTooWide(line) || LAID_OUT.test(line)) {
      done.push(line);
      if (!alone && ticks(line) % 2 === 1) literal = !literal;
      continue;
    }
    from.unshift(...wrapLine(line, from));
  }
  return done.join("\n");
}

/** @param rest The lines that follow: what overflows goes to the first of them if the sentence goes on there. */
function wrapLine(line: string, rest: string[]): string[] {
  const [, blockIndent, begin, blockText] = BLOCK.exec(line) ?? [];
  if (blockText !== undefined) return [`${blockIndent}${begin}`, `${blockIndent} * ${blockText}`, `${blockIndent} */`];
  const [, lead, indent, text] = LINE.exec(line) ?? [];
  if (text === undefined) return splitBegin(line);
  const words = text.match(WORD)!;
  let kept = `${lead} ${indent}${words.shift()}`;
  while (words.length > 0 && columns(`${kept} ${words[0]}`) <= MAX_COLUMNS) kept += ` ${words.shift()}`;
  const hanging = /^- /.test(text) ? `${indent}  ` : indent!;
  const [, nextLead, nextIndent, nextText] = LINE.exec(rest[0] ?? "") ?? [];
  const goesOn = nextLead === lead && nextIndent === hanging && !BEGINS.test(nextText!) && !nextText!.endsWith("*/");
  if (goesOn) rest.shift();
  return [kept, `${lead} ${hanging}${words.join(" ")}${goesOn ? ` ${nextText}` : ""}`];
}

/** A block that begins with text and ends in a later line: its text gets a line of its own. */
function splitBegin(line: string): string[] {
  const [, indent, begin, text] = /^(\s*)(\/\*\*?) (.*)$/.exec(line)!;
  return [`${indent}${begin}`, `${indent} * ${text}`];
}

function columns(line: string): number {
  return [...line].reduce((at, character) => character === "\t" ? at + TAB_COLUMNS - at % TAB_COLUMNS : at + 1, 0);
}

/** Backticks that begin or end a template literal. */
function ticks(line: string): number {
  return line.replace(/\\`/g, "").replace(/"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/g, "").replace(/\s\/\/ .*$/, "").split("`")
    .length - 1;
}
