/**
 * The HTTP interface: everything on the control socket, reading only on loopback TCP.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ControlConfig } from "../config/schema.ts";
import { messageOf, SteerError } from "../errors.ts";
import { HeldFile, kindOf } from "../ffi/held_file.ts";
import { type Answer, answerError } from "./answers.ts";
import { cannotListen, cannotOpen, groupId, hostAndPort } from "./claim.ts";
import { guardTcp, TCP_HEADERS } from "./guard.ts";
import { Listener } from "./listener.ts";
import { route } from "./routes.ts";
import type { HttpOptions } from "./wire.ts";

/** Both listeners; closing ends them and removes the socket. */
export class ControlServer {
  readonly #listeners: Listener[] = [];

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
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
  }

  async #openSocket(path: string): Promise<void> {
    const mask = Deno.umask(0o177); // the socket is there with mode 0600 from its first moment
    try {
      this.#listeners.push(await Listener.open({ path }, (request, response) => this.#answer(request, response, true)));
    } catch (error) {
      throw cannotOpen(path, error);
    } finally {
      Deno.umask(mask);
    }
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
