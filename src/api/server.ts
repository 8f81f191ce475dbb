/**
 * The HTTP interface: everything on the control socket, reading only on loopback TCP.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { ControlConfig } from "../config/schema.ts";
import { messageOf, SteerError } from "../errors.ts";
import { HeldFile, kindOf } from "../ffi/held_file.ts";
import { type Answer, answerError } from "./answers.ts";
import { cannotListen, cannotOpen, groupId, hostAndPort } from "./claim.ts";
import { guardTcp, TCP_HEADERS } from "./guard.ts";
import { route } from "./routes.ts";
import type { HttpOptions } from "./wire.ts";

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

/** Both listeners; closing ends them and removes the socket. */
export class ControlServer {
  readonly #servers: Server[] = [];

  private constructor(private readonly options: HttpOptions) {}

  /**
   * Opens the control socket, and the TCP address if there is one.
   *
   * @throws {SteerError} when an address is taken after all: claimAddresses() comes first.
   */
  static async open({ socket, group, http }: ControlConfig, options: HttpOptions): Promise<ControlServer> {
    const server = new ControlServer(options);
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

  async close(): Promise<void> {
    await Promise.all(this.#servers.splice(0).map(shutDown)); // a listening Unix socket is removed with it
  }

  async #openSocket(path: string): Promise<void> {
    const mask = Deno.umask(0o177); // the socket is there with mode 0600 from its first moment
    try {
      this.#servers.push(await listen({ path }, (request, response) => this.#answer(request, response, true)));
    } catch (error) {
      throw cannotOpen(path, error);
    } finally {
      Deno.umask(mask);
    }
  }

  async #openTcp(address: string): Promise<void> {
    const { hostname: host, port } = hostAndPort(address);
    try {
      this.#servers.push(await listen({ host, port }, (request, response) => this.#answer(request, response, false)));
    } catch (error) {
      throw cannotListen(address, error);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse, mayChange: boolean): Promise<void> {
    let answer: Answer;
    try {
      if (!mayChange) guardTcp(request.headers);
      answer = await route(request, mayChange, this.options);
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
  try {
    using socket = new HeldFile(path, { follow: false }); // whatever its name leads to by now
    if (!socket.info.isSocket) throw new Error(`it is ${kindOf(socket.info)} by now`);
    Deno.chownSync(socket.self, null, groupId(group));
    Deno.chmodSync(socket.self, 0o660);
  } catch (error) {
    throw new SteerError(`Cannot give the control socket to group ${group}: ${messageOf(error)}`, {
      hint: "run as root or as a member of that group (systemd: SupplementaryGroups=), or remove control.group",
    });
  }
}
