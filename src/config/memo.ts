/**
 * The last configuration that passed its checks, kept in a private directory beside the program, so that the next start
 * does not have to check it again. What checks and the parser load takes a fifth of a start.
 *
 * A configuration is a pure function of the file's bytes, the number of CPUs and the program. The first two are
 * compared byte for byte; the directory is the program's own, and another version has another one.
 *
 * @module
 */
import { HeldFile, readRegularFile } from "../ffi/held_file.ts";
import type { Config } from "./schema.ts";
import { removeLeftovers, TemporaryFile } from "./temporary.ts";

const NAME = "config.checked";
const NEWLINE = 0x0a;
/** Bytes. The largest configuration takes less; what is larger is only checked again at each start. */
const MAX_SIZE = 32 * 1024 * 1024;

export class ConfigMemo {
  readonly #directory: string;
  readonly #path: string;
  #writing: Promise<void> = Promise.resolve();

  /** @param directory Where only this program and its user write; need not exist. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#path = `${directory}/${NAME}`;
  }

  /** The configuration in `content`, if it is the one that was remembered last. */
  recall(content: Uint8Array, cpuCount: number): Config | undefined {
    try {
      const bytes = readRegularFile(this.#path, MAX_SIZE);
      const end = bytes.indexOf(NEWLINE);
      if (!isSame(bytes.subarray(end + 1), content)) return undefined;
      const known = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
      return known.cpuCount === cpuCount ? known.config : undefined;
    } catch {
      return undefined; // none yet, or harmed
    }
  }

  /**
   * Remembers that `content` passed as `config`: atomically, also when the power fails. Does nothing if it cannot
   * write.
   */
  remember(content: Uint8Array, cpuCount: number, config: Config): Promise<void> {
    return this.#writing = this.#writing.then(() => this.#write(content, cpuCount, config));
  }

  async #write(content: Uint8Array, cpuCount: number, config: Config): Promise<void> {
    if (this.recall(content, cpuCount) !== undefined) return;
    try {
      using directory = new HeldFile(this.#directory);
      removeLeftovers(directory, NAME);
      using temporary = new TemporaryFile(directory, NAME);
      using file = await Deno.open(temporary.self, { write: true });
      await write(file, new TextEncoder().encode(`${JSON.stringify({ cpuCount, config })}\n`));
      await write(file, content);
      await file.syncData();
      await Deno.rename(temporary.path, directory.at(NAME));
    } catch {
      // It is only checked again at each start.
    }
  }
}

async function write(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
