/**
 * Names of capture files: the one being written has the name of the configuration, `game.pcapng`; finished ones are
 * numbered from the newest, `game.1.pcapng`, `game.2.pcapng` and so on.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { HeldFile, kindOf, readStart, UnreadableError } from "../ffi/held_file.ts";
import { SECTION_BYTES, sectionApplication } from "../packet/pcapng.ts";

const SUFFIX = ".pcapng";
/** Every version calls itself so in what it writes. */
const APPLICATION = "xdpsteer ";

/** What has the name of a capture and is not replaced. */
export class InTheWay extends Error {
  constructor(name: string, kind: string) {
    super(`"${name}" is ${kind}: expected a file that xdpsteer has captured in, or nothing`);
  }
}

/** Where a capture's files are. */
export interface CapturePlace extends Disposable {
  /** Of the file being written. */
  readonly name: string;
  /** The path of a name in the same directory, whatever its own name leads to by now. */
  at(name: string): string;
}

/**
 * Holds the directory of a capture file.
 *
 * @param root Where all captures are: no link in it leads out.
 * @throws {SteerError} that names the directory, with the system's error as its cause.
 */
export function holdPlace(root: string, path: string): CapturePlace {
  const end = path.lastIndexOf("/");
  const [directory, name] = [path.slice(0, end), path.slice(end + 1)];
  const within = directory.slice(root === "/" ? 1 : root.length + 1);
  try {
    using beneath = new HeldFile(root);
    const held = new HeldFile(within === "" ? "." : within, { beneath });
    return { name, at: (other) => held.at(other), [Symbol.dispose]: () => held[Symbol.dispose]() };
  } catch (error) {
    if (!(error instanceof UnreadableError)) throw error;
    throw new SteerError(`directory "${directory || "/"}" ${error.message}`, { cause: error.cause });
  }
}

/** The name of a finished file. */
export function finishedName(name: string, number: number): string {
  return `${name.slice(0, -SUFFIX.length)}.${number}${SUFFIX}`;
}

/**
 * Makes the name of a capture free: the file there becomes number 1, number 1 becomes number 2, and the one after
 * number `keep` is removed.
 *
 * @param keep How many finished files may be there afterwards.
 * @throws {InTheWay} for a file that is no capture of ours, before anything is renamed.
 */
export function makeRoom({ name, at }: Pick<CapturePlace, "name" | "at">, keep: number): void {
  const exists = (each: string): boolean => {
    try {
      const info = Deno.lstatSync(at(each));
      if (!info.isFile) throw new InTheWay(each, kindOf(info));
      if (!isCapture(at(each), info.size)) throw new InTheWay(each, "another program's file");
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  };
  if (!exists(name)) return;
  if (keep === 0) return Deno.removeSync(at(name));
  // Only up to the first gap: what is beyond it has its place already.
  let last = 0;
  while (last < keep && exists(finishedName(name, last + 1))) last++;
  for (let number = Math.min(last, keep - 1); number > 0; number--) {
    Deno.renameSync(at(finishedName(name, number)), at(finishedName(name, number + 1))); // the last one is replaced
  }
  Deno.renameSync(at(name), at(finishedName(name, 1)));
}

/** Whether we wrote it, or began to: a file that has nothing in it is nobody's loss. */
function isCapture(path: string, size: number): boolean {
  if (size === 0) return true;
  try {
    return sectionApplication(readStart(path, SECTION_BYTES))?.startsWith(APPLICATION) ?? false;
  } catch (error) {
    if (error instanceof UnreadableError) return false; // another user's
    throw error;
  }
}
