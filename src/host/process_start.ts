/**
 * When a process was started: numbers of processes are used again, and no two with one number were started at once.
 *
 * @module
 */

/** Field 22 of proc(5), of those behind the name. */
const START = 19;

/** In the kernel's ticks since it runs; "" where there is no such process, or it is not to be seen. */
export function startOf(pid: number): string {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "" : fields[START] ?? "";
  } catch {
    return "";
  }
}
