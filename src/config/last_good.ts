/**
 * The last configuration that came into force from the file, kept with the state: what a start falls back to when the
 * file is refused.
 *
 * @module
 */
import { logger } from "../log.ts";
import { KeptFile } from "./kept_file.ts";
import { MAX_FILE_SIZE } from "./problems.ts";
import { reasonOf } from "./temporary.ts";

const log = logger("config");

export class LastGood {
  readonly #file: KeptFile;
  #writing: Promise<void> = Promise.resolve();
  #hasFailed = false;

  /**
   * @param directory Is not made: where there is none, nothing is kept.
   * @param file The configuration's path. Each has a last good one of its own, named after it.
   */
  constructor(directory: string, file: string) {
    this.#file = new KeptFile(directory, "last-good", file, MAX_FILE_SIZE);
  }

  get path(): string {
    return this.#file.path;
  }

  /**
   * @returns undefined where none is kept.
   * @throws {SteerError} where it is not to be trusted, or cannot be read.
   */
  read(): Uint8Array<ArrayBuffer> | undefined {
    return this.#file.read();
  }

  /**
   * Keeps what has come into force. Where that fails, the log says so once.
   *
   * @returns what is over when it is kept. The disk keeps nobody waiting who does not wait for this.
   */
  keep(content: Uint8Array): Promise<void> {
    return this.#writing = this.#writing.then(() => this.#keep(content)).catch((error) => this.#fail(error));
  }

  async #keep(content: Uint8Array): Promise<void> {
    await this.#file.write(content);
    this.#hasFailed = false;
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
