/**
 * `/v1/bans`: who is banned, and banning and lifting bans.
 *
 * @module
 */
import type { Ban } from "../guard/bans.ts";
import { readDuration } from "../config/limit.ts";
import { hasControls } from "../text.ts";
import { HttpError, json, readObject } from "./answers.ts";
import type { Answer, Question } from "./question.ts";
import type { HttpOptions } from "./wire.ts";

const KEYS = ["prefix", "for", "rule", "reason", "by", "force"];
const MAX_TEXT = 200;
/** Where a request does not say who asks. */
const SOMEBODY = "the control API";

/** GET: all bans. */
export function list({ appliance }: HttpOptions): Answer {
  return json({ bans: appliance.bans.list() });
}

/** POST `{ prefix, for?, rule?, reason?, by?, force? }`: bans a prefix, or changes its ban. */
export async function add({ appliance }: HttpOptions, _query: URLSearchParams, question: Question): Promise<Answer> {
  const body = readObject(question.body, KEYS);
  const { force = false } = body;
  if (typeof force !== "boolean") throw new HttpError(400, 'the value of "force" is not true or false');
  const ban: Ban = await appliance.bans.add({
    prefix: textOf(body, "prefix") ?? missing("prefix"),
    rule: textOf(body, "rule"),
    seconds: secondsOf(body.for),
    reason: textOf(body, "reason"),
    by: textOf(body, "by") ?? SOMEBODY,
    force,
  });
  return json({ ban });
}

/** DELETE `?prefix=192.0.2.0/24[&rule=NAME][&by=NAME]`: lifts a ban. */
export async function remove({ appliance }: HttpOptions, query: URLSearchParams): Promise<Answer> {
  for (const key of query.keys()) {
    if (!["prefix", "rule", "by"].includes(key)) {
      throw new HttpError(400, `unknown parameter "${key}": expected prefix, rule, by`);
    }
  }
  const fields = Object.fromEntries(query);
  const prefix = textOf(fields, "prefix") ?? missing("prefix");
  const ban = await appliance.bans.remove(prefix, textOf(fields, "rule"), textOf(fields, "by") ?? SOMEBODY);
  return json({ ban });
}

function missing(key: string): never {
  throw new HttpError(400, `"${key}" is missing`);
}

/** A text of one line; null where it is not given. */
function textOf(body: Readonly<Record<string, unknown>>, key: string): string | null {
  const value = body[key];
  if (value === undefined || value === null) return null;
  if (typeof value === "string" && value !== "" && value.length <= MAX_TEXT && !hasControls(value)) return value;
  throw new HttpError(
    400,
    `the value of "${key}" is not a text of 1 to ${MAX_TEXT} characters without control characters`,
  );
}

function secondsOf(value: unknown): number | null {
  if (value === undefined || value === null) return null;
  const seconds = typeof value === "string" || typeof value === "number" ? readDuration(value) : undefined;
  if (seconds !== undefined) return seconds;
  throw new HttpError(
    400,
    `the value of "for" is not possible: expected seconds, or a time like 90s, 10m, 12h or 7d, up to 365 days`,
  );
}
