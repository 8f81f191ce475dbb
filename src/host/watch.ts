/**
 * Notices that a file has new content: saved in place, replaced by rename, or reached through a symbolic link that was
 * swapped (the way Kubernetes updates a ConfigMap).
 *
 * @module
 */
import { dirname } from "node:path";
import { messageOf } from "../errors.ts";
import { logger } from "../log.ts";

/** Quiet time after the last event before the file is read, so that a save in several steps is seen whole. */
const SETTLE_MS = 60;
/**
 * How often the file is looked at anyway, for changes no event tells of (a network file system, a link target
 * elsewhere).
 */
const LOOK_MS = 2000;

const log = logger("watch");

/**
 * Calls `onChange` after the directory of `path` has changed in any way, and every now and then; it is to compare
 * contents.
 */
export class FileWatch implements Disposable {
  /** Undefined where the kernel has none left: the file is looked at every now and then all the same. */
  readonly #watcher: Deno.FsWatcher | undefined;
  readonly #look: ReturnType<typeof setInterval>;
  #settle: ReturnType<typeof setTimeout> | undefined;

  constructor(path: string, private readonly onChange: () => void) {
    // The directory, not the file: a rename puts another inode in the file's place.
    this.#watcher = watcherOf(dirname(path));
    this.#look = setInterval(onChange, LOOK_MS);
    this.#follow().catch(giveUp);
  }

  async #follow(): Promise<void> {
    for await (const { kind } of this.#watcher ?? []) {
      if (kind === "access") continue;
      clearTimeout(this.#settle);
      this.#settle = setTimeout(this.onChange, SETTLE_MS);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#look);
    clearTimeout(this.#settle);
    this.#watcher?.close();
  }
}

function watcherOf(directory: string): Deno.FsWatcher | undefined {
  try {
    return Deno.watchFs(directory, { recursive: false });
  } catch (error) {
    giveUp(error);
    return undefined;
  }
}

function giveUp(error: unknown): void {
  log.warn(
    "A save of the configuration is noticed up to {seconds} s late, since its directory cannot be watched: {reason}",
    {
      seconds: LOOK_MS / 1000,
      reason: messageOf(error),
      hint: "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches",
    },
  );
}
