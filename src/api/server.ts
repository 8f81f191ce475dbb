/**
 * The HTTP interface, seen from the control thread: a thread of its own has the connections (api_thread.ts), and asks
 * here what it cannot answer. It can be ended at any time, whatever clients do with it, and is started again when it
 * fails or hangs.
 *
 * @module
 */
import type { ControlConfig } from "../config/schema.ts";
import { SteerError } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger, writeForwarded } from "../log.ts";
import type { FoundProblem } from "../observe/problems/kinds.ts";
import { answerError } from "./failures.ts";
import { API_THREAD, type FromApi, type ToApi } from "./messages.ts";
import type { Answer, Question } from "./question.ts";
import { route } from "./routes.ts";
import { StreamSource } from "./stream_source.ts";
import type { Answering, HttpOptions } from "./wire.ts";

const PING_MS = 1000;
/** A thread that has not answered a ping for so long hangs. */
const HANG_MS = 10_000;
/** Between the end of a thread and the start of the next one. */
const AGAIN_MS = 1000;
/** Requests under way have this long to be answered when the server closes. */
const CLOSE_MS = 1000;

const log = logger("api");

/** What the server needs of a thread. */
export type ApiThread = Pick<Worker, "onerror" | "onmessage" | "postMessage" | "terminate">;

export interface ServerSetup {
  readonly control: ControlConfig;
  readonly options: HttpOptions;
  readonly start: () => ApiThread;
  readonly timers?: Timers;
}

/** @param entry The module of the process. */
export function apiThread(entry: URL): ApiThread {
  return new Worker(entry, { type: "module", name: API_THREAD });
}

export class ControlServer {
  /** Threads that were started because the one before had failed. */
  restarts = 0;
  /** What keeps clients from the control socket or the TCP address. */
  unreachable: readonly FoundProblem[] = [];
  readonly #setup: Required<ServerSetup>;
  readonly #options: Answering;
  readonly #streams: StreamSource;
  readonly #ping: Disposable;
  #thread: ApiThread | undefined;
  #heardMs = 0;
  #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  #closing = false;

  private constructor(setup: ServerSetup) {
    this.#setup = { timers: SYSTEM_TIMERS, ...setup };
    this.#streams = new StreamSource(setup.options);
    this.#options = { ...setup.options, streams: this.#streams };
    this.#ping = this.#setup.timers.every(PING_MS, () => this.#lookAtThread());
  }

  /**
   * Opens the control socket, and the TCP address if there is one.
   *
   * @throws {SteerError} when an address is taken after all: claimAddresses() comes first.
   */
  static async open(setup: ServerSetup): Promise<ControlServer> {
    const server = new ControlServer(setup);
    server.#start();
    try {
      await server.#opened.promise;
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** Ends both listeners, within a bound, and removes the socket. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#ping[Symbol.dispose]();
    this.#streams.close();
    if (this.#thread === undefined) return;
    this.#post({ type: "close" });
    const late = this.#setup.timers.after(CLOSE_MS, () => this.#closed.resolve());
    await this.#closed.promise;
    late[Symbol.dispose]();
    this.#thread.terminate();
    removeSocket(this.#setup.control.socket);
  }

  #start(): void {
    const thread = this.#thread = this.#setup.start();
    this.#heardMs = this.#setup.timers.now();
    thread.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    thread.onmessage = ({ data }: MessageEvent<FromApi>) => {
      if (thread === this.#thread) this.#receive(data);
    };
    this.#streams.sink = {
      tell: (event) => this.#post({ type: "stream", event }),
      ended: () => this.#post({ type: "streams ended" }),
    };
  }

  #post(message: ToApi): void {
    this.#thread?.postMessage(message);
  }

  #receive(message: FromApi): void {
    this.#heardMs = this.#setup.timers.now();
    switch (message.type) {
      case "ready":
        return this.#post({ type: "listen", control: this.#setup.control, again: this.restarts > 0 });
      case "listening":
        return this.#opened.resolve();
      case "refused":
        return this.#refused(message.message, message.hint);
      case "unreachable":
        this.unreachable = message.problems;
        return;
      case "ask":
        return void this.#answer(message.id, message.question);
      case "unwatched":
        return this.#streams.close();
      case "log":
        return writeForwarded(message.line);
      case "closed":
        return this.#closed.resolve();
    }
  }

  async #answer(id: number, question: Question): Promise<void> {
    const startedMs = performance.now();
    let answer: Answer;
    try {
      answer = await route(question, this.#options);
    } catch (error) {
      answer = answerError(error);
    }
    this.#post({ type: "answer", id, answer, tookMs: performance.now() - startedMs });
  }

  #refused(message: string, hint: string | undefined): void {
    this.#opened.reject(new SteerError(message, hint === undefined ? {} : { hint }));
    if (this.restarts > 0) this.#fail(message);
  }

  #lookAtThread(): void {
    if (this.#thread === undefined) return;
    if (this.#setup.timers.now() - this.#heardMs > HANG_MS) {
      return this.#fail(`it has not answered for ${HANG_MS / 1000} s`);
    }
    this.#post({ type: "ping" });
  }

  /** Ends the thread, and starts another one. Packets are steered as before. */
  #fail(reason: string): void {
    if (this.#thread === undefined) return;
    log.error("The thread of the HTTP interface has failed: {reason}: another one is started", { reason });
    this.#thread.terminate();
    this.#thread = undefined;
    this.unreachable = []; // the next one says what is
    this.#streams.close();
    this.#opened.reject(new SteerError(`The thread of the HTTP interface has failed: ${reason}`));
    this.#setup.timers.after(AGAIN_MS, () => {
      if (this.#closing) return;
      this.restarts++;
      removeSocket(this.#setup.control.socket); // the ended thread could not
      this.#start();
    });
  }
}

/** Ours: the claim keeps others from it. */
export function removeSocket(path: string): void {
  try {
    if (Deno.lstatSync(path).isSocket) Deno.removeSync(path);
  } catch {
    // It is gone.
  }
}
