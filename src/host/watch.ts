/**
 * Notices that a file has new content: saved in place, replaced by rename, or reached through a symbolic link that was
 * swapped (the way Kubernetes updates a ConfigMap).
 *
 * @module
 */
import { dirname } from "node:path";

/** Quiet time after the last event before the file is read, so that a save in several steps is seen whole. */
const SETTLE_MS = 60;
/**
 * How often the file is looked at anyway, for changes no event tells of (a network file system, a link target
 * elsewhere).
 */
const LOOK_MS = 2000;

/**
 * Calls `onChange` after the directory of `path` has changed in any way, and every now and then; it is to compare
 * contents.
 */
export class FileWatch implements Disposable {
  readonly #watcher: Deno.FsWatcher;
  readonly #look: ReturnType<typeof setInterval>;
  #settle: ReturnType<typeof setTimeout> | undefined;

  constructor(path: string, private readonly onChange: () => void) {
    // The directory, not the file: a rename puts another inode in the file's place.
    this.#watcher = Deno.watchFs(dirname(path), { recursive: false });
    this.#look = setInterval(onChange, LOOK_MS);
    this.#follow();
  }

  async #follow(): Promise<void> {
    for await (const { kind } of this.#watcher) {
      if (kind === "access") continue;
      clearTimeout(this.#settle);
      this.#settle = setTimeout(this.onChange, SETTLE_MS);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#look);
    clearTimeout(this.#settle);
    this.#watcher.close();
  }
}
