/**
 * An HTTP server that no client can exhaust. It works on one request of a connection at a time and does not read on
 * meanwhile. What it holds for all clients together is bounded: connections, requests, bytes of answers nobody takes.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { collectYoung } from "../ffi/garbage.ts";
import { Gate, type RawConnection } from "./gate.ts";
import { MAX_OF_USER, type Placed, roomFor } from "./places.ts";
import { UnixConnections } from "./unix_connections.ts";

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
/** Between two looks at which connections have stalled. */
const LOOK_MS = 1000;
/** A connection on which nothing moves for this long is closed. */
export const STALLED_MS = 15_000;
/** From the start of a request until its whole answer must be taken; a stream has no such bound. */
export const TAKEN_MS = 30_000;
/** Requests under way have this long to be answered when the server closes. */
const CLOSE_MS = 300;
/** Connections whose next request is begun in one turn of the event loop. */
const PER_TURN = 8;
/** Connections that are taken in a row. */
const TAKEN_IN_A_ROW = 32;
/** After the system has had no descriptor or memory for a connection. */
const AGAIN_MS = 50;
/** Connections after which young garbage is collected. */
const PER_COLLECTION = 256;

const MAX_HEADER_BYTES = 16_384;
/** Of a request's body, what is read ahead of its handler. */
const BODY_BYTES = 16_384;
/**
 * Connections whose client sends requests ahead of their answers: with more, the one that has done so for longest goes.
 * Browsers, scrapers and probes never do. Who connects, sends many requests and leaves would have every place: that it
 * has left is seen only behind what it has sent.
 */
export const MAX_AHEAD = 16;
/**
 * A body is to come at this rate at least, once it has had a moment: who sends one byte at a time keeps nobody's place.
 * The largest body takes {@linkcode TIMES} at about 100 KB a second.
 */
export const MIN_BODY_BYTES_PER_SECOND = 4096;
const BODY_MOMENT_MS = 2000;
/** Of all answers together. */
export const MAX_UNTAKEN_BYTES = 1 << 23;

/** Where connections come from. */
interface Source {
  accept(): Promise<RawConnection>;
  /** Has accept() throw. */
  close(): void;
}

interface Request {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

interface Connection extends Placed {
  readonly gate: Gate;
  /** Under way, up to the last byte of its response. */
  current: Request | undefined;
  /** What the parser found in the same piece. */
  readonly waiting: Request[];
  /** When the request under way began, and what had come until then. */
  begun: { readonly atMs: number; readonly received: number };
  /** Ends the connection when the answer under way is not taken in time. */
  late: ReturnType<typeof setTimeout> | undefined;
}

export class Listener {
  readonly #server: Server;
  /** The one that has been idle for longest comes first. The key is what Node takes for the socket. */
  readonly #connections = new Map<unknown, Connection>();
  /** Those whose request is answered: what they ask next comes after what others ask. */
  readonly #answered: Connection[] = [];
  /** Those with requests that wait for the one before them. */
  readonly #ahead = new Set<Connection>();
  readonly #looking: ReturnType<typeof setInterval>;
  readonly #accepting: Promise<void>;
  /** Settled when a listener that closes has no connection any more. */
  readonly #empty = Promise.withResolvers<void>();
  #isClosing = false;
  #isTurning = false;
  #resting: ReturnType<typeof setTimeout> | undefined;
  #admitted = 0;

