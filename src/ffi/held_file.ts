/**
 * Files by descriptor. Where somebody else may write, a name can lead to another file from one call to the next; a
 * descriptor cannot.
 *
 * @module
 */
import { messageOf, SteerError, SyscallError } from "../errors.ts";
import { closeFd, openBeneath, openFile, readFile } from "./libc.ts";
import { OPEN_FLAGS, UAPI } from "./uapi.ts";

/** Why a file is not read, in words that follow its name: `is a FIFO`. */
export class UnreadableError extends SteerError {
  /** @param size Bytes of the file, if it is refused because of them. */
  constructor(message: string, readonly size?: number, cause?: unknown) {
    super(message, { cause });
  }
}

/**
 * A file of any kind, held by an O_PATH descriptor: that opens nothing, so it neither waits for a FIFO's writer nor
 * starts a device. Owned by whoever made it.
 */
export class HeldFile implements Disposable {
  readonly #fd: number;
  /** A path to this very file, for calls that take no descriptor (proc(5)). */
  readonly self: string;
  /** What the file was when it was opened. */
  readonly info: Deno.FileInfo;

  /**
   * @param follow False holds a symbolic link in the last place itself. Links before that are always followed.
   * @param beneath Where the path begins, and stays: neither ".." nor a link leads out of this directory (openat2(2)).
   * @throws {UnreadableError}
   */
  constructor(
    path: string,
    { follow = true, beneath }: { readonly follow?: boolean; readonly beneath?: HeldFile } = {},
  ) {
    const flags = UAPI.O_PATH | (follow ? 0 : OPEN_FLAGS[Deno.build.arch].O_NOFOLLOW);
    this.#fd = open(() => beneath === undefined ? openFile(path, flags) : openBeneath(beneath.#fd, path, flags));
    this.self = `/proc/self/fd/${this.#fd}`;
    try {
      this.info = Deno.statSync(this.self);
    } catch (error) {
      closeFd(this.#fd);
      throw unreadable(error);
    }
  }

  /** The path of a name in this directory. */
  at(name: string): string {
    return `${this.self}/${name}`;
  }

  /**
   * The content of this regular file, without ever waiting for it.
   *
   * @param limit Most bytes there may be.
   * @throws {UnreadableError} for any other kind of file, a larger one, and one that cannot be read.
   */
  read(limit: number): Uint8Array<ArrayBuffer> {
    const { isFile, size } = this.info;
    if (!isFile) throw new UnreadableError(`is ${kindOf(this.info)}`);
    if (size > limit) throw tooLarge(size);
    // Without O_NONBLOCK some regular files of /proc and /sys wait for events.
    const fd = open(() => openFile(this.self, UAPI.O_NONBLOCK));
    try {
      return readAtMost(fd, limit, size);
    } catch (error) {
      throw unreadable(error);
    } finally {
      closeFd(fd);
    }
  }

  [Symbol.dispose](): void {
    closeFd(this.#fd);
  }
}

/**
 * Reads the regular file at `path`. Every file that an operator names is read by this, since the control thread must
 * not wait.
 *
 * @param limit Most bytes there may be.
 * @throws {UnreadableError}
 */
export function readRegularFile(path: string, limit: number): Uint8Array<ArrayBuffer> {
  using file = new HeldFile(path);
  return file.read(limit);
}

/** The first bytes of the file at `path`, `limit` at most; a link is not followed. @throws {UnreadableError} */
export function readStart(path: string, limit: number): Uint8Array<ArrayBuffer> {
  const fd = open(() => openFile(path, UAPI.O_NONBLOCK | OPEN_FLAGS[Deno.build.arch].O_NOFOLLOW));
  try {
    const buffer = new Uint8Array(limit);
    return buffer.subarray(0, readFile(fd, buffer));
  } catch (error) {
    throw unreadable(error);
  } finally {
    closeFd(fd);
  }
}

/**
 * Reads a descriptor to its end; it stays open. Waits for whoever writes to it, so this is not for the control thread.
 *
 * @param limit Most bytes there may be.
 * @throws {UnreadableError}
 */
export function readToEnd(fd: number, limit: number): Uint8Array<ArrayBuffer> {
  try {
    return readAtMost(fd, limit, 0);
  } catch (error) {
    throw unreadable(error);
  }
}

/** What a file is, to follow "is". */
export function kindOf(info: Deno.FileInfo): string {
  if (info.isFile) return "a regular file";
  if (info.isDirectory) return "a directory";
  if (info.isSymlink) return "a symbolic link";
  if (info.isSocket) return "a socket";
  if (info.isFifo) return "a FIFO";
  return info.isBlockDevice ? "a block device" : "a character device";
}

/** Pipes and files of /proc do not tell their size: room for one byte more than expected shows the end. */
function readAtMost(fd: number, limit: number, expected: number): Uint8Array<ArrayBuffer> {
  let buffer = new Uint8Array(Math.min(Math.max(expected, 4095), limit) + 1);
  let length = 0;
  for (;;) {
    const count = readFile(fd, buffer.subarray(length));
    if (count === 0) return buffer.subarray(0, length);
    length += count;
    if (length > limit) throw tooLarge(length);
    if (length < buffer.length) continue;
    const larger = new Uint8Array(Math.min(2 * length, limit + 1));
    larger.set(buffer);
    buffer = larger;
  }
}

function tooLarge(size: number): UnreadableError {
  return new UnreadableError("is too large", size);
}

function open(call: () => number): number {
  try {
    return call();
  } catch (error) {
    throw unreadable(error);
  }
}

function unreadable(error: unknown): UnreadableError {
  if (error instanceof UnreadableError) return error;
  if (!(error instanceof SyscallError)) {
    return new UnreadableError(`cannot be read (${messageOf(error)})`, undefined, error);
  }
  const { call, code } = error;
  if (code === "ENOENT") return new UnreadableError("does not exist", undefined, error);
  if (code === "EXDEV") return new UnreadableError("is led elsewhere by a symbolic link", undefined, error);
  if (code === "EACCES") return new UnreadableError("may not be read by this user", undefined, error);
  return new UnreadableError(`cannot be read (${call} failed with ${code})`, undefined, error);
}
