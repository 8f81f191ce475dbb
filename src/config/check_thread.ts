/**
 * The thread that checks a large configuration, so that whatever is in a file holds up nobody but whoever waits for it.
 *
 * @module
 */
import { ConfigError, type ConfigProblem, formatProblem } from "../errors.ts";
import { collectLeftovers } from "../ffi/garbage.ts";
import { parseFile, type ParseOptions } from "./parse.ts";
import type { Config } from "./schema.ts";
import { liveWarnings } from "./warnings.ts";

/** Name of the thread; the entry module knows it by this. */
export const CHECK_THREAD = "check";

/** What it is asked, one after the other. */
export interface CheckOrder extends ParseOptions {
  readonly content: Uint8Array;
}

/** A configuration that is good, and what is odd about it. */
export interface Checked {
  readonly config: Config;
  /** As `check` prints them. */
  readonly warnings: readonly string[];
}

export type CheckResult = Checked | { readonly problems: readonly ConfigProblem[] };

/** @throws {ConfigError} with all that is wrong with it. */
export function checkConfig(content: Uint8Array, options: ParseOptions): Checked {
  const parsed = parseFile(content, options);
  const warnings = liveWarnings(parsed).map((warning) => formatProblem(options.file, warning));
  return { config: parsed.config, warnings };
}

/** Says that it is there, takes orders, and answers them. */
export function serveAsChecker(scope: DedicatedWorkerGlobalScope): void {
  scope.onmessage = ({ data }: MessageEvent<CheckOrder>) => {
    scope.postMessage(resultOf(data));
    setTimeout(collectLeftovers); // when nothing of it is known any more
  };
  scope.postMessage("ready");
}

function resultOf({ content, ...options }: CheckOrder): CheckResult {
  try {
    return checkConfig(content, options);
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems };
    throw error; // a fault of ours: the thread ends, and whoever asked is told
  }
}
