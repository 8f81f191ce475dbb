/**
 * What the control thread answers.
 *
 * @module
 */
import { TRANSLATION_PORTS } from "../steering/slots.ts";
import { VERSION } from "../version.ts";
import { renderMetrics } from "../observe/metrics.ts";
import { ALIVE_PATH } from "./alive.ts";
import { HttpError, json, targetOf } from "./answers.ts";
import { readSwitch } from "./conditions.ts";
import { alive, healthy, isReady, ready } from "./health.ts";
import { type Path, requirePath } from "./paths.ts";
import type { Answer, Question } from "./question.ts";
import type { Answering, HttpOptions } from "./wire.ts";

export type Handler = (
  options: Answering,
  query: URLSearchParams,
  question: Question,
) => Answer | Promise<Answer>;

/** By path, then method. What is at `/` needs no control thread: here.ts. */
const HANDLERS: Readonly<Record<Exclude<Path, "/">, Readonly<Record<string, Handler>>>> = {
  [ALIVE_PATH]: { GET: alive },
  "/healthz": { GET: healthy },
  "/readyz": { GET: ready },
  "/metrics": {
    GET: ({ observer, problems, reloader, giver }) => {
      const metrics = renderMetrics(observer.snapshot(), reloader, problems.list(), { version: VERSION }, giver?.past);
      return { status: 200, headers: { "content-type": metrics.contentType }, body: metrics.text };
    },
  },
  "/v1/status": {
    GET: async (options, query, { mayChange }) => {
      const asksWorkers = readSwitch(query, "heap");
      // It interrupts the workers' loops, so not everybody may have it.
      if (asksWorkers && !mayChange) throw new HttpError(403, "heap is answered on the control socket only");
      const workerHeapKib = asksWorkers ? await options.appliance.workers.heapKib() : undefined;
      return json({ ...statusOf(options), ...(asksWorkers ? { workerHeapKib } : {}) });
    },
  },
  "/v1/problems": {
    GET: (options) => json({ ready: isReady(options), ...problemsOf(options) }),
  },
  "/v1/config": {
    GET: async (options) => (await import("./config.ts")).read(options),
    PUT: async (...words) => await (await import("./config.ts")).put(...words),
  },
  "/v1/stream": { GET: ({ streams }) => streams.open() },
  "/v1/sources": {
    GET: async (options, query) => await (await import("./sources.ts")).sources(options, query),
  },
  "/v1/ports": {
    GET: async (options) => (await import("./ports.ts")).list(options),
    POST: async (...words) => await (await import("./ports.ts")).set(...words),
    DELETE: async (...words) => await (await import("./ports.ts")).unset(...words),
  },
  "/v1/backends": {
    GET: async (options) => (await import("./backends.ts")).list(options),
    POST: async (...words) => await (await import("./backends.ts")).act(...words),
  },
  "/v1/reload": {
    POST: async (...words) => await (await import("./config.ts")).reload(...words),
  },
  "/v1/confirm": {
    POST: async (options, query) => await (await import("./config.ts")).confirm(options, query),
  },
  "/v1/diff": {
    POST: async (...words) => await (await import("./config.ts")).diff(...words),
  },
  "/v1/upgrade": {
    POST: async (options, query) => await (await import("./upgrade.ts")).upgrade(options, query),
  },
  "/v1/bans": {
    GET: async (options) => (await import("./bans.ts")).list(options),
    POST: async (...words) => await (await import("./bans.ts")).add(...words),
    DELETE: async (options, query) => await (await import("./bans.ts")).remove(options, query),
  },
};

/** Answers a question. @throws {HttpError} 403, 404 and 405, and what the handlers throw. */
export async function route(question: Question, options: Answering): Promise<Answer> {
  const { method, url, mayChange } = question;
  const target = targetOf(url);
  const path = requirePath(target, method, mayChange, options.reloader.config.control.socket);
  if (path === "/") throw new HttpError(404, "the control thread has no files");
  return await HANDLERS[path][method]!(options, target.searchParams, question);
}

function problemsOf({ problems }: HttpOptions): Record<string, unknown> {
  return { problems: problems.list(), endedProblems: problems.ended() };
}

function handoversOf({ giver, keeper }: HttpOptions): Record<string, unknown> {
  const { adopted = 0, done = 0, refused = 0, rolled_back: rolledBack = 0 } = giver?.counts ?? {};
  return { adopted, done, refused, rolledBack, last: giver?.last ?? null, kept: keeper?.kept ?? 0 };
}

function statusOf(options: HttpOptions): Record<string, unknown> {
  const { observer, reloader, configFile } = options;
  const { rules, ...snapshot } = observer.snapshot();
  return {
    version: VERSION,
    pid: Deno.pid,
    configFile,
    ready: isReady(options),
    ...problemsOf(options),
    lastReload: reloader.last ?? null,
    reloads: reloader.counts,
    handovers: handoversOf(options),
    ...snapshot,
    rules: rules.filter(({ name }) => name !== TRANSLATION_PORTS),
    translationPorts: rules.find(({ name }) => name === TRANSLATION_PORTS) ?? null,
  };
}
