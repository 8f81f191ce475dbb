/**
 * Files under another name until they are whole. Whoever writes one has its lock, so that those of a process that was
 * killed are told from those under way.
 *
 * @module
 */
import { messageOf, SyscallError } from "../errors.ts";
import { HeldFile } from "../ffi/held_file.ts";
import { closeFd, openFile, tryLock } from "../ffi/libc.ts";
import { OPEN_FLAGS, UAPI } from "../ffi/uapi.ts";

/** A file that is there until it is renamed or disposed. Without node:fs, which a start has no time to load. */
export class TemporaryFile implements Disposable {
  readonly #fd: number;
  readonly path: string;
  /** A path to this very file, whatever its name leads to by now (proc(5)). */
  readonly self: string;

  /**
   * @param name Of the file that it is to become, in a directory that has to stay held for as long.
   * @throws {SyscallError} where it cannot be made.
   */
  constructor(directory: HeldFile, name: string) {
    this.path = directory.at(`.${name}.${crypto.randomUUID().slice(0, 8)}`);
    this.#fd = openFile(this.path, UAPI.O_WRONLY | UAPI.O_CREAT | UAPI.O_EXCL); // never a file or link that is there
    this.self = `/proc/self/fd/${this.#fd}`;
    tryLock(this.#fd);
  }

  [Symbol.dispose](): void {
    removeQuietly(this.path);
    closeFd(this.#fd);
  }
}

/** Removes what processes that were killed have left on the way to becoming `name`. */
export function removeLeftovers(directory: HeldFile, name: string): void {
  let names: string[];
  try {
    names = [...Deno.readDirSync(directory.self)].filter(({ isFile }) => isFile).map((entry) => entry.name);
  } catch {
    return; // this user may not look, and then has left nothing here
  }
  for (const left of names) {
    const isOurs = left.startsWith(`.${name}.`) && /^[0-9a-f]{8}$/.test(left.slice(name.length + 2));
    if (isOurs && isDead(directory.at(left))) removeQuietly(directory.at(left));
  }
}

/** The same for the file at `path`, if its directory can be found. */
export function removeLeftoversOf(path: string): void {
  const end = path.lastIndexOf("/");
  try {
    using directory = new HeldFile(path.slice(0, end + 1) || ".");
    removeLeftovers(directory, path.slice(end + 1));
  } catch {
    // There is no such directory, and so nothing in it.
  }
}

function isDead(path: string): boolean {
  try {
    const fd = openFile(path, UAPI.O_NONBLOCK | OPEN_FLAGS[Deno.build.arch].O_NOFOLLOW);
    const result = tryLock(fd);
    closeFd(fd);
    return result === 0;
  } catch {
    return false; // another user's
  }
}

/** Why a file could not be written, without the names of /proc, which say nothing to an operator. */
export function reasonOf(error: unknown): string {
  if (error instanceof SyscallError) return `${error.call} failed with ${error.code}`;
  return messageOf(error).replace(/[,:] \w+( '.*)?$/s, "");
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // It has been renamed, or the directory cannot be written any more.
  }
}
