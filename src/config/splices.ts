/**
 * Small changes to a text, collected and then made at once, and where things end in it.
 *
 * @module
 */
import { isCollection, isNode, isPair } from "yaml";

interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export class Splices {
  readonly #splices: Splice[] = [];

  constructor(readonly text: string) {}

  replace(start: number, end: number, text: string): void {
    this.#splices.push({ start, end, text });
  }

  /** Before the character at an offset; of several there the first asked for comes first. */
  insert(at: number, text: string): void {
    this.replace(at, at, text);
  }

  /** The text with all changes. @throws {RangeError} when two of them overlap, which is a mistake of the caller. */
  apply(): string {
    const parts: string[] = [];
    let done = 0;
    for (const { start, end, text } of this.#splices.toSorted((one, other) => one.start - other.start)) {
      if (start < done) throw new RangeError(`Two changes overlap at offset ${start}`);
      parts.push(this.text.slice(done, start), text);
      done = end;
    }
    return parts.join("") + this.text.slice(done);
  }
}

/** Offset of the first character of the line. */
export function lineStart(text: string, offset: number): number {
  return text.lastIndexOf("\n", offset - 1) + 1;
}

/** Offset after the end of the line in which something ends: of the one before, where it ends with that. */
export function lineEnd(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === "\n") return offset;
  const newline = text.indexOf("\n", offset);
  return newline < 0 ? text.length : newline + 1;
}

/** Offset after the last character of a node or pair, comments and empty lines after it not counted. */
export function contentEnd(node: unknown): number {
  if (isPair(node)) return Math.max(contentEnd(node.key), contentEnd(node.value));
  if (isCollection(node) && !node.flow && node.items.length > 0) return contentEnd(node.items.at(-1));
  return isNode(node) ? node.range?.[1] ?? 0 : 0;
}
