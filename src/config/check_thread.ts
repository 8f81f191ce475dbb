/**
 * The thread that checks a large configuration, so that whatever is in a file holds up nobody but whoever waits for it.
 *
 * @module
 */
import { ConfigError, type ConfigProblem } from "../errors.ts";
import { parseConfig, type ParseOptions } from "./parse.ts";
import type { Config } from "./schema.ts";

/** Name of the thread; the entry module knows it by this. */
export const CHECK_THREAD = "check";

/** What it is asked, once. */
export interface CheckOrder extends ParseOptions {
  readonly content: Uint8Array;
}

export type CheckResult = { readonly config: Config } | { readonly problems: readonly ConfigProblem[] };

/** Says that it is there, takes one order, and answers it. */
export function serveAsChecker(scope: DedicatedWorkerGlobalScope): void {
  scope.onmessage = ({ data }: MessageEvent<CheckOrder>) => scope.postMessage(resultOf(data));
  scope.postMessage("ready");
}

function resultOf({ content, ...options }: CheckOrder): CheckResult {
  try {
    return { config: parseConfig(content, options) };
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems };
    throw error; // a fault of ours: the thread ends, and whoever asked is told
  }
}
