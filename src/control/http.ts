/**
 * The HTTP interface: everything on the control socket, reading only on loopback TCP.
 *
 * @module
 */
import { ConfigError, messageOf, SteerError } from "../errors.ts";
import { logger } from "../log.ts";
import { VERSION } from "../version.ts";
import type { Appliance } from "./appliance.ts";
import type { Reloader } from "./reload.ts";

const log = logger("http");

/** Largest request body: a configuration may have 1 MiB. */
const BODY_BYTES_MAX = 1 << 20;

export interface HttpOptions {
  readonly appliance: Appliance;
  readonly reloader: Reloader;
  readonly configFile: string;
}

/** Both listeners. They answer 503 until {@linkcode serve} tells them of what; closing ends them and removes the socket. */
export class ControlServer {
  readonly #servers: Deno.HttpServer[] = [];
  #options: HttpOptions | undefined;

  private constructor(private readonly socketPath: string) {}

  /**
   * Opens the control socket, and `host:port` unless null.
   *
   * @throws {SteerError} when another xdpsteer answers on the socket, or an address is taken.
   */
  static async open(socketPath: string, http: string | null): Promise<ControlServer> {
    const server = new ControlServer(socketPath);
    try {
      await server.#openSocket(socketPath);
      if (http !== null) server.#openTcp(http);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  serve(options: HttpOptions): void {
    this.#options = options;
  }

  async close(): Promise<void> {
    const open = this.#servers.splice(0);
    await Promise.all(open.map((server) => server.shutdown()));
    if (open.length > 0) await Deno.remove(this.socketPath).catch(() => {});
  }

  async #openSocket(path: string): Promise<void> {
    await claimSocket(path);
    const mask = Deno.umask(0o177); // the socket is there with mode 0600 from its first moment
    try {
      this.#servers.push(Deno.serve({ path, onListen: () => {}, onError: answerError }, this.#handler(true)));
    } catch (error) {
      throw new SteerError(`Cannot open the control socket "${path}": ${messageOf(error)}`, {
        hint: "set control.socket to a path in a directory that exists and can be written",
      });
    } finally {
      Deno.umask(mask);
    }
  }

  #openTcp(address: string): void {
    const at = address.lastIndexOf(":");
    const hostname = address.slice(0, at).replace(/^\[|\]$/g, "");
    const port = Number(address.slice(at + 1));
    try {
      this.#servers.push(
        Deno.serve({ hostname, port, onListen: () => {}, onError: answerError }, this.#handler(false)),
      );
    } catch (error) {
      throw new SteerError(`Cannot listen on ${address}: ${messageOf(error)}`, {
        hint: "set control.http to another address, or to off",
      });
    }
  }

  #handler(mayChange: boolean): (request: Request) => Response | Promise<Response> {
    return (request) => {
      if (this.#options === undefined) return json({ error: "xdpsteer is starting" }, 503);
      return respond(request, mayChange, this.#options);
    };
  }
}

/** Removes a socket that nobody answers on any more; refuses one that somebody does. */
async function claimSocket(path: string): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")) || "/", { recursive: true }).catch(() => {});
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch {
    await Deno.remove(path).catch(() => {});
    return;
  }
  throw new SteerError(`Another xdpsteer answers on "${path}"`, {
    hint: "stop it first, or give this one another control.socket",
  });
}

type Handler = (request: Request, options: HttpOptions) => Response | Promise<Response>;

/** Paths and their methods. GET works everywhere, the others on the control socket only. */
const ROUTES: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
  "/healthz": { GET: (_, { appliance }) => text(appliance.workers.allRunning, "ok", "a worker does not run") },
  "/readyz": { GET: (_, { appliance }) => text(appliance.ready, "ready", "not steering") },
  "/metrics": {
    GET: async (_, { appliance, reloader }) => {
      // Loaded at the first scrape: the library takes longer to load than the rest of the start.
      const { renderMetrics } = await import("./metrics.ts");
      const metrics = await renderMetrics(appliance.snapshot(), reloader.counts, { version: VERSION });
      return new Response(metrics.text, { headers: { "content-type": metrics.contentType } });
    },
  },
  "/v1/status": {
    GET: async (_, { appliance, reloader, configFile }) =>
      json({
        workerHeapKib: await appliance.workers.heapKib(), // first: everything below is of one moment
        version: VERSION,
        pid: Deno.pid,
        configFile,
        ready: appliance.ready,
        lastReload: reloader.last ?? null,
        reloads: reloader.counts,
        ...appliance.snapshot(),
      }),
  },
  "/v1/config": {
    GET: (_, { appliance, reloader }) => json({ generation: appliance.steering.generation, config: reloader.config }),
    PUT: async (request, { reloader }) => json(await reloader.applyText(await readBody(request), "request body")),
  },
  "/v1/reload": {
    POST: async (_, { reloader }) => json(await reloader.reloadFile(false)),
  },
};

async function respond(request: Request, mayChange: boolean, options: HttpOptions): Promise<Response> {
  const route = ROUTES[new URL(request.url).pathname];
  if (route === undefined) return json({ error: "there is nothing at this path", paths: Object.keys(ROUTES) }, 404);
  const method = request.method === "HEAD" ? "GET" : request.method;
  const allowed = Object.keys(route).filter((name) => mayChange || name === "GET");
  if (!allowed.includes(method)) {
    return json({ error: `${request.method} is not allowed here` }, 405, { allow: allowed.join(", ") });
  }
  try {
    return await route[method]!(request, options);
  } catch (error) {
    return answerError(error);
  }
}

function answerError(error: unknown): Response {
  if (error instanceof BodyTooLarge) return json({ error: error.message }, 413);
  if (error instanceof SteerError) {
    const problems = error instanceof ConfigError ? { problems: error.problems } : {};
    return json({ error: error.message, hint: error.hint ?? null, ...problems }, 422);
  }
  log.error("A request failed: {reason}", { reason: messageOf(error) });
  return json({ error: "internal error" }, 500);
}

class BodyTooLarge extends Error {}

async function readBody(request: Request): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.byteLength;
    if (length > BODY_BYTES_MAX) throw new BodyTooLarge(`the body is larger than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  const body = new Uint8Array(length);
  chunks.reduce((at, chunk) => (body.set(chunk, at), at + chunk.byteLength), 0);
  return body;
}

function text(good: boolean, yes: string, no: string): Response {
  return new Response(`${good ? yes : no}\n`, { status: good ? 200 : 503 });
}

function json(value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(`${JSON.stringify(value)}\n`, {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
}
