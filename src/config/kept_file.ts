/**
 * Files in the state directory: what outlives a process.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import { HeldFile, kindOf, UnreadableError } from "../ffi/held_file.ts";
import { normalizePath } from "./path.ts";
import { removeLeftovers, TemporaryFile } from "./temporary.ts";

const DEFAULT_DIRECTORY = "/var/lib/xdpsteer";
const WRITABLE_BY_OTHERS = 0o022;

/** Where what outlives a process is kept: what systemd has made for the service, or the directory of the same name. */
export function stateDirectory(): string {
  return Deno.env.get("XDPSTEER_STATE_DIR") || Deno.env.get("STATE_DIRECTORY")?.split(":", 1)[0] || DEFAULT_DIRECTORY;
}

/** One of the files of a configuration in the state directory. */
export class KeptFile {
  readonly path: string;
  readonly #name: string;

  /**
   * @param directory Is not made: where there is none, nothing is kept.
   * @param kind The beginning of its name.
   * @param config The configuration's path. Each has files of its own, named after it.
   * @param maxBytes Larger ones are not read.
   */
  constructor(
    private readonly directory: string,
    kind: string,
    config: string,
    private readonly maxBytes: number,
  ) {
    const path = normalizePath(config.startsWith("/") ? config : `${Deno.cwd()}/${config}`);
    this.#name = `${kind}.${encodeURIComponent(path.slice(1)).replaceAll("-", "%2D").replaceAll("%2F", "-")}`;
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
      return file.read(this.maxBytes);
    } catch (error) {
      if (error instanceof UnreadableError && /^does not exist/.test(error.message)) return undefined;
      throw new SteerError(`"${this.path}" ${messageOf(error)}`, { cause: error });
    }
  }

  /** Replaces what it holds: atomically, also when the power fails. */
  async write(content: Uint8Array): Promise<void> {
    let directory: HeldFile;
    try {
      directory = new HeldFile(this.directory);
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
}
