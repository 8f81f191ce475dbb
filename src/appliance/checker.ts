/**
 * Checks configurations while packets are steered: a small one at once, a large one in a thread of its own that can be
 * ended. A mebibyte of quotation marks takes the YAML parser ten seconds, and this thread has a watchdog to feed.
 *
 * @module
 */
import { CHECK_THREAD, checkConfig, type Checked, type CheckOrder, type CheckResult } from "../config/check_thread.ts";
import { wholeFile } from "../config/problems.ts";
import { ConfigError, SteerError } from "../errors.ts";

/** Bytes that are checked at once: some tens of milliseconds, whatever they say. To start a thread takes as long. */
const MAX_AT_ONCE = 8 * 1024;
/** So long a thread is kept for the next check. */
const IDLE_MS = 10_000;
/** Far more than the largest configuration takes. */
const LIMIT_MS = 20_000;

/**
 * Checks a configuration. @throws {ConfigError} with all that is wrong with it; what `signal` is aborted with, where it
 * is while the check is under way.
 */
export type Check = (content: Uint8Array, file: string, signal?: AbortSignal) => Checked | Promise<Checked>;

export interface CheckerOptions {
  /** The module of the process. */
  readonly entry: URL;
  readonly cpuCount: number;
  readonly limitMs?: number;
  /** Ends a check that is under way, and refuses what it was about. */
  readonly signal?: AbortSignal;
}

/** @returns A check that holds up the calling thread for a few milliseconds at most. */
export function checkerOf({ entry, cpuCount, limitMs = LIMIT_MS, signal }: CheckerOptions): Check {
  const threads = new CheckThreads(entry, limitMs, signal);
  return (content, file, own) => {
    const options = { file, cpuCount };
    if (content.length <= MAX_AT_ONCE) return checkConfig(content, options);
    return threads.check({ content, ...options }, own);
  };
}

/**
 * Keeps a thread for the next check, and ends it when none comes. Each thread that is started anew costs some memory
 * for good, and all that was checked in it where something of it is still known here.
 */
class CheckThreads {
  #kept: CheckThread | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly entry: URL,
    private readonly limitMs: number,
    private readonly signal: AbortSignal | undefined,
  ) {
    signal?.addEventListener("abort", () => this.#endKept());
  }

  async check(order: CheckOrder, own: AbortSignal | undefined): Promise<Checked> {
    const { file } = order;
    const thread = this.#kept ?? new CheckThread(this.entry);
    clearTimeout(this.#idle);
    this.#kept = undefined;
    const fail = (error: unknown): void => thread.end(error);
    const limit = setTimeout(() => {
      const expected = "expected a configuration, which takes less than one";
      const problem = wholeFile(`checking it was given up after ${this.limitMs / 1000} s: ${expected}`);
      fail(new ConfigError(file, [problem]));
    }, this.limitMs);
    const stop = (): void => fail(new SteerError(`"${file}" is not checked to its end: xdpsteer stops`));
    const end = (): void => fail(own!.reason);
    this.signal?.addEventListener("abort", stop);
    own?.addEventListener("abort", end);
    try {
      const answer = thread.check(order);
      if (this.signal?.aborted) stop();
      else if (own?.aborted) end();
      const result = await answer;
      this.#keep(thread);
      if ("problems" in result) throw new ConfigError(file, result.problems);
      return result;
    } finally {
      clearTimeout(limit);
      this.signal?.removeEventListener("abort", stop);
      own?.removeEventListener("abort", end);
    }
  }

  #keep(thread: CheckThread): void {
    this.#endKept();
    this.#kept = thread;
    this.#idle = setTimeout(() => this.#endKept(), IDLE_MS);
    if (this.signal?.aborted) this.#endKept();
  }

  #endKept(): void {
    clearTimeout(this.#idle);
    this.#kept?.end(undefined);
    this.#kept = undefined;
  }
}

class CheckThread {
  readonly #worker: Worker;
  readonly #isReady = Promise.withResolvers<void>();
  #asked: { readonly file: string; readonly answered: PromiseWithResolvers<CheckResult> } | undefined;

  constructor(entry: URL) {
    this.#worker = new Worker(entry, { type: "module", name: CHECK_THREAD });
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const file = this.#asked?.file;
      this.end(new SteerError(`"${file}" cannot be checked: the thread that does it has failed: ${event.message}`));
    };
    this.#worker.onmessage = ({ data }: MessageEvent<"ready" | CheckResult>) => {
      if (data === "ready") return this.#isReady.resolve();
      this.#asked?.answered.resolve(data);
      this.#asked = undefined;
    };
  }

  /** One at a time. */
  check(order: CheckOrder): Promise<CheckResult> {
    const answered = Promise.withResolvers<CheckResult>();
    this.#asked = { file: order.file, answered };
    void this.#isReady.promise.then(() => this.#worker.postMessage(order));
    return answered.promise;
  }

  /** Ends it now, and a check that is under way with `error`. */
  end(error: unknown): void {
    this.#asked?.answered.reject(error);
    this.#asked = undefined;
    // Whoever listens to an ended worker is kept for ever, with all that he knows.
    this.#worker.onmessage = this.#worker.onerror = null;
    this.#worker.terminate();
  }
}
