/**
 * What is answered when a question cannot be.
 *
 * @module
 */
import { StaleError, UnconfirmedError } from "../appliance/reload_types.ts";
import { ConfigError, messageOf, SteerError } from "../errors.ts";
import { logger } from "../log.ts";
import { HttpError, json, refusal } from "./answers.ts";
import { generationTag } from "./conditions.ts";
import type { Answer } from "./question.ts";

const log = logger("http");

/**
 * 412 with the generation that is in force, 422 with all there is to say for what the operator can fix, 500 and a line
 * in the log for our own mistakes.
 */
export function answerError(error: unknown): Answer {
  if (error instanceof HttpError) return refusal(error);
  if (error instanceof StaleError) {
    const { message, hint, generation } = error;
    return json({ error: message, hint, generation }, 412, generationTag(generation));
  }
  if (error instanceof UnconfirmedError) return json({ error: error.message, hint: error.hint ?? null }, 409);
  if (error instanceof SteerError) {
    const problems = error instanceof ConfigError ? { problems: error.problems } : {};
    return json({ error: error.message, hint: error.hint ?? null, ...problems }, 422);
  }
  log.error("A request failed: {reason}", { reason: messageOf(error) });
  return json({ error: "internal error" }, 500);
}
