/**
 * The thread that has the connections: everything on the control socket, reading only on loopback TCP. Whatever clients
 * do, only this thread has to do with it; what it cannot answer it asks the control thread, one question at a time.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ControlConfig } from "../config/schema.ts";
import { messageOf, SteerError } from "../errors.ts";
import { collectGarbage } from "../ffi/garbage.ts";
import { forwardLog, logger } from "../log.ts";
import type { FoundProblem } from "../observe/problems/kinds.ts";
import { ALIVE_PATH, SILENT } from "./alive.ts";
import { HttpError, json, readBody, refusal, targetOf } from "./answers.ts";
import { hostAndPort } from "../config/machine_place.ts";
import { cannotListen } from "./claim.ts";
import { Changes } from "./changes.ts";
import { ControlSocket } from "./control_socket.ts";
import type { Gate } from "./gate.ts";
import { guardTcp, TCP_HEADERS } from "./guard.ts";
import { answerHere } from "./here.ts";
import { Listener, type RequestHandler } from "./listener.ts";
import type { FromApi, ToApi } from "./messages.ts";
import { type Path, READS_QUERY } from "./paths.ts";
import type { Answer, Question } from "./question.ts";
import { Questions } from "./questions.ts";
import { StreamFan } from "./stream_fan.ts";

/** Questions wait so long for their answer. */
const ANSWER_MS = 5000;
/** Changes take as long as they take: a file is settled, workers acknowledge. */
const CHANGE_MS = 120_000;
/**
 * Of the control thread's time, those who may only look take a quarter at most, and those on the control socket half.
 */
const REST_TCP = 3;
const REST_SOCKET = 1;
/** Over TCP a large answer is rendered once in this time, for all who wait; whether it is well, it says at once. */
const APART_TCP_MS = 100;
const AT_ONCE: ReadonlySet<string> = new Set([ALIVE_PATH, "/healthz", "/readyz"]);
/** Until an address that is taken is tried again. */
const TCP_AGAIN_MS = 1000;

const ENCODER = new TextEncoder();
const EMPTY = new Uint8Array();
const log = logger("http");

/** Serves a thread that was started for this. */
export function serveAsApi(scope: DedicatedWorkerGlobalScope): void {
  const post = (message: FromApi): void => scope.postMessage(message);
  forwardLog((line) => post({ type: "log", line }));
  const api = new Api(post);
  scope.onmessage = ({ data }: MessageEvent<ToApi>) => void api.receive(data);
  collectGarbage();
  post({ type: "ready" });
}

export class Api {
  readonly #looks: readonly [tcp: Questions, socket: Questions];
  readonly #changes: Changes;
  readonly #fan: StreamFan;
  readonly #listeners: (Listener | ControlSocket)[] = [];
  readonly #lost = new Map<string, FoundProblem>();
  #socket = "";
  #again: ReturnType<typeof setTimeout> | undefined;

