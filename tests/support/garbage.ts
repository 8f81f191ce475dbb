/**
 * Texts of the largest size that a configuration may have, each of which takes a YAML parser as much as it can.
 *
 * @module
 */
import { MAX_FILE_SIZE } from "../../src/config/problems.ts";

function filled(unit: string, before = "", after = ""): string {
  return before + unit.repeat(Math.floor((MAX_FILE_SIZE - before.length - after.length) / unit.length)) + after;
}

function keys(): string {
  const lines: string[] = [];
  let length = 0;
  for (let index = 0; length < MAX_FILE_SIZE - 16; index++) {
    const line = `k${index.toString(36)}:\n`;
    lines.push(line);
    length += line.length;
  }
  return lines.join("");
}

export const GARBAGE: Readonly<Record<string, string>> = {
  quotes: filled('"'),
  numbers: filled("1,", "a: [", "]"),
  commas: filled(",", "a: ["),
  lists: filled("[],", "a: [", "]"),
  brackets: filled("["),
  dashes: filled("-\n"),
  keys: keys(),
  anchors: filled("&a "),
  aliases: filled("*a,", "a: [", "]"),
  tags: filled("! "),
  documents: filled("---\n"),
  comments: filled("#\n"),
  lines: filled("\n"),
  maps: filled('{"a":1},', "[", "1]"),
};
