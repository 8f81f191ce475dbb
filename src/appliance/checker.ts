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
  return (content, file, own) => {
    const options = { file, cpuCount };
    if (content.length <= MAX_AT_ONCE) return checkConfig(content, options);
    return checkInThread(entry, { content, ...options }, { limitMs, signal, own });
  };
}

async function checkInThread(
  entry: URL,
  order: CheckOrder,
  { limitMs, signal, own }: {
    readonly limitMs: number;
    readonly signal: AbortSignal | undefined;
    readonly own: AbortSignal | undefined;
  },
): Promise<Checked> {
  const { file } = order;
  const { promise, resolve, reject } = Promise.withResolvers<CheckResult>();
  const thread = new Worker(entry, { type: "module", name: CHECK_THREAD });
  thread.onerror = (event) => {
    event.preventDefault();
    reject(new SteerError(`"${file}" cannot be checked: the thread that does it has failed: ${event.message}`));
  };
  thread.onmessage = ({ data }: MessageEvent<"ready" | CheckResult>) => {
    if (data === "ready") thread.postMessage(order);
    else resolve(data);
  };
  const limit = setTimeout(() => {
    const expected = "expected a configuration, which takes less than one";
    reject(new ConfigError(file, [wholeFile(`checking it was given up after ${limitMs / 1000} s: ${expected}`)]));
  }, limitMs);
  const giveUp = (): void => reject(new SteerError(`"${file}" is not checked to its end: xdpsteer stops`));
  signal?.addEventListener("abort", giveUp);
  if (signal?.aborted) giveUp();
  const end = (): void => reject(own!.reason);
  own?.addEventListener("abort", end);
  try {
    const result = await promise;
    if ("problems" in result) throw new ConfigError(file, result.problems);
    return result;
  } finally {
    clearTimeout(limit);
    signal?.removeEventListener("abort", giveUp);
    own?.removeEventListener("abort", end);
    thread.terminate();
  }
}