  private constructor(private readonly source: Source, private readonly handler: RequestHandler) {
    const options = {
      ...TIMES,
      maxHeaderSize: MAX_HEADER_BYTES,
      highWaterMark: BODY_BYTES,
      optimizeEmptyRequests: true,
    };
    const server = createServer(options, (request, response) => this.#take({ request, response }));
    server.setTimeout(STALLED_MS);
    // The listener is our own: Node's server keeps connections and looks at how long requests take as if it had one.
    Object.defineProperty(server, "listening", { get: () => !this.#isClosing });
    server.emit("listening");
    this.#server = server;
    this.#looking = setInterval(() => {
      const now = performance.now();
      for (const connection of [...this.#connections.values()]) {
        const { current, gate } = connection;
        if (current?.request.complete && !current.response.headersSent) gate.excuse(now); // it waits for its answer
        else gate.look(now);
        if (crawls(connection, now)) this.#drop(connection);
      }
    }, LOOK_MS);
    this.#accepting = this.#accept();
  }

  /** Listens. Rejects with the system's error, where the address cannot be had. */
  static async open(where: ListenAddress, handler: RequestHandler): Promise<Listener> {
    if ("path" in where) return new Listener(await UnixConnections.open(where.path), handler);
    const tcp = Deno.listen({ hostname: where.host, port: where.port });
    const accept = async (): Promise<RawConnection> => {
      const raw = await tcp.accept();
      raw.setNoDelay();
      return raw;
    };
    return new Listener({ accept, close: () => tcp.close() }, handler);
  }

  /** Takes no new connection, and ends the open ones when they are answered, or soon. A Unix socket is removed. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.source.close();
    await this.#accepting;
    this.#dropIdle();
    const late = setTimeout(() => [...this.#connections.values()].forEach((open) => this.#drop(open)), CLOSE_MS);
    if (this.#connections.size > 0) await this.#empty.promise;
    clearTimeout(late);
    clearInterval(this.#looking);
    clearTimeout(this.#resting);
    this.#server.close();
  }

  /** Takes some connections, then lets those that are open go on. */
  async #accept(): Promise<void> {
    while (true) {
      for (let taken = 0; taken < TAKEN_IN_A_ROW; taken++) {
        try {
          const raw = await this.source.accept();
          const gate = this.#admit(raw);
          if (gate !== undefined) this.#server.emit("connection", gate);
        } catch {
          if (this.#isClosing) return;
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        }
      }
      // What has come on them is seen only when nothing is to do.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #admit(raw: RawConnection): Gate | undefined {
    if (++this.#admitted % PER_COLLECTION === 0) collectYoung();
    const { refused, victim } = this.#roomFor(raw.peer?.uid);
    if (refused) return void raw.close();
    if (victim !== undefined) this.#drop(victim);
    const gate: Gate = new Gate(raw, () => {
      const { current, waiting } = connection;
      return waiting.length === 0 && (current === undefined || !current.request.complete);
    });
    const ahead = this.#ahead;
    const connection: Connection = {
      ...{ uid: raw.peer?.uid, gate, current: undefined, waiting: [], late: undefined },
      begun: { atMs: 0, received: 0 },
      get isAhead(): boolean {
        return ahead.has(this);
      },
      get turn(): Placed["turn"] {
        return turnOf(this.current);
      },
    };
    this.#connections.set(gate, connection);
    gate.once("close", () => this.#drop(connection));
    return gate;
  }

  #roomFor(uid: number | undefined): ReturnType<typeof roomFor<Connection>> {
    // Before that nobody has to go, whoever has them.
    if (this.#connections.size < MAX_OF_USER) return { refused: false };
    return roomFor(uid, [...this.#connections.values()], Deno.uid()!);
  }

  /** Closes a connection at once, and forgets what waits. */
  #drop(connection: Connection): void {
    this.#connections.delete(connection.gate);
    this.#ahead.delete(connection);
    connection.waiting.length = 0;
    clearTimeout(connection.late);
    connection.gate.destroy();
    if (this.#isClosing && this.#connections.size === 0) this.#empty.resolve();
  }

  #dropIdle(): void {
    for (const connection of [...this.#connections.values()]) {
      if (connection.current === undefined) this.#drop(connection);
    }
  }

  #take(taken: Request): void {
    const connection = this.#connections.get(taken.request.socket);
    if (connection === undefined) return; // dropped in the middle of a piece
    if (connection.current === undefined) return this.#begin(connection, taken);
    connection.waiting.push(taken);
    this.#ahead.add(connection);
    if (this.#ahead.size > MAX_AHEAD) this.#drop(this.#ahead.values().next().value!);
  }

  #begin(connection: Connection, begun: Request): void {
    const { request, response } = connection.current = begun;
    connection.begun = { atMs: performance.now(), received: connection.gate.received };
    if (hasLargeBody(request)) {
      response.shouldKeepAlive = false;
      connection.gate.mayHaveRest = true;
    }
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
    if (this.#isClosing && this.#connections.size === 0) return;
    this.#resting = setTimeout(() => {
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
    if (this.#isClosing) return this.#drop(connection);
    if (next !== undefined) this.#begin(connection, next);
    else if (!gate.holdsMore) this.#ahead.delete(connection);
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

/** Whether a body comes slower than anybody sends one. */
function crawls({ gate, current, begun }: Connection, nowMs: number): boolean {
  if (current === undefined || current.request.complete || current.response.writableEnded || !gate.waits) return false;
  const ms = nowMs - begun.atMs;
  return ms > BODY_MOMENT_MS && gate.received - begun.received < MIN_BODY_BYTES_PER_SECOND * ms / 1000;
}

function turnOf(current: Request | undefined): Placed["turn"] {
  if (current === undefined || current.response.writableFinished || !current.request.complete) return "send";
  return current.response.writableEnded ? "take" : "ours";
}

/** A body that is not worth reading to its end where it is not wanted. */
function hasLargeBody({ headers }: IncomingMessage): boolean {
  return Number(headers["content-length"] ?? 0) > BODY_BYTES || headers["transfer-encoding"] !== undefined;
}
