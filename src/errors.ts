/**
 * The errors a user of xdpsteer can meet. Each carries a sentence that says what failed, what was expected and, where
 * one is known, what to do next; the command line prints exactly that and never a stack.
 *
 * @module
 */

/** Exit codes of every command (a contract with scripts and service managers). */
export const EXIT = { ok: 0, failed: 1, usage: 2, configInvalid: 3 } as const;

/** Base of all errors meant for the operator. */
export class SteerError extends Error {
  /** What the operator can do about it, one sentence without a final period. */
  readonly hint: string | undefined;
  /** Exit code the process ends with when this error reaches the top. */
  readonly exitCode: number;
  /** What was found out about the cause after it was thrown: lines to print below the hint. */
  readonly notes: string[] = [];

  constructor(message: string, options: { hint?: string; exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? EXIT.failed;
  }
}

/** A system call, or a library call that stands for one, failed. */
export class SyscallError extends SteerError {
  constructor(
    /** Name of the call, as its manual page has it: `bind`. */
    readonly call: string,
    /** Positive errno. */
    readonly errno: number,
    /** Symbolic errno: `EBUSY`. */
    readonly code: string,
    what: string,
    hint?: string,
  ) {
    super(`Cannot ${what}: ${call} failed with ${code} (${errno})`, hint === undefined ? {} : { hint });
  }
}

/** The kernel or the device cannot do what was asked for. */
export class UnsupportedError extends SteerError {}

/** One thing wrong with a configuration file, at the place where it is wrong. */
export interface ConfigProblem {
  /** 1-based; 0 where the problem is with the file as a whole. */
  readonly line: number;
  /** 1-based; 0 where the problem is with the file as a whole. */
  readonly column: number;
  /** What is wrong and what was expected. */
  readonly message: string;
  /** The source line with a caret under the place, or "" where there is none. */
  readonly snippet: string;
}

/** A configuration that cannot be used: every problem found, not the first only. */
export class ConfigError extends SteerError {
  constructor(
    readonly file: string,
    readonly problems: readonly ConfigProblem[],
    options: { readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(problems.map((problem) => formatProblem(file, problem)).join("\n"), {
      ...options,
      exitCode: EXIT.configInvalid,
    });
  }
}

/** `FILE:LINE:COLUMN: MESSAGE`, and the snippet on lines of its own. */
export function formatProblem(file: string, problem: ConfigProblem): string {
  const place = problem.line > 0 ? `${file}:${problem.line}:${problem.column}` : file;
  return `${place}: ${problem.message}${problem.snippet === "" ? "" : `\n${problem.snippet}`}`;
}

/** Node's and Deno's name of the errno, `ENOENT`; "" for what has none. */
export function codeOf(error: unknown): string {
  return (error as { readonly code?: string }).code ?? "";
}

/** The message of anything thrown, for places that only report it. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
