/**
 * Printing. Data goes to standard output, everything else to standard error.
 *
 * @module
 */
import { isJournal } from "../journal.ts";
import { forLocale } from "../locale.ts";

const encoder = new TextEncoder();

/** Writes all of `text`: one write may take only a part of it. */
function writeAll(to: { writeSync(bytes: Uint8Array): number }, text: string): void {
  let bytes = encoder.encode(text);
  while (bytes.byteLength > 0) bytes = bytes.subarray(to.writeSync(bytes));
}

/** A line, or lines, for people: in ASCII if the locale is not UTF-8. */
export function print(line: string): void {
  write(`${line}\n`);
}

/** JSON, one value a line: always UTF-8. */
export function printJson(line: string): void {
  writeOut(`${line}\n`);
}

/** Text for people without a newline after it; as {@linkcode print} otherwise. */
export function write(text: string): void {
  writeOut(forLocale(text));
}

function writeOut(text: string): void {
  try {
    writeAll(Deno.stdout, text);
  } catch (error) {
    // The reader has seen enough (xdpsteer status | head).
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}

/** Syslog's priority of an error, which the journal takes off each line again: `journalctl -p err` shows why a start failed. */
const ERROR_PRIORITY = "<3>";

/** Prints one or more lines. */
export function printError(text: string): void {
  const prefix = isJournal() ? ERROR_PRIORITY : "";
  writeAll(Deno.stderr, forLocale(`${text.split("\n").map((line) => `${prefix}${line}`).join("\n")}\n`));
}

/** Lines up columns; numbers to the right, words to the left. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const text = [header, ...rows].map((row) => row.map((cell) => typeof cell === "number" ? grouped(cell) : cell));
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
