/**
 * From offsets in a text to what the operator sees: line, column, message, and the line with a caret under the place.
 *
 * @module
 */

import type { ConfigProblem } from "../errors.ts";
import { plural } from "../text.ts";
import { harmless } from "./wording.ts";
import type { Finding, YamlFile } from "./yaml_file.ts";

/** Bytes of the largest file that is read. */
export const MAX_FILE_SIZE = 1024 * 1024;
/** More are counted, not listed. */
const MAX_LISTED = 50;
/** Longest part of a line that is shown, in characters. */
const MAX_SHOWN = 100;
/** How much of it comes before the caret. */
const SHOWN_BEFORE = 60;

/** A problem with the file as a whole. */
export function wholeFile(message: string): ConfigProblem {
  return { line: 0, column: 0, message, snippet: "" };
}

/** The problem of a file that is not read because of its size. @param size What was seen of it: it may be larger. */
export function tooLarge(size: number): ConfigProblem {
  const found = size > MAX_FILE_SIZE + 1e5 ? `${(size / 1e6).toFixed(1)} MB` : "larger than 1 MiB";
  return wholeFile(`the file is ${found}: expected at most 1 MiB`);
}

/** Sorts findings by place, drops repetitions, and draws the snippets. */
export function toProblems(file: YamlFile, findings: readonly Finding[]): ConfigProblem[] {
  const distinct = new Map<string, Finding>();
  for (const finding of findings.toSorted((one, other) => one.start - other.start)) {
    const id = `${finding.start} ${finding.message}`;
    if (!distinct.has(id)) distinct.set(id, finding);
  }
  const problems = [...distinct.values()].slice(0, MAX_LISTED).map(({ start, message }) => {
    const { line, column } = file.position(start);
    return { line, column, message, snippet: drawSnippet(file.text, start) };
  });
  const more = distinct.size - problems.length;
  return more > 0 ? [...problems, wholeFile(`and ${plural(more, "more problem")}`)] : problems;
}

/** The line around an offset, cut to a width that can be read, and a caret under the place. */
function drawSnippet(text: string, offset: number): string {
  const lineStart = text.lastIndexOf("\n", offset - 1) + 1;
  const newline = text.indexOf("\n", offset);
  const line = text.slice(lineStart, newline < 0 ? text.length : newline).replace(/\r$/, "");
  const caret = offset - lineStart;
  const short = line.length <= MAX_SHOWN;
  const from = short ? 0 : Math.max(0, wholeCharacter(line, caret - SHOWN_BEFORE));
  const to = short ? line.length : wholeCharacter(line, Math.min(line.length, from + MAX_SHOWN));
  const before = `${from > 0 ? "…" : ""}${harmless(line.slice(from, caret))}`;
  const after = `${harmless(line.slice(caret, to))}${to < line.length ? "…" : ""}`;
  return `${before}${after}\n${" ".repeat(Array.from(before).length)}^`;
}

/** Moves an index that would cut a surrogate pair in half to its start. */
function wholeCharacter(line: string, index: number): number {
  const unit = line.charCodeAt(index);
  return unit >= 0xDC00 && unit <= 0xDFFF ? index - 1 : index;
}
