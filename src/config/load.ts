/**
 * Reads a configuration from a file.
 *
 * @module
 */

import { codeOf, ConfigError } from "../errors.ts";
import { type HeldFile, readRegularFile, readToEnd, UnreadableError } from "../ffi/held_file.ts";
import type { ConfigMemo } from "./memo.ts";
import { MAX_FILE_SIZE, tooLarge, wholeFile } from "./problems.ts";
import type { Config } from "./schema.ts";

/** A configuration and what it was read from. */
export interface LoadedConfig {
  config: Config;
  /** The file byte for byte, to tell later whether it has changed. */
  content: Uint8Array;
}

/**
 * Reads, parses and checks the configuration at `path`.
 *
 * @param memo Where one is looked for that has passed before.
 * @throws {ConfigError} when the file cannot be read, or with all that is wrong with its content.
 */
export async function loadConfig(
  path: string,
  { cpuCount, memo }: { readonly cpuCount: number; readonly memo?: ConfigMemo | undefined },
): Promise<LoadedConfig> {
  const content = readFirstConfig(path);
  const known = memo?.recall(content, cpuCount);
  if (known !== undefined) return { config: known, content };
  const { parseConfig } = await import("./parse.ts"); // only here: what it loads takes longer than to check
  return { config: parseConfig(content, { file: path, cpuCount }), content };
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
    const hint = `write it, with your interface and ports instead of these:\n${lines}`;
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
