/**
 * `/v1/upgrade`: a new process takes over from this one.
 *
 * @module
 */
import { HttpError, json } from "./answers.ts";
import { requireWords } from "./conditions.ts";
import type { Answer } from "./question.ts";
import type { HttpOptions } from "./wire.ts";

const WITHIN_SECONDS = { least: 1, most: 600, usual: 5 } as const;

/** POST `?within=5`: answers when packets are the new process's. */
export async function upgrade({ giver }: HttpOptions, query: URLSearchParams): Promise<Answer> {
  requireWords(query, ["within"]);
  const { least, most, usual } = WITHIN_SECONDS;
  const text = query.get("within") ?? `${usual}`;
  const seconds = Number(text);
  if (text === "" || !(seconds >= least && seconds <= most)) {
    throw new HttpError(400, `within is "${text}": expected seconds, ${least} to ${most}`);
  }
  if (giver === undefined) throw new HttpError(503, "this process cannot hand over");
  return json(await giver.handOver(seconds * 1000));
}
