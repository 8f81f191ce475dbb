/**
 * An HTTP server that no client can exhaust. It works on one request of a connection at a time and does not read on
 * meanwhile. What it holds for all clients together is bounded: connections, requests, bytes of answers nobody takes.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { collectYoung } from "./garbage.ts";
import { Gate } from "./gate.ts";

/** Answers a request: ends `response` now, or later for a stream. Must not throw. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

export type ListenAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** Bounds on the time a client may take. A connection that exceeds one gets 408 or is closed. */
const TIMES = {
  headersTimeout: 5000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
} as const;
/** A connection on which nothing moves for this long is closed. */
const STALLED_MS = 15_000;
/** From the start of a request until its whole answer must be taken; a stream has no such bound. */
const TAKEN_MS = 30_000;
/** Requests under way have this long to be answered when the server closes. */
const CLOSE_MS = 300;
/** Connections whose next request is begun in one turn of the event loop. */
const PER_TURN = 8;
/** Connections after which young garbage is collected. */
const PER_COLLECTION = 32;

const MAX_HEADER_BYTES = 16_384;
/** Of a request's body, what is read ahead of its handler. */
const BODY_BYTES = 16_384;
/**
 * Each listener has its own bounds: a crowd on the TCP one does not lock the operator out of the control socket. A
 * connection takes up to 160 KiB: Node reads into 64 KiB, and hands over as much.
 */
const MAX_CONNECTIONS = 128;
/** Of all answers together. */
const MAX_UNTAKEN_BYTES = 1 << 23;

interface Request {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

interface Connection {
  readonly gate: Gate;
  /** Under way, up to the last byte of its response. */
  current: Request | undefined;
  /** What the parser found in the same piece. */
  readonly waiting: Request[];
  /** Ends the connection when the answer under way is not taken in time. */
  late: ReturnType<typeof setTimeout> | undefined;
}

export class Listener {
  readonly #server: Server;
  /** The one that has been idle for longest comes first. The key is what Node takes for the socket. */
  readonly #connections = new Map<unknown, Connection>();
  /** Those whose request is answered: what they ask next comes after what others ask. */
  readonly #answered: Connection[] = [];
  #isTurning = false;
  #admitted = 0;

  private constructor(private readonly handler: RequestHandler) {
    const options = {
      ...TIMES,
      maxHeaderSize: MAX_HEADER_BYTES,
      highWaterMark: BODY_BYTES,
      optimizeEmptyRequests: true,
    };
    const server = createServer(options, (request, response) => this.#take({ request, response }));
    server.setTimeout(STALLED_MS);
    const serve = server.listeners("connection")[0] as (socket: unknown) => void;
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => {
      const gate = this.#admit(socket);
      if (gate !== undefined) serve.call(server, gate);
    });
    this.#server = server;
  }

  /** Listens. Rejects with the system's error, where the address cannot be had. */
  static open(where: ListenAddress, handler: RequestHandler): Promise<Listener> {
    const listener = new Listener(handler);
    const server = listener.#server;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(where, () => {
        server.removeListener("error", reject);
        resolve(listener);
      });
    });
  }

  /** Takes no new connection, and ends the open ones when they are answered, or soon. A Unix socket is removed. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const late = setTimeout(() => this.#server.closeAllConnections(), CLOSE_MS);
    await closed;
    clearTimeout(late);
  }

  #admit(socket: Socket): Gate | undefined {
    if (++this.#admitted % PER_COLLECTION === 0) collectYoung();
    if (this.#connections.size >= MAX_CONNECTIONS) {
      const victim = leastMissed([...this.#connections.values()]);
      if (victim === undefined) return void socket.destroy();
      this.#drop(victim);
    }
    const gate: Gate = new Gate(socket, () => {
      const { current, waiting } = connection;
      return waiting.length === 0 && (current === undefined || !current.request.complete);
    });
    const connection: Connection = { gate, current: undefined, waiting: [], late: undefined };
    this.#connections.set(gate, connection);
    gate.once("close", () => this.#drop(connection));
    return gate;
  }

  /** Closes a connection at once, and forgets what waits. */
  #drop(connection: Connection): void {
    this.#connections.delete(connection.gate);
    connection.waiting.length = 0;
    clearTimeout(connection.late);
    connection.gate.destroy();
  }

  #take(taken: Request): void {
    const connection = this.#connections.get(taken.request.socket);
    if (connection === undefined) return; // dropped in the middle of a piece
    if (connection.current === undefined) this.#begin(connection, taken);
    else connection.waiting.push(taken);
  }

  #begin(connection: Connection, begun: Request): void {
    const { request, response } = connection.current = begun;
    connection.late = setTimeout(() => {
      if (response.writableEnded) this.#drop(connection);
    }, TAKEN_MS);
    response.once("close", () => {
      this.#answered.push(connection);
      if (this.#isTurning) return;
      this.#isTurning = true;
      setImmediate(() => this.#turn());
    });
    this.#boundUntaken();
    void this.handler(request, response);
  }

  /**
   * Begins some of the next requests, then rests for as long as the last ones took: other connections, timers and what
   * the control thread says come in between, and packets have the CPU for half of the time.
   */
  #turn(): void {
    const startedMs = performance.now();
    for (const connection of this.#answered.splice(0, PER_TURN)) this.#next(connection);
    setTimeout(() => {
      this.#isTurning = this.#answered.length > 0;
      if (this.#isTurning) this.#turn();
    }, performance.now() - startedMs);
  }

  #next(connection: Connection): void {
    const { gate, waiting } = connection;
    if (!this.#connections.delete(gate)) return;
    this.#connections.set(gate, connection); // as the one that was busy last
    connection.current?.request.resume(); // the handler may have left its body unread
    connection.current = undefined;
    clearTimeout(connection.late);
    const next = waiting.shift();
    if (next !== undefined) this.#begin(connection, next);
    gate.feed(); // the next request, or the rest of this one
  }

  /** Answers that are rendered and not taken are memory: too much of it, and the oldest goes. */
  #boundUntaken(): void {
    const all = [...this.#connections.values()];
    let bytes = all.reduce((sum, { gate }) => sum + gate.writableLength, 0);
    for (const connection of all) {
      if (bytes <= MAX_UNTAKEN_BYTES) return;
      if (connection.gate.writableLength === 0) continue;
      bytes -= connection.gate.writableLength;
      this.#drop(connection);
    }
  }
}

/** The oldest idle one, else the oldest whose answer is whole but not taken; no stream. */
function leastMissed(connections: readonly Connection[]): Connection | undefined {
  return connections.find(({ current }) => current === undefined) ??
    connections.find(({ current }) => current?.response.writableEnded);
}
