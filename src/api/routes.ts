/**
 * What there is to ask for. Paths and methods are a contract; see docs/architecture.md.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { ANSWERS } from "../steering/slots.ts";
import { VERSION } from "../version.ts";
import { renderMetrics } from "../observe/metrics.ts";
import { ALIVE_PATH } from "./alive.ts";
import { type Answer, HttpError, json } from "./answers.ts";
import { alive, healthy, isReady, ready } from "./health.ts";
import type { HttpOptions } from "./wire.ts";

export type Handler = (
  options: HttpOptions,
  query: URLSearchParams,
  request: IncomingMessage,
) => Answer | Promise<Answer>;

/** The dashboard's files. Loaded when somebody looks: nothing else needs them. */
const dashboard: Handler = async (_options, _query, request) => {
  const { dashboardFile } = await import("./dashboard.ts");
  const file = dashboardFile(targetOf(request).pathname);
  if (file === undefined) throw new HttpError(404, "the dashboard has no such file");
  return file;
};
const DASHBOARD_FOLDER = "/dashboard/";

/** Paths and their methods. GET works everywhere, the others on the control socket only. */
const ROUTES = new Map<string, Readonly<Record<string, Handler>>>(Object.entries({
  "/": { GET: dashboard },
  [ALIVE_PATH]: { GET: alive },
  "/healthz": { GET: healthy },
  "/readyz": { GET: ready },
  "/metrics": {
    GET: ({ observer, problems, reloader }) => {
      const metrics = renderMetrics(observer.snapshot(), reloader, problems.list(), { version: VERSION });
      return { status: 200, headers: { "content-type": metrics.contentType }, body: metrics.text };
    },
  },
  "/v1/status": {
    GET: async (options) => {
      const { appliance, observer, problems, reloader, configFile } = options;
      const workerHeapKib = await appliance.workers.heapKib(); // first: everything below is of one moment
      const { rules, ...snapshot } = observer.snapshot();
      return json({
        workerHeapKib,
        version: VERSION,
        pid: Deno.pid,
        configFile,
        ready: isReady(options),
        problems: problems.list(),
        lastReload: reloader.last ?? null,
        reloads: reloader.counts,
        ...snapshot,
        rules: rules.filter(({ name }) => name !== ANSWERS),
        answers: rules.find(({ name }) => name === ANSWERS) ?? null,
      });
    },
  },
  "/v1/problems": {
    GET: (options) => json({ ready: isReady(options), problems: options.problems.list() }),
  },
  "/v1/config": {
    GET: async (options) => (await import("./config.ts")).read(options),
    PUT: async (...words) => await (await import("./config.ts")).put(...words),
  },
  "/v1/stream": { GET: async (options) => (await import("./stream.ts")).openStream(options) },
  "/v1/ports": {
    GET: async (options) => (await import("./ports.ts")).list(options),
    POST: async (...words) => await (await import("./ports.ts")).set(...words),
    DELETE: async (...words) => await (await import("./ports.ts")).unset(...words),
  },
  "/v1/reload": {
    POST: async (...words) => await (await import("./config.ts")).reload(...words),
  },
}));

/**
 * Answers a request.
 *
 * @param mayChange False where only GET is allowed.
 * @throws {HttpError} 403, 404 and 405, and what the handlers throw.
 */
export async function route(request: IncomingMessage, mayChange: boolean, options: HttpOptions): Promise<Answer> {
  const { pathname, searchParams } = targetOf(request);
  const methods = ROUTES.get(pathname.startsWith(DASHBOARD_FOLDER) ? "/" : pathname);
  if (methods === undefined) {
    throw new HttpError(404, `there is nothing at this path; there is ${[...ROUTES.keys()].join(", ")}`);
  }
  const allowed = Object.keys(methods).filter((name) => mayChange || name === "GET");
  const { socket } = options.reloader.config.control;
  if (allowed.length === 0) throw new HttpError(403, `${pathname} is answered on the control socket only: ${socket}`);
  const method = request.method === "HEAD" ? "GET" : request.method!;
  if (!allowed.includes(method)) {
    const allow = allowed.flatMap((name) => name === "GET" ? ["GET", "HEAD"] : [name]).join(", ");
    const where = Object.hasOwn(methods, method) ? `; ${method} is answered on the control socket only: ${socket}` : "";
    throw new HttpError(405, `${method} is not allowed here: ${allow} may be used${where}`, { allow });
  }
  return await methods[method]!(options, searchParams, request);
}

function targetOf({ url = "" }: IncomingMessage): URL {
  // Only the path counts, whatever host stands before it. "//x" would be read as a host.
  const target = URL.parse(url.startsWith("/") ? `http://localhost${url}` : url);
  if (target === null) throw new HttpError(400, "the path of the request cannot be read");
  return target;
}
