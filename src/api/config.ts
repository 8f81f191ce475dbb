/**
 * `/v1/config`: the configuration in force, in the form in which it can be put back; `/v1/reload`: that of the file.
 *
 * @module
 */
import { writeConfig } from "../config/parse.ts";
import { HttpError } from "./answers.ts";
import { conditionsOf, generationTag, ofGeneration, requireWords } from "./conditions.ts";
import type { Answer, Question } from "./question.ts";
import type { HttpOptions } from "./wire.ts";

/** GET: the configuration as JSON, which is YAML; its generation is the ETag. */
export function read({ appliance, reloader }: HttpOptions): Answer {
  return {
    status: 200,
    headers: { "content-type": "application/json", ...generationTag(appliance.steering.generation) },
    body: `${writeConfig(reloader.config, 2)}\n`,
  };
}

/**
 * PUT a whole configuration, YAML or JSON. `If-Match`: only on top of that generation. `?dry_run`: says what would
 * change.
 */
export async function put(
  { reloader }: HttpOptions,
  query: URLSearchParams,
  question: Question,
): Promise<Answer> {
  const conditions = conditionsOf(question, query);
  const applied = await reloader.applyText(question.body, "request body", conditions);
  return ofGeneration(applied.generation, { ...applied, dryRun: conditions.dryRun });
}

/** POST a whole configuration, or nothing for that of the file: what it would change, and how. Changes nothing. */
export async function diff(
  { reloader }: HttpOptions,
  query: URLSearchParams,
  { body }: Question,
): Promise<Answer> {
  requireWords(query, []);
  const difference = await reloader.compare(body.length === 0 ? undefined : body, "request body");
  return ofGeneration(difference.generation, difference);
}

/** POST: keeps what waits for a confirmation. 409 where nothing does. */
export async function confirm({ appliance, reloader }: HttpOptions, query: URLSearchParams): Promise<Answer> {
  requireWords(query, []);
  if (reloader.file.unconfirmed === null) throw new HttpError(409, "no change waits for a confirmation");
  const confirmed = await reloader.confirm();
  const { generation } = appliance.steering;
  return ofGeneration(generation, { generation, ...confirmed });
}

/** POST: reads the configuration file again. `If-Match` and `?dry_run` as for PUT. */
export async function reload(
  { reloader }: HttpOptions,
  query: URLSearchParams,
  question: Question,
): Promise<Answer> {
  const conditions = conditionsOf(question, query);
  const applied = await reloader.reloadFile("reload", conditions);
  return ofGeneration(applied!.generation, { ...applied, dryRun: conditions.dryRun });
}
