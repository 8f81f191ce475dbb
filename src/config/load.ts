/**
 * Reads a configuration from a file.
 *
 * @module
 */

import { codeOf, ConfigError, messageOf } from "../errors.ts";
import { type HeldFile, readRegularFile, readToEnd, UnreadableError } from "../ffi/held_file.ts";
import type { LastGood } from "./last_good.ts";
import type { ConfigMemo } from "./memo.ts";
import { MAX_FILE_SIZE, tooLarge, wholeFile } from "./problems.ts";
import type { Config } from "./schema.ts";
import type { Rule } from "../steering/rule.ts";

/** A configuration and what it was read from. */
export interface LoadedConfig {
  config: Config;
  /** The file byte for byte, to tell later whether it has changed. */
  content: Uint8Array;
  /** Where the last good configuration stands in for the file. */
  readonly instead?: RefusedFile;
  /** Where it is not what the file holds: what that is, and its rules. */
  readonly unfiled?: Unfiled | undefined;
}

/** What the file holds, where another configuration is in force. */
export interface Unfiled {
  /** Its bytes, or in words why they cannot be read. */
  readonly seen: Uint8Array | string;
  readonly rules: readonly Rule[];
}

/** A file in whose place another configuration is used. */
export interface RefusedFile {
  /** What was wrong with it. */
  readonly error: ConfigError;
  /** What it held; undefined where it could not be read. */
  readonly content: Uint8Array | undefined;
  /** Path of what is used instead. */
  readonly used: string;
}

interface LoadOptions {
  readonly cpuCount: number;
  readonly memo?: ConfigMemo | undefined;
}

/**
 * Reads, parses and checks the configuration at `path`.
 *
 * @param memo Where one is looked for that has passed before.
 * @param lastGood What is used instead where the file is refused; undefined: nothing is.
 * @throws {ConfigError} when the file cannot be read, or with all that is wrong with its content.
 */
export async function loadConfig(
  path: string,
  options: LoadOptions & { readonly lastGood?: LastGood | undefined },
): Promise<LoadedConfig> {
  let content: Uint8Array | undefined;
  try {
    content = readFirstConfig(path);
    return { config: await parsed(content, path, options), content };
  } catch (error) {
    const { lastGood } = options;
    if (!(error instanceof ConfigError) || lastGood === undefined) throw error;
    return await instead({ error, content, used: lastGood.path }, lastGood, options);
  }
}

async function parsed(content: Uint8Array, path: string, { cpuCount, memo }: LoadOptions): Promise<Config> {
  const known = memo?.recall(content, cpuCount);
  if (known !== undefined) return known;
  const { parseConfig } = await import("./parse.ts"); // only here: what it loads takes longer than to check
  return parseConfig(content, { file: path, cpuCount });
}

/** @throws {ConfigError} that of the file, where there is no last good one, or none that this version takes. */
async function instead(refused: RefusedFile, lastGood: LastGood, options: LoadOptions): Promise<LoadedConfig> {
  const { error, used } = refused;
  try {
    const content = lastGood.read();
    if (content === undefined) throw error;
    return { config: await parsed(content, used, options), content, instead: refused };
  } catch (second) {
    if (second !== error) {
      error.notes.push(...`Nor can the last good configuration be used: ${messageOf(second)}`.split("\n"));
    }
    throw error;
  }
}

/** For whoever has nothing but the program. */
export const SMALLEST_CONFIG = `version: 1
interfaces: [{ name: eth0 }]
steering:
  - { name: game, ports: 27015, action: count }
`;

/** As {@linkcode readConfig}, where there may be no configuration yet: then the hint says what to write. */
export function readFirstConfig(path: string): Uint8Array {
  try {
    return readConfig(path);
  } catch (error) {
    if (!(error instanceof ConfigError) || codeOf(error.cause ?? {}) !== "ENOENT") throw error;
    const lines = SMALLEST_CONFIG.trimEnd().replaceAll(/^/gm, "  ");
    const hint = DESCRIPTOR.test(path)
      ? "descriptors that a shell hands over, as by <(…), are closed at the start: write a file, or pipe it to " +
        "xdpsteer check -"
      : `write it, with your interface and ports instead of these:\n${lines}`;
    throw new ConfigError(path, error.problems, { hint, cause: error.cause });
  }
}

/**
 * Reads the file at `path` and looks at nothing in it but its size. Every reader of the configuration does it by this.
 *
 * @param held That file, where it is held already; `path` is then only its name in errors.
 * @throws {ConfigError} when it is no regular file, cannot be read, or is larger than any configuration.
 */
export function readConfig(path: string, held?: HeldFile): Uint8Array {
  try {
    return held === undefined ? readRegularFile(path, MAX_FILE_SIZE) : held.read(MAX_FILE_SIZE);
  } catch (error) {
    throw notRead(path, error, "a YAML file");
  }
}

const DESCRIPTOR = /^\/(dev|proc\/(self|\d+))\/fd\/\d+$/;
const STANDARD_INPUT_FD = 0;

/** Reads standard input to its end. @throws {ConfigError} as {@linkcode readConfig} does. */
export function readStandardInput(): Uint8Array {
  try {
    return readToEnd(STANDARD_INPUT_FD, MAX_FILE_SIZE);
  } catch (error) {
    throw notRead("standard input", error, "YAML");
  }
}

function notRead(name: string, error: unknown, expected: string): unknown {
  if (!(error instanceof UnreadableError)) return error;
  const { message, size, cause } = error;
  const problem = size === undefined ? wholeFile(`${message}: expected ${expected}`) : tooLarge(size);
  return new ConfigError(name, [problem], { cause });
}
