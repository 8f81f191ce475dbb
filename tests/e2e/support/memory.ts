/**
 * What memory a process has, as the kernel counts it.
 *
 * @module
 */
import type { Appliance } from "./appliance.ts";

type Process = Pick<Appliance, "pid">;

/** Physical memory in use. */
export function memoryKib(box: Process): number {
  return field(box, "VmRSS");
}

/** Address space in use. */
export function mappedKib(box: Process): number {
  return field(box, "VmSize");
}

/** The most that it has had since its start, or since {@linkcode resetPeak}. */
export function peakKib(box: Process): number {
  return field(box, "VmHWM");
}

/** proc_pid_clear_refs(5). */
export function resetPeak({ pid }: Process): void {
  Deno.writeTextFileSync(`/proc/${pid}/clear_refs`, "5");
}

function field({ pid }: Process, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(Deno.readTextFileSync(`/proc/${pid}/status`))![1]);
}
