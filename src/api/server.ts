/**
 * The HTTP interface: everything on the control socket, reading only on loopback TCP.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ControlConfig } from "../config/schema.ts";
import { type Answer, answerError } from "./answers.ts";
import { cannotListen, hostAndPort } from "./claim.ts";
import { ControlSocket } from "./control_socket.ts";
import { guardTcp, TCP_HEADERS } from "./guard.ts";
import { Listener, type RequestHandler } from "./listener.ts";
import { route } from "./routes.ts";
import type { HttpOptions } from "./wire.ts";

/** Both listeners; closing ends them and removes the socket. */
export class ControlServer {
  readonly #listeners: (Listener | ControlSocket)[] = [];

  private constructor(private readonly options: HttpOptions) {}

  /**
   * Opens the control socket, and the TCP address if there is one.
   *
   * @throws {SteerError} when an address is taken after all: claimAddresses() comes first.
   */
  static async open({ socket, group, http }: ControlConfig, options: HttpOptions): Promise<ControlServer> {
    const server = new ControlServer(options);
    try {
      const answer: RequestHandler = (request, response) => server.#answer(request, response, true);
      server.#listeners.push(await ControlSocket.open({ socket, group }, answer));
      if (http !== null) await server.#openTcp(http);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  async close(): Promise<void> {
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
  }

  async #openTcp(address: string): Promise<void> {
    const { hostname: host, port } = hostAndPort(address);
    try {
      this.#listeners.push(
        await Listener.open({ host, port }, (request, response) => this.#answer(request, response, false)),
      );
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
