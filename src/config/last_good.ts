/**
 * The last configuration that came into force from the file, kept with the state: what a start falls back to when the
 * file is refused.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import { HeldFile, kindOf, UnreadableError } from "../ffi/held_file.ts";
import { logger } from "../log.ts";
import { normalizePath } from "./path.ts";
import { MAX_FILE_SIZE } from "./problems.ts";
import { reasonOf, removeLeftovers, TemporaryFile } from "./temporary.ts";

const DEFAULT_DIRECTORY = "/var/lib/xdpsteer";
const WRITABLE_BY_OTHERS = 0o022;

const log = logger("config");

/** Where what outlives a process is kept: what systemd has made for the service, or the directory of the same name. */
export function stateDirectory(): string {
  return Deno.env.get("XDPSTEER_STATE_DIR") || Deno.env.get("STATE_DIRECTORY")?.split(":", 1)[0] || DEFAULT_DIRECTORY;
}

export class LastGood {
  readonly path: string;
  readonly #directory: string;
  readonly #name: string;
  #writing: Promise<void> = Promise.resolve();
  #hasFailed = false;

  /**
   * @param directory Is not made: where there is none, nothing is kept.
   * @param file The configuration's path. Each has a last good one of its own, named after it.
   */
  constructor(directory: string, file: string) {
    const path = normalizePath(file.startsWith("/") ? file : `${Deno.cwd()}/${file}`);
    this.#directory = directory;
    this.#name = `last-good.${encodeURIComponent(path.slice(1)).replaceAll("-", "%2D").replaceAll("%2F", "-")}`;
    this.path = `${directory}/${this.#name}`;
  }

  /**
   * @returns undefined where none is kept.
   * @throws {SteerError} where it is not to be trusted, or cannot be read.
   */
  read(): Uint8Array<ArrayBuffer> | undefined {
    try {
      using file = new HeldFile(this.path, { follow: false });
      const { isFile, uid, mode } = file.info;
      if (!isFile) throw new UnreadableError(`is ${kindOf(file.info)}`);
      if (![0, Deno.uid()].includes(uid!) || (mode! & WRITABLE_BY_OTHERS) !== 0) {
        throw new UnreadableError("is another user's, or may be written by others");
      }
      return file.read(MAX_FILE_SIZE);
    } catch (error) {
      if (error instanceof UnreadableError && /^does not exist/.test(error.message)) return undefined;
      throw new SteerError(`"${this.path}" ${messageOf(error)}`, { cause: error });
    }
  }

  /**
   * Keeps what has come into force: atomically, also when the power fails. Where that fails, the log says so once.
   *
   * @returns what is over when it is kept. The disk keeps nobody waiting who does not wait for this.
   */
  keep(content: Uint8Array): Promise<void> {
    return this.#writing = this.#writing.then(() => this.#keep(content)).catch((error) => this.#fail(error));
  }

  async #keep(content: Uint8Array): Promise<void> {
    let directory: HeldFile;
    try {
      directory = new HeldFile(this.#directory);
    } catch {
      return;
    }
    using _held = directory;
    removeLeftovers(directory, this.#name);
    if (this.#holds(content)) return;
    {
      using temporary = new TemporaryFile(directory, this.#name);
      using file = await Deno.open(temporary.self, { write: true });
      for (let at = 0; at < content.length;) at += await file.write(content.subarray(at));
      await file.syncData();
      await Deno.rename(temporary.path, directory.at(this.#name));
    }
    using entries = await Deno.open(directory.self);
    await entries.sync();
    this.#hasFailed = false;
  }

  #holds(content: Uint8Array): boolean {
    try {
      const kept = this.read();
      return kept !== undefined && kept.length === content.length &&
        kept.every((byte, index) => byte === content[index]);
    } catch {
      return false;
    }
  }

  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    log.warn("The last good configuration cannot be kept in {file}: {reason}", {
      file: this.path,
      reason: reasonOf(error),
    });
  }
}
