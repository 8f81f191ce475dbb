/**
 * Reads the text of a list: a prefix a line.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import { readRegularFile, UnreadableError } from "../ffi/held_file.ts";
import { parsePrefix } from "../steering/addresses.ts";
import { release } from "../steering/doubled.ts";
import type { SourceList } from "../steering/guard.ts";
import { PrefixSet, readPrefixLines } from "../steering/prefix_set.ts";
import { widerThan } from "../steering/wide_prefix.ts";
import { plural } from "../text.ts";

/** Bytes of the largest file or page. */
export const MAX_LIST_BYTES = 64 * 1024 * 1024;
/** Longest part of a bad line that is looked at. */
const MAX_SHOWN_BYTES = 200;

/** Meant as an address or a prefix: what else a line holds is not repeated. */
const ADDRESS_LIKE = /^(?=.*[.:])[0-9a-f.:]{1,45}(?:\/\d{1,3})?$/i;

export interface ListText {
  readonly set: PrefixSet;
  readonly badLines: number;
  readonly firstBad: string;
}

/** What of a list's settings says how its text is read. */
export type ListManners = Pick<SourceList, "onBadLine" | "widePrefixes">;

/** What an empty file holds: somebody has emptied it. */
export const EMPTY_LIST: ListText = { set: new PrefixSet(), badLines: 0, firstBad: "" };

/** A file is not taken; the message, which begins with its path, says why. */
export class RefusedListError extends SteerError {
  /** @param text It could be read, and is refused for its content. */
  constructor(message: string, readonly text: boolean, cause: unknown) {
    super(message, { cause });
  }
}

/** Reads a list's file. @throws {RefusedListError} where it cannot be read, or is not to be taken. */
export async function readListFile(path: string, manners: ListManners): Promise<ListText> {
  try {
    const bytes = readRegularFile(path, MAX_LIST_BYTES);
    try {
      return bytes.length === 0 ? EMPTY_LIST : await readListText(bytes, manners);
    } finally {
      release(bytes);
    }
  } catch (error) {
    throw new RefusedListError(`${path} ${listFault(error)}`, !(error instanceof UnreadableError), error);
  }
}

/** Why a file or page is not taken, in words that follow its name. */
export function listFault(error: unknown): string {
  if (!(error instanceof UnreadableError)) return `is not taken: ${messageOf(error)}`;
  if (error.size === undefined) return `${error.message}: expected a regular file with a prefix a line`;
  return `${error.message}: expected at most ${MAX_LIST_BYTES / 2 ** 20} MiB`;
}

/**
 * @throws {SteerError} where it is not to be taken: no line of it is a prefix, or one is not and `refuse` says so.
 */
export async function readListText(
  bytes: Uint8Array,
  { onBadLine, widePrefixes }: ListManners,
): Promise<ListText> {
  const set = new PrefixSet();
  let badLines = 0;
  let first: { readonly line: number; readonly text: Uint8Array } | undefined;
  readPrefixLines(bytes, set, (line, start, end) => {
    if (badLines++ === 0) first = { line, text: bytes.slice(start, Math.min(end, start + MAX_SHOWN_BYTES)) };
  }, widePrefixes);
  const firstBad = first === undefined ? "" : await wordsOf(first);
  if (badLines === 0 || (onBadLine === "skip" && set.size > 0)) return { set, badLines, firstBad };
  const what = set.size === 0 ? "no line of it is a prefix" : `${plural(badLines, "line")} of it cannot be taken`;
  throw new SteerError(`${what}: ${firstBad}`);
}

async function wordsOf({ line, text }: { readonly line: number; readonly text: Uint8Array }): Promise<string> {
  const [{ addressFault, readAddress }, { show }] = await Promise.all([
    import("../config/addresses.ts"), // only here: what they load takes longer than to read a list
    import("../config/wording.ts"),
  ]);
  const words = new TextDecoder().decode(text);
  const written = words.replace(/[#;].*/s, "").trim();
  const prefix = readAddress(written);
  if (prefix !== undefined) {
    const { address, bits } = parsePrefix(prefix);
    const length = widerThan(address, bits);
    if (length !== undefined) {
      const large = `line ${line}: ${show(prefix)} is wider than ${length}, a large part of the internet`;
      return `${large}: expected wide_prefixes: true in a list that means it`;
    }
  }
  const expected = 'expected a prefix like "192.0.2.0/24", an address, or a comment after #';
  // Who sees this may not be allowed to see the file: whoever may change the rules names it.
  if (!ADDRESS_LIKE.test(written)) return `line ${line} is not a prefix: ${expected}`;
  return `line ${line}: ${show(written)} ${addressFault(written) || "is not a prefix"}: ${expected}`;
}
