/**
 * A request, answered as the server does, without one.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { readBody } from "../../src/api/answers.ts";
import { answerError } from "../../src/api/failures.ts";
import { answerHere } from "../../src/api/here.ts";
import type { Answer } from "../../src/api/question.ts";
import { route } from "../../src/api/routes.ts";
import type { FakeApi } from "./fake_api.ts";

export interface Question {
  readonly method?: string;
  readonly url: string;
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  /** False: as over TCP. */
  readonly mayChange?: boolean;
}

export interface Answered extends Answer {
  // deno-lint-ignore no-explicit-any -- whatever the answer has
  readonly json: any;
}

/** Asks as the server does, errors included. */
export async function ask(
  api: FakeApi,
  { method = "GET", url, body = "", headers = {}, mayChange = true }: Question,
): Promise<Answered> {
  const source = typeof body === "string"
    ? [new TextEncoder().encode(body)]
    : body instanceof Uint8Array
    ? [body]
    : body;
  const request = Readable.from(source) as unknown as IncomingMessage;
  const asked = { method: method === "HEAD" ? "GET" : method, url, mayChange };
  let answer: Answer;
  try {
    const here = await answerHere(asked, api.reloader.config.control.socket);
    answer = here ?? await route({ ...asked, ifMatch: headers["if-match"], body: await readBody(request) }, api);
  } catch (error) {
    answer = answerError(error);
  }
  const isJson = answer.headers["content-type"] === "application/json";
  return { ...answer, json: isJson ? JSON.parse(answer.body as string) : undefined };
}