  /** @param post Tells the control thread. */
  constructor(private readonly post: (message: FromApi) => void) {
    const ask = (id: number, question: Question): void => this.post({ type: "ask", id, question });
    this.#looks = [
      new Questions({ post: ask, rest: REST_TCP, answerMs: ANSWER_MS }),
      new Questions({ post: ask, rest: REST_SOCKET, answerMs: ANSWER_MS }),
    ];
    this.#changes = new Changes({ post: ask, answerMs: CHANGE_MS });
    this.#fan = new StreamFan(() => this.post({ type: "unwatched" }));
  }

  /** Takes what the control thread tells. */
  async receive(message: ToApi): Promise<void> {
    switch (message.type) {
      case "listen":
        return await this.#listen(message.control, message.again);
      case "answer":
        return this.#answered(message);
      case "stream":
        return this.#fan.tell(message.event);
      case "streams ended":
        return this.#fan.end();
      case "ping":
        return this.post({ type: "pong" });
      case "close":
        await this.#close();
        return this.post({ type: "closed" });
    }
  }

  async #listen({ socket, group, http }: ControlConfig, again: boolean): Promise<void> {
    this.#socket = socket;
    try {
      const onLost = (lost: FoundProblem | undefined): void => this.#lose("socket", lost);
      const opened = ControlSocket.open({ socket, group }, this.#handler(true), { onLost, patient: again });
      this.#listeners.push(await opened);
      if (http !== null) await this.#listenTcp(http, again);
      this.post({ type: "listening" });
    } catch (error) {
      await this.#close();
      const hint = error instanceof SteerError ? error.hint : undefined;
      this.post({ type: "refused", message: messageOf(error), hint });
    }
  }

  /** @param again Tries until it succeeds: a thread that does not end keeps its address, and the socket matters. */
  async #listenTcp(address: string, again: boolean): Promise<void> {
    const { hostname: host, port } = hostAndPort(address);
    try {
      this.#listeners.push(await Listener.open({ host, port }, this.#handler(false)));
      this.#lose("http", undefined);
    } catch (error) {
      if (!again) throw cannotListen(address, error);
      this.#lose("http", {
        kind: "http_lost",
        subject: address,
        message:
          `Nobody answers on ${address}: ${messageOf(error)}. A thread that has failed still has it, or another ` +
          "program",
        fix: `ss -tlpn src ${address} names who has it; xdpsteer itself: systemctl restart xdpsteer`,
      });
      this.#again = setTimeout(() => void this.#listenTcp(address, true), TCP_AGAIN_MS);
    }
  }

  /** Tells the control thread what keeps clients from a listener, or that nothing does any more. */
  #lose(listener: "http" | "socket", problem: FoundProblem | undefined): void {
    if (this.#lost.get(listener)?.message === problem?.message) return;
    if (problem === undefined) this.#lost.delete(listener);
    else this.#lost.set(listener, problem);
    this.post({ type: "unreachable", problems: [...this.#lost.values()] });
  }

  async #close(): Promise<void> {
    clearTimeout(this.#again);
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
    for (const questions of [...this.#looks, this.#changes]) questions[Symbol.dispose]();
  }

  #answered({ id, answer: given, tookMs }: ToApi & { readonly type: "answer" }): void {
    const answer = given.stream === undefined ? encoded(given) : given; // once for all who wait for it
    if (this.#changes.answer(id, answer)) return;
    for (const questions of this.#looks) {
      if (questions.answer(id, answer, tookMs)) return;
    }
  }

  #handler(mayChange: boolean): RequestHandler {
    return async (request, response) => {
      let hasLeft = false;
      response.once("close", () => hasLeft = true);
      const send = (answer: Answer): void => {
        if (!hasLeft) this.#send(request, response, answer, mayChange);
        else if (answer.stream !== undefined) this.#fan.giveUp();
      };
      try {
        if (!mayChange) guardTcp(request.headers);
        const method = request.method === "HEAD" ? "GET" : request.method!;
        const url = request.url ?? "";
        const here = await answerHere({ method, url, mayChange }, this.#socket);
        if (here !== undefined) return send(here);
        const question = { method, url, ifMatch: request.headers["if-match"], mayChange };
        if (method === "GET") return this.#ask({ ...question, body: EMPTY }, request, send);
        // Before its body is read, so that bodies that wait are few.
        const place = this.#changes.reserve((request.socket as unknown as Gate).peer);
        response.once("close", () => place[Symbol.dispose]());
        const body = await readBody(request);
        const silent = silence(targetOf(url).pathname, CHANGE_MS);
        if (!hasLeft) place.ask({ ...question, body }, (answer) => send(answer ?? silent));
      } catch (error) {
        if (error instanceof HttpError) return send(refusal(error));
        log.error("A request failed: {reason}", { reason: messageOf(error) });
        send(json({ error: "internal error" }, 500));
      }
    };
  }

  #ask(question: Question, { method }: IncomingMessage, send: (answer: Answer) => void): void {
    const { pathname: path, search } = targetOf(question.url);
    const opens = path === "/v1/stream" && method !== "HEAD";
    if (opens) this.#fan.reserve();
    const key = READS_QUERY.has(path as Path) ? path + search : path;
    const apartMs = question.mayChange || AT_ONCE.has(path) ? 0 : APART_TCP_MS;
    this.#looks[question.mayChange ? 1 : 0].ask(key, question, (answer = silence(path, ANSWER_MS)) => {
      if (opens && answer.stream === undefined) this.#fan.giveUp();
      send(answer);
    }, apartMs);
  }

  #send(request: IncomingMessage, response: ServerResponse, answer: Answer, mayChange: boolean): void {
    const { status, headers, stream } = answer;
    const fixed = mayChange ? {} : TCP_HEADERS;
    if (stream !== undefined) {
      response.writeHead(status, { ...fixed, ...headers });
      if (request.method === "HEAD") response.end();
      else this.#fan.add(response, answer.body as string, stream);
      return;
    }
    const { body } = encoded(answer);
    response.writeHead(status, { ...fixed, ...headers, "content-length": `${body.byteLength}` });
    response.end(request.method === "HEAD" ? undefined : body);
  }
}

/** What a client is told for whose question the control thread has had no time. */
function silence(path: string, afterMs: number): Answer {
  const error = `the control thread has not answered for ${afterMs / 1000} s`;
  if (path !== ALIVE_PATH) return json({ error }, 503);
  return { status: 503, headers: { "content-type": "text/plain; charset=utf-8" }, body: `${SILENT}\n` };
}

function encoded({ body, ...answer }: Answer): Answer & { readonly body: Uint8Array } {
  return { ...answer, body: typeof body === "string" ? ENCODER.encode(body) : body };
}
