/**
 * What goes back to a client, and what is read from one.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { messageOf } from "../errors.ts";
import { toJson } from "../text.ts";
import type { Answer } from "./question.ts";

/** Largest request body: a configuration may have 1 MiB. */
const BODY_BYTES_MAX = 1 << 20;

/** A request that is refused for how it was made. */
export class HttpError extends Error {
  constructor(readonly status: number, message: string, readonly headers: Readonly<Record<string, string>> = {}) {
    super(message);
  }
}

export function json(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    body: `${toJson(value)}\n`,
  };
}

export function refusal({ message, status, headers }: HttpError): Answer {
  return json({ error: message }, status, headers);
}

/** @throws {HttpError} 400 for a path that cannot be read. */
export function targetOf(url: string): URL {
  // Only the path counts, whatever host stands before it. "//x" would be read as a host.
  const target = URL.parse(url.startsWith("/") ? `http://localhost${url}` : url);
  if (target === null) throw new HttpError(400, "the path of the request cannot be read");
  return target;
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

/**
 * Reads a body that is a JSON object.
 *
 * @param keys What it may have.
 * @throws {HttpError} 400 for anything else.
 */
export function readObject(bytes: Uint8Array, keys: readonly string[]): Readonly<Record<string, unknown>> {
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    if (error instanceof SyntaxError) throw new HttpError(400, `the body is not JSON: ${error.message}`);
    throw error;
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new HttpError(400, `the body is no JSON object: expected one with ${keys.join(", ")}`);
  }
  const unknown = Object.keys(body).find((key) => !keys.includes(key));
  if (unknown !== undefined) {
    throw new HttpError(400, `unknown key ${JSON.stringify(unknown)}: expected ${keys.join(", ")}`);
  }
  return body as Readonly<Record<string, unknown>>;
}
