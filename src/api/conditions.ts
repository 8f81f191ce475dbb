/**
 * Under what circumstances a request is to change something: `If-Match` and `?dry_run`.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import type { Conditions } from "../appliance/reload.ts";
import { type Answer, HttpError, json } from "./answers.ts";

/**
 * What a request asks for beside its change.
 *
 * @param more Words that the query may have besides `dry_run`.
 * @throws {HttpError} 400 for a `dry_run` that is neither yes nor no, and for words that mean nothing here: a change
 * that was only to be tried must not be made because of a slip.
 */
export function conditionsOf(
  { headers }: IncomingMessage,
  query: URLSearchParams,
  more: readonly string[] = [],
): Conditions {
  const known = ["dry_run", ...more];
  const unknown = [...query.keys()].find((word) => !known.includes(word));
  if (unknown !== undefined) {
    throw new HttpError(400, `unknown word ${JSON.stringify(unknown)} in the query: expected ${known.join(", ")}`);
  }
  return { generations: readGenerations(headers["if-match"]), dryRun: readSwitch(query, "dry_run") };
}

/** An answer of one generation. */
export function ofGeneration(generation: number, value: object): Answer {
  return json(value, 200, generationTag(generation));
}

/** The header that says which generation an answer is of. */
export function generationTag(generation: number): Readonly<Record<string, string>> {
  return { etag: `"${generation}"` };
}

/**
 * By RFC 9110: `*`, or a list of tags, of which one must be that of the generation in force. A tag of another kind is
 * none.
 */
function readGenerations(header: string | undefined): readonly number[] | undefined {
  if (header === undefined || header.trim() === "*") return undefined;
  return header.split(",").map((tag) => Number(/^\s*"?(\d{1,15})"?\s*$/.exec(tag)?.[1] ?? NaN));
}

/** `?name`, `?name=true` or `?name=false`. */
export function readSwitch(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  if (value === null || value === "false") return false;
  if (value === "" || value === "true") return true;
  throw new HttpError(400, `${name}=${value} is neither true nor false`);
}
