/**
 * A lock that one process has at a time: a file beside what it is about. The kernel lets go of it when the process ends
 * in whatever way.
 *
 * @module
 */
import { ERRNO, syscallError } from "./errno.ts";
import type { HeldFile } from "./held_file.ts";
import { closeFd, openFile, tryLock } from "./libc.ts";
import { OPEN_FLAGS, UAPI } from "./uapi.ts";

export class FileLock implements Disposable {
  readonly #fd: number;
  readonly #path: string;

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
  }

  /**
   * Takes the lock `name` in a directory, which has to stay held for as long as the lock.
   *
   * @returns undefined where another process has it.
   * @throws {SyscallError} where the file cannot be made; a link is not followed.
   */
  static take(directory: HeldFile, name: string): FileLock | undefined {
    const path = directory.at(name);
    const flags = UAPI.O_RDWR | UAPI.O_CREAT | UAPI.O_NONBLOCK | OPEN_FLAGS[Deno.build.arch].O_NOFOLLOW;
    while (true) {
      const fd = openFile(path, flags);
      const result = tryLock(fd);
      // Whoever had it may have removed the file between these calls: then it locks nothing any more.
      if (result === 0 && isSameFile(path, `/proc/self/fd/${fd}`)) return new FileLock(fd, path);
      closeFd(fd);
      if (result === -ERRNO.EAGAIN) return undefined;
      if (result < 0) throw syscallError("flock", -result, `lock "${name}"`);
    }
  }

  /** Goes on with the lock of another process that has it at `path`. */
  static adopt(fd: number, path: string): FileLock {
    return new FileLock(fd, path);
  }

  /** For a process that comes after this one. */
  get fd(): number {
    return this.#fd;
  }

  /** Closes it and leaves the file: another process has the lock too, and keeps it. */
  leave(): void {
    closeFd(this.#fd);
  }

  /** Lets go of it, and removes the file. */
  [Symbol.dispose](): void {
    try {
      if (isSameFile(this.#path, `/proc/self/fd/${this.#fd}`)) Deno.removeSync(this.#path);
    } catch {
      // It stays, which hinders nobody.
    }
    closeFd(this.#fd);
  }
}

function isSameFile(name: string, open: string): boolean {
  try {
    const [one, other] = [Deno.lstatSync(name), Deno.statSync(open)];
    return one.dev === other.dev && one.ino === other.ino;
  } catch {
    return false;
  }
}
