/**
 * The HTTP interface: everything on the control socket, reading only on loopback TCP.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { ControlConfig } from "../../config/schema.ts";
import { messageOf, SteerError } from "../../errors.ts";
import { type Answer, answerError, HttpError } from "./answers.ts";
import { guardTcp, TCP_HEADERS } from "./guard.ts";
import { type HttpOptions, route } from "./routes.ts";

/**
 * Bounds on what a client may take its time for. One that exceeds them gets 408, or is cut off; with more connections than that,
 * the newest is closed at once. Each listener has its own: who crowds the TCP one does not lock the operator out of the socket.
 */
const LIMITS = {
  headersTimeout: 5000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16_384,
} as const;
const MAX_CONNECTIONS = 256;
/** A client that takes nothing of its answer for as long is cut off. */
const STALLED_MS = 15_000;
/** Requests under way have as long to be answered when the server closes. */
const CLOSE_MS = 300;

/** Both listeners. They answer 503 until {@linkcode serve} tells them of what; closing ends them and removes the socket. */
export class ControlServer {
  readonly #servers: Server[] = [];
  #options: HttpOptions | undefined;

  private constructor() {}

  /**
   * Opens the control socket, and the TCP address if there is one.
   *
   * @throws {SteerError} when another xdpsteer answers on the socket, an address is taken, or there is no such group.
   */
  static async open({ socket, group, http }: ControlConfig): Promise<ControlServer> {
    const server = new ControlServer();
    try {
      await server.#openSocket(socket);
      if (group !== null) openTo(socket, group);
      if (http !== null) await server.#openTcp(http);
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
    await Promise.all(this.#servers.splice(0).map(shutDown)); // a listening Unix socket is removed with it
  }

  async #openSocket(path: string): Promise<void> {
    await claimSocket(path);
    const mask = Deno.umask(0o177); // the socket is there with mode 0600 from its first moment
    try {
      this.#servers.push(await listen({ path }, (request, response) => this.#answer(request, response, true)));
    } catch (error) {
      throw new SteerError(`Cannot open the control socket "${path}": ${messageOf(error)}`, {
        hint: "set control.socket to a path in a directory that exists and can be written",
      });
    } finally {
      Deno.umask(mask);
    }
  }

  async #openTcp(address: string): Promise<void> {
    const at = address.lastIndexOf(":");
    const host = address.slice(0, at).replace(/^\[|\]$/g, "");
    const port = Number(address.slice(at + 1));
    try {
      this.#servers.push(await listen({ host, port }, (request, response) => this.#answer(request, response, false)));
    } catch (error) {
      throw new SteerError(`Cannot listen on ${address}: ${messageOf(error)}`, {
        hint: "set control.http to another address, or to off",
      });
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse, mayChange: boolean): Promise<void> {
    let answer: Answer;
    try {
      if (!mayChange) guardTcp(request.headers);
      if (this.#options === undefined) throw new HttpError(503, "xdpsteer is starting");
      answer = await route(request, mayChange, this.#options);
    } catch (error) {
      answer = answerError(error);
    }
    const { status, headers, body } = answer;
    const length = typeof body === "function" ? {} : { "content-length": `${byteLength(body)}` };
    response.writeHead(status, { ...(mayChange ? {} : TCP_HEADERS), ...headers, ...length });
    if (typeof body === "function" && request.method !== "HEAD") body(response);
    else response.end(request.method === "HEAD" ? undefined : body);
  }
}

function byteLength(body: string | Uint8Array): number {
  return typeof body === "string" ? new TextEncoder().encode(body).byteLength : body.byteLength;
}

function listen(
  where: { readonly path: string } | { readonly host: string; readonly port: number },
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<Server> {
  const server = createServer({ ...LIMITS }, (request, response) => void answer(request, response));
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(STALLED_MS);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.removeListener("error", reject);
      resolve(server);
    });
  });
}

/** Takes no new connection, and ends the open ones when they are answered, or soon. */
async function shutDown(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const late = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
  await closed;
  clearTimeout(late);
}

/** Lets the members of a group use the socket too. */
function openTo(path: string, group: string | number): void {
  const gid = typeof group === "number" ? group : groupId(group);
  if (gid === undefined) {
    throw new SteerError(`There is no group "${group}" for the control socket`, {
      hint: `create it with "groupadd ${group}", or set control.group to another`,
    });
  }
  try {
    Deno.chownSync(path, null, gid);
    Deno.chmodSync(path, 0o660);
  } catch (error) {
    throw new SteerError(`Cannot give the control socket to group ${group}: ${messageOf(error)}`, {
      hint: "run as root or as a member of that group (systemd: SupplementaryGroups=), or remove control.group",
    });
  }
}

function groupId(name: string): number | undefined {
  let groups = "";
  try {
    groups = Deno.readTextFileSync("/etc/group");
  } catch {
    // A root without that file has no names for groups.
  }
  const line = groups.split("\n").find((text) => text.startsWith(`${name}:`));
  return line === undefined ? undefined : Number(line.split(":")[2]);
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
