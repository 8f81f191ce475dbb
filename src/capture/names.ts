/**
 * Names of capture files: the one being written has the name of the configuration, `game.pcapng`; finished ones are
 * numbered from the newest, `game.1.pcapng`, `game.2.pcapng` and so on.
 *
 * @module
 */
import { kindOf } from "../ffi/held_file.ts";

const SUFFIX = ".pcapng";

/** What has the name of a capture and is not replaced. */
export class InTheWay extends Error {
  constructor(kind: string) {
    super(`${kind} is there: expected a regular file or nothing`);
  }
}

/** The name of a finished file. */
export function finishedName(path: string, number: number): string {
  return `${path.slice(0, -SUFFIX.length)}.${number}${SUFFIX}`;
}

/**
 * Makes the name `path` free: the file there becomes number 1, number 1 becomes number 2, and the one after number
 * `keep` is removed.
 *
 * @param keep How many finished files may be there afterwards.
 */
export function makeRoom(path: string, keep: number): void {
  const exists = (name: string): boolean => {
    try {
      const info = Deno.lstatSync(name);
      if (!info.isFile && name === path) throw new InTheWay(kindOf(info));
      return info.isFile;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  };
  if (!exists(path)) return;
  if (keep === 0) return Deno.removeSync(path);
  // Only up to the first gap: what is beyond it has its place already.
  let last = 0;
  while (last < keep && exists(finishedName(path, last + 1))) last++;
  for (let number = Math.min(last, keep - 1); number > 0; number--) {
    Deno.renameSync(finishedName(path, number), finishedName(path, number + 1)); // the last one is replaced
  }
  Deno.renameSync(path, finishedName(path, 1));
}
