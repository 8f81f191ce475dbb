/**
 * Reads the text of a list: a prefix a line.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { PrefixSet, readPrefixLines } from "../steering/prefix_set.ts";
import { plural } from "../text.ts";

/** Bytes of the largest file or page. */
export const MAX_LIST_BYTES = 64 * 1024 * 1024;
/** Longest part of a bad line that is looked at. */
const MAX_SHOWN_BYTES = 200;

export interface ListText {
  readonly set: PrefixSet;
  readonly badLines: number;
  readonly firstBad: string;
}

/**
 * @throws {SteerError} where it is not to be taken: no line of it is a prefix, or one is not and `refuse` says so.
 */
export async function readListText(bytes: Uint8Array, onBadLine: "skip" | "refuse"): Promise<ListText> {
  const set = new PrefixSet();
  let badLines = 0;
  let first: { readonly line: number; readonly text: Uint8Array } | undefined;
  readPrefixLines(bytes, set, (line, start, end) => {
    if (badLines++ === 0) first = { line, text: bytes.slice(start, Math.min(end, start + MAX_SHOWN_BYTES)) };
  });
  const firstBad = first === undefined ? "" : await wordsOf(first);
  if (badLines === 0 || (onBadLine === "skip" && set.size > 0)) return { set, badLines, firstBad };
  const what = set.size === 0 ? "no line of it is a prefix" : `${plural(badLines, "line")} of it are no prefixes`;
  throw new SteerError(`${what}: ${firstBad}`);
}

async function wordsOf({ line, text }: { readonly line: number; readonly text: Uint8Array }): Promise<string> {
  const [{ addressFault }, { show }] = await Promise.all([
    import("../config/addresses.ts"), // only here: what they load takes longer than to read a list
    import("../config/wording.ts"),
  ]);
  const words = new TextDecoder().decode(text);
  const fault = addressFault(words) || "is not a prefix";
  return `line ${line}: ${
    show(words)
  } ${fault}: expected a prefix like "192.0.2.0/24", an address, or a comment after #`;
}
