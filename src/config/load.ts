/**
 * Reads a configuration from a file.
 *
 * @module
 */

import { ConfigError, messageOf } from "../errors.ts";
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
  const content = readConfig(path);
  const known = memo?.recall(content, cpuCount);
  if (known !== undefined) return { config: known, content };
  const { parseConfig } = await import("./parse.ts"); // only here: what it loads takes longer than to check
  return { config: parseConfig(content, { file: path, cpuCount }), content };
}

/**
 * Reads the file at `path` and looks at nothing in it but its size.
 *
 * @throws {ConfigError} when it cannot be read, or is larger than any configuration.
 */
export function readConfig(path: string): Uint8Array {
  try {
    using file = Deno.openSync(path);
    const { isDirectory, isFile, size } = file.statSync();
    if (isDirectory) throw new ConfigError(path, [wholeFile("is a directory: expected a YAML file")]);
    if (isFile && size > MAX_FILE_SIZE) throw new ConfigError(path, [tooLarge(size)]);
    return readAtMost(file, MAX_FILE_SIZE + 1, size + 1);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(path, [wholeFile(`${reason(error)}: expected a YAML file`)]);
  }
}

/** Reads standard input to its end. @throws {ConfigError} when it cannot be read. */
export function readStandardInput(): Uint8Array {
  try {
    return readAtMost(Deno.stdin, MAX_FILE_SIZE + 1, 0);
  } catch (error) {
    throw new ConfigError("standard input", [wholeFile(`${reason(error)}: expected YAML`)]);
  }
}

/**
 * A pipe, a device or a file of /proc does not tell its size; one byte over the limit is enough for the parser to refuse it.
 *
 * @param expected One byte more than there may be, to see the end by. The file is looked at again and again: memory for the largest
 * of all would be made each time.
 */
function readAtMost(file: Pick<Deno.FsFile, "readSync">, limit: number, expected: number): Uint8Array {
  let buffer = new Uint8Array(Math.min(Math.max(expected, 4096), limit));
  let length = 0;
  for (;;) {
    const count = file.readSync(buffer.subarray(length));
    if (count === null) break;
    length += count;
    if (length < buffer.length) continue;
    if (length === limit) break;
    const larger = new Uint8Array(Math.min(2 * length, limit));
    larger.set(buffer);
    buffer = larger;
  }
  return buffer.subarray(0, length);
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "does not exist";
  if (error instanceof Deno.errors.PermissionDenied) return "may not be read by this user";
  return `cannot be read (${messageOf(error)})`;
}
