/**
 * What the kernel says of a process.
 *
 * @module
 */

/** The letter of its state, as proc(5) has them; "" where there is none. */
export function stateOf(pid: number): string {
  try {
    return /^State:\s*(\S)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? "";
  } catch {
    return "";
  }
}

/** Whether a process is there, and no zombie of somebody who does not ask for it. */
export function isThere(pid: number): boolean {
  return !["", "Z"].includes(stateOf(pid));
}
