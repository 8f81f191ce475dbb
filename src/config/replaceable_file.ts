/**
 * A configuration file that is replaced by rename, often as root in a directory that belongs to somebody else.
 *
 * The directory and the file are each looked up once and then held. Names are used in that directory only and no link
 * there is followed, so whoever swaps a name there swaps his own files; owner and mode are set by descriptor.
 *
 * @module
 */
import { basename, dirname, resolve } from "node:path";
import { codeOf, messageOf, SteerError } from "../errors.ts";
import { HeldFile, kindOf } from "../ffi/held_file.ts";
import { readConfig } from "./load.ts";
import { reasonOf, removeLeftovers, TemporaryFile } from "./temporary.ts";

const BY_HAND = "make the change without saving it, and in the file by hand";
/** Without setuid, setgid and sticky, which mean nothing for a text. */
const PERMISSIONS = 0o777;

/** Holds the directory open until it is disposed. */
export class ReplaceableFile implements Disposable {
  readonly #path: string;
  readonly #directory: HeldFile;
  readonly #info: Deno.FileInfo;
  /** What the file held when it was opened. */
  readonly before: Uint8Array;

  private constructor(path: string, directory: HeldFile, info: Deno.FileInfo, before: Uint8Array) {
    this.#path = path;
    this.#directory = directory;
    this.#info = info;
    this.before = before;
  }

  /** @throws {SteerError} for a file that cannot be read, and for one whose owner would not want it renamed over. */
  static open(path: string): ReplaceableFile {
    const directory = hold(path, dirname(path));
    try {
      using file = hold(path, directory.at(basename(path)), { follow: false });
      requireReplaceable(path, file.info);
      return new ReplaceableFile(path, directory, file.info, readConfig(path, file));
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Puts `content` in the place of the file, with the permissions and owner that it had. Readers see the old content or
   * the new, also after a loss of power. A slow disk keeps nobody waiting who does not wait for this: to sync may take
   * seconds, and this thread has a watchdog to feed.
   *
   * @throws {SteerError} and leaves the file as it was.
   */
  async replace(content: Uint8Array): Promise<void> {
    const name = basename(this.#path);
    try {
      removeLeftovers(this.#directory, name);
      {
        using temporary = new TemporaryFile(this.#directory, name);
        await write(temporary.self, content, this.#info);
        await Deno.rename(temporary.path, this.#directory.at(name));
      }
      using directory = await Deno.open(this.#directory.self);
      await directory.sync(); // the rename too is to be there after a loss of power
    } catch (error) {
      throw new SteerError(`Cannot save to "${this.#path}": ${reason(error)}`, {
        cause: error,
        hint: hintFor(error, resolve(this.#path), this.#info.uid),
      });
    }
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

function hold(path: string, name: string, options?: { readonly follow: boolean }): HeldFile {
  try {
    return new HeldFile(name, options);
  } catch (error) {
    throw new SteerError(`Cannot save to "${path}": it ${messageOf(error)}`, { cause: error, hint: BY_HAND });
  }
}

function requireReplaceable(path: string, info: Deno.FileInfo): void {
  if (info.isSymlink) {
    throw new SteerError(`Cannot save to "${path}": it is a symbolic link, as a Kubernetes ConfigMap makes them`, {
      hint: "change the file where it comes from; the change is applied when it arrives",
    });
  }
  if (info.isFile) return;
  throw new SteerError(`Cannot save to "${path}": it is ${kindOf(info)}, not a regular file`, { hint: BY_HAND });
}

/** @param self A path to a descriptor, so owner and mode are those of the file that was made, whatever its name. */
async function write(self: string, content: Uint8Array, { uid, gid, mode }: Deno.FileInfo): Promise<void> {
  using file = await Deno.open(self, { write: true });
  for (let at = 0; at < content.byteLength;) at += await file.write(content.subarray(at));
  const mine = await file.stat();
  // In this order CAP_CHOWN is all it takes: the mode is set while the file is ours, and never for another group.
  if (mine.gid !== gid) await Deno.chown(self, null, gid);
  await Deno.chmod(self, mode! & PERMISSIONS);
  if (mine.uid !== uid) await Deno.chown(self, uid, null);
  await file.sync();
}

function reason(error: unknown): string {
  if (["EACCES", "EPERM"].includes(codeOf(error))) return "this user may not write there, or not keep its owner";
  return reasonOf(error);
}

function hintFor(error: unknown, path: string, owner: number | null): string {
  const directory = dirname(path);
  if (["ENOSPC", "EDQUOT"].includes(codeOf(error))) {
    return "make room on the disk and do it again; until then the change can be made without saving it";
  }
  if (!["EACCES", "EPERM", "EROFS"].includes(codeOf(error))) return BY_HAND;
  if (codeOf(error) === "EROFS") {
    return `${BY_HAND}, or let the service write there: under systemd, ReadWritePaths=${directory}, which ` +
      "ProtectSystem= makes read-only";
  }
  const user = Deno.uid();
  const root = user === 0 ? "; run gives up root's right to write to what is not root's" : "";
  return `${BY_HAND}, or have xdpsteer run by whom they belong to: the file belongs to user ${owner}, and xdpsteer ` +
    `runs as user ${user}${root}; chown ${user} ${directory} ${path} gives both to it`;
}
