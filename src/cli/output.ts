/**
 * Printing. Data goes to standard output, everything else to standard error.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import { isJournal } from "../journal.ts";
import { forLocale } from "../locale.ts";
import { writeError } from "../stderr.ts";
import { escapeControls, escapeLines, toJson } from "../text.ts";

const encoder = new TextEncoder();

/** Standard output takes no more. */
export class OutputError extends SteerError {
  /** The reader has ended, as `head` does once it has seen enough: that is not worth a word. */
  readonly silent: boolean;

  constructor(cause: unknown) {
    super(`Cannot write to standard output: ${messageOf(cause)}`, { cause });
    this.silent = cause instanceof Deno.errors.BrokenPipe;
  }
}

/**
 * Prints one or more lines for people: control characters in them as escapes, and in ASCII if the locale is not UTF-8.
 *
 * @throws {OutputError}
 */
export function print(text: string): void {
  write(`${escapeLines(text)}\n`);
}

/** Prints a value as one line of JSON, always in UTF-8. @throws {OutputError} */
export function printJson(value: unknown): void {
  writeOut(`${toJson(value)}\n`);
}

/**
 * Text for people as it is, but in ASCII if the locale is not UTF-8: for escape sequences and texts of our own, never
 * for names from elsewhere.
 *
 * @throws {OutputError}
 */
export function write(text: string): void {
  writeOut(forLocale(text));
}

function writeOut(text: string): void {
  try {
    // One write may take only a part of it.
    for (let bytes = encoder.encode(text); bytes.byteLength > 0;) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
  } catch (error) {
    throw new OutputError(error);
  }
}

/**
 * Syslog's priority of an error, which the journal takes off each line again: `journalctl -p err` shows why a start
 * failed.
 */
const ERROR_PRIORITY = "<3>";

/** Prints one or more lines; control characters in them as escapes. Says nothing where standard error takes nothing. */
export function printError(text: string): void {
  const prefix = isJournal() ? ERROR_PRIORITY : "";
  const lines = text.split("\n").map((line) => `${prefix}${escapeControls(line)}`);
  writeError(forLocale(`${lines.join("\n")}\n`));
}

/** Lines up columns; numbers to the right, words to the left. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const text = [header, ...rows].map((row) =>
    row.map((cell) => typeof cell === "number" ? grouped(cell) : escapeControls(cell))
  );
  const widths = header.map((_, column) => Math.max(...text.map((row) => row[column]!.length)));
  return text.map((row, index) =>
    row.map((cell, column) =>
      typeof rows[Math.max(index - 1, 0)]?.[column] === "number"
        ? cell.padStart(widths[column]!)
        : cell.padEnd(widths[column]!)
    ).join("  ").trimEnd()
  ).join("\n");
}

/** 1234567 as 1,234,567 */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
