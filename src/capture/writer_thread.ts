/**
 * The thread that writes captures, seen from the control thread.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { logger } from "../log.ts";
import { CAPTURE_THREAD, type FileMessage, type FromWriter, type ToWriter } from "./messages.ts";
import { within } from "./within.ts";

const START_MS = 5000;
const STOP_MS = 1500;

const log = logger("capture");

export interface WriterThreadOptions {
  /** What it is told first. */
  readonly begin: ToWriter;
  readonly onMessage: (message: FileMessage) => void;
  /** Called once when the thread has ended: from then on packets find no room, and are counted as dropped. */
  readonly onFailure: (reason: string) => void;
}

export class WriterThread {
  /** Why it has failed; "" while it has not. */
  failure = "";
  readonly #thread: Worker;
  readonly #ready = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();
  readonly #options: WriterThreadOptions;

  /** @param entry The module of the process. */
  constructor(entry: URL, options: WriterThreadOptions) {
    this.#options = options;
    this.#ready.promise.catch(() => {}); // told by whoever waits for it
    this.#thread = new Worker(entry, { type: "module", name: CAPTURE_THREAD });
    this.#thread.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    this.#thread.onmessage = ({ data }: MessageEvent<FromWriter>) => {
      if (data.type === "stopped") this.#stopped.resolve();
      else if (data.type !== "ready") options.onMessage(data);
      else {
        this.post(options.begin);
        this.#ready.resolve();
      }
    };
  }

  post(message: ToWriter): void {
    this.#thread.postMessage(message);
  }

  /** Waits for it within a bound. @returns False when it has failed. */
  async started(): Promise<boolean> {
    if (this.failure === "" && !(await within(START_MS, this.#ready.promise))) {
      this.#fail(`it did not start within ${START_MS} ms`);
    }
    return this.failure === "";
  }

  /** Has it write what is in the rings, within a bound, and ends it. */
  async stop(): Promise<void> {
    if (this.failure === "" && await within(STOP_MS, this.#ready.promise)) {
      this.post({ type: "stop" });
      if (!(await within(STOP_MS, this.#stopped.promise))) {
        log.error("The last captured packets were not written in time: the disk is too slow");
      }
    }
    this.#thread.terminate();
  }

  #fail(reason: string): void {
    if (this.failure !== "") return;
    this.failure = `The thread that writes captures has failed: ${reason}`;
    log.error("{message}", { message: this.failure, hint: "restart xdpsteer to capture again" });
    this.#options.onFailure(this.failure);
    this.#ready.reject(new SteerError(this.failure));
    this.#stopped.resolve();
  }
}
