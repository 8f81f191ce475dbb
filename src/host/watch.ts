/**
 * Notices that a file has new content: saved in place, replaced by rename, or reached through a symbolic link that was
 * swapped (the way Kubernetes updates a ConfigMap).
 *
 * It looks at the file's inode several times a second. Not by inotify(7): the library behind Deno.watchFs opens what
 * appears in the directory, waits for ever for the other end of a FIFO, and then the process never ends.
 *
 * @module
 */
import { SYSTEM_TIMERS, type Timers } from "./timers.ts";

/** Between two looks at the inode: one system call each. */
const LOOK_MS = 100;
/** After a change before the file is read: most saves in several steps are over by then. */
const SETTLE_MS = 60;
/** How often the content is compared anyway, for changes that the inode does not tell of. */
const COMPARE_MS = 2000;

/**
 * Calls `onChange` after the file at `path` has changed in any way, and every now and then; it is to compare contents.
 */
export class FileWatch implements Disposable {
  readonly #path: string;
  readonly #onChange: () => void;
  readonly #timers: Timers;
  readonly #repeated: readonly Disposable[];
  #settle: Disposable | undefined;
  #seen: string;

  constructor(path: string, onChange: () => void, timers: Timers = SYSTEM_TIMERS) {
    this.#path = path;
    this.#onChange = onChange;
    this.#timers = timers;
    this.#seen = signatureOf(path);
    this.#repeated = [timers.every(LOOK_MS, () => this.#look()), timers.every(COMPARE_MS, onChange)];
  }

  #look(): void {
    const now = signatureOf(this.#path);
    if (now === this.#seen) return;
    this.#seen = now;
    // Further changes do not put it off: a file that is saved without a pause would never be read.
    this.#settle ??= this.#timers.after(SETTLE_MS, () => {
      this.#settle = undefined;
      this.#onChange();
    });
  }

  [Symbol.dispose](): void {
    for (const timer of this.#repeated) timer[Symbol.dispose]();
    this.#settle?.[Symbol.dispose]();
  }
}

/** Differs when the file, or what its name leads to, has changed. Opens nothing. */
function signatureOf(path: string): string {
  try {
    const { dev, ino, size, mtime, ctime } = Deno.statSync(path);
    return [dev, ino, size, mtime?.getTime(), ctime?.getTime()].join(" ");
  } catch {
    return "";
  }
}
