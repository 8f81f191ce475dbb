/**
 * Under what circumstances a request is to change something: `If-Match` and `?dry_run`; and the words of its query.
 *
 * @module
 */
import type { Conditions } from "../appliance/reload_types.ts";
import { readDuration } from "../config/limit.ts";
import { HttpError, json } from "./answers.ts";
import type { Answer, Question } from "./question.ts";

/**
 * Tells this start of the process from others, whose generations have the same numbers: in every tag of a generation.
 */
export const START_ID = crypto.randomUUID().slice(0, 8);

const CONFIRM_SECONDS_MAX = 86_400;

/** A list of tags as RFC 9110 has it. */
const TAG_LIST = /^\s*(W\/)?"[^"]*"(\s*,\s*(W\/)?"[^"]*")*\s*$/;

/**
 * What a request asks for beside its change.
 *
 * @param more Words that the query may have besides `dry_run`.
 * @throws {HttpError} 400 for a `dry_run` that is neither yes nor no, for words that mean nothing here, and for tags
 * that cannot be read: a change that was only to be tried must not be made because of a slip.
 */
export function conditionsOf(
  { ifMatch }: Question,
  query: URLSearchParams,
  more: readonly string[] = [],
): Conditions {
  requireWords(query, ["dry_run", "confirm", ...more]);
  const confirm = readConfirm(query);
  return { generations: readGenerations(ifMatch), dryRun: readSwitch(query, "dry_run"), confirm };
}

/** Seconds of `?confirm=60s`. */
function readConfirm(query: URLSearchParams): number | undefined {
  const [text, ...more] = query.getAll("confirm");
  if (text === undefined) return undefined;
  const seconds = more.length > 0 ? undefined : readDuration(text);
  if (seconds !== undefined && seconds <= CONFIRM_SECONDS_MAX) return seconds;
  throw new HttpError(400, `confirm=${text} is no time: expected seconds, or a time like 60s or 5m, at most a day`);
}

/** @throws {HttpError} 400 for words that mean nothing here. */
export function requireWords(query: URLSearchParams, known: readonly string[]): void {
  const unknown = [...query.keys()].find((word) => !known.includes(word));
  if (unknown === undefined) return;
  throw new HttpError(400, `unknown word ${JSON.stringify(unknown)} in the query: expected ${known.join(", ")}`);
}

/** The header that says which generation an answer is of. */
export function generationTag(generation: number): Readonly<Record<string, string>> {
  return { etag: `"${START_ID}-${generation}"` };
}

/** An answer of one generation. */
export function ofGeneration(generation: number, value: object): Answer {
  return json(value, 200, generationTag(generation));
}

/**
 * By RFC 9110: `*`, or a list of tags, of which one must be that of the generation in force. A tag of another kind, or
 * of another start, is that of no generation.
 */
function readGenerations(header: string | undefined): readonly number[] | undefined {
  if (header === undefined || header.trim() === "*") return undefined;
  if (!TAG_LIST.test(header)) {
    throw new HttpError(400, `If-Match ${JSON.stringify(header)} has no tags: expected the ETag of an answer, or *`);
  }
  const tags = [...header.matchAll(/(W\/)?"([^"]*)"/g)];
  return tags.flatMap(([, weak, tag]) => {
    const [, start, generation] = /^(\w+)-(0|[1-9]\d{0,14})$/.exec(tag!) ?? [];
    return weak === undefined && start === START_ID ? Number(generation) : [];
  });
}

/** `?name`, `?name=true` or `?name=false`. */
export function readSwitch(query: URLSearchParams, name: string): boolean {
  const values = new Set(query.getAll(name));
  if (values.size > 1) throw new HttpError(400, `${name} is given with ${values.size} values: expected one`);
  const [value = "false"] = values;
  if (value === "false") return false;
  if (value === "" || value === "true") return true;
  throw new HttpError(400, `${name}=${value} is neither true nor false`);
}
