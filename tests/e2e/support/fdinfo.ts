/**
 * What the kernel says of a process's open files: proc_pid_fdinfo(5).
 *
 * @module
 */
import type { Appliance } from "./appliance.ts";

/** The text of each; empty for one that was closed meanwhile. */
export function fdInfos({ pid }: Pick<Appliance, "pid">): string[] {
  return [...Deno.readDirSync(`/proc/${pid}/fdinfo`)].map(({ name }) => {
    try {
      return Deno.readTextFileSync(`/proc/${pid}/fdinfo/${name}`);
    } catch {
      return "";
    }
  });
}
