/**
 * What goes back to a client, and what is read from one.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { StaleError } from "../appliance/reload.ts";
import { ConfigError, messageOf, SteerError } from "../errors.ts";
import { logger } from "../log.ts";
import { toJson } from "../text.ts";

const log = logger("http");

/** Largest request body: a configuration may have 1 MiB. */
const BODY_BYTES_MAX = 1 << 20;

/**
 * Tells this start of the process from others, whose generations have the same numbers: in every tag of a generation.
 */
export const START_ID = crypto.randomUUID().slice(0, 8);

/** What is sent back. A function writes the body itself, piece by piece, and ends the response. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | ((response: ServerResponse) => void);
}

/** A request that is refused for how it was made. */
export class HttpError extends Error {
  constructor(readonly status: number, message: string, readonly headers: Readonly<Record<string, string>> = {}) {
    super(message);
  }
}

/** The header that says which generation an answer is of. */
export function generationTag(generation: number): Readonly<Record<string, string>> {
  return { etag: `"${START_ID}-${generation}"` };
}

export function json(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    body: `${toJson(value)}\n`,
  };
}

/**
 * 412 with the generation that is in force, 422 with all there is to say for what the operator can fix, 500 and a line
 * in the log for our own mistakes.
 */
export function answerError(error: unknown): Answer {
  if (error instanceof HttpError) return json({ error: error.message }, error.status, error.headers);
  if (error instanceof StaleError) {
    const { message, hint, generation } = error;
    return json({ error: message, hint, generation }, 412, generationTag(generation));
  }
  if (error instanceof SteerError) {
    const problems = error instanceof ConfigError ? { problems: error.problems } : {};
    return json({ error: error.message, hint: error.hint ?? null, ...problems }, 422);
  }
  log.error("A request failed: {reason}", { reason: messageOf(error) });
  return json({ error: "internal error" }, 500);
}

/** @throws {HttpError} for a body that is too large or ends early. The server itself ends one that is too slow. */
export async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Uint8Array>) {
      length += chunk.byteLength;
      // The rest is neither read nor waited for.
      if (length > BODY_BYTES_MAX) throw new HttpError(413, `the body is larger than ${BODY_BYTES_MAX} bytes`, CLOSE);
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof HttpError ? error : new HttpError(400, `the body ended early: ${messageOf(error)}`, CLOSE);
  }
  const body = new Uint8Array(length);
  chunks.reduce((at, chunk) => (body.set(chunk, at), at + chunk.byteLength), 0);
  return body;
}

const CLOSE = { connection: "close" };
