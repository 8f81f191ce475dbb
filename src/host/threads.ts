/**
 * What the kernel says of a thread of this process.
 *
 * @module
 */
import { isStopped } from "../ffi/thread_stop.ts";
import { readText } from "./question.ts";

/** Letters of `State` in /proc/PID/status, proc(5). */
const STATES: Readonly<Record<string, string>> = {
  R: "its thread runs, or waits for a CPU, and does not come to the end of a turn",
  S: "its thread waits in a system call",
  D: "its thread waits in the kernel for a device",
  T: "its thread is stopped by a signal",
  t: "its thread is stopped by a debugger",
  Z: "its thread has ended",
};

/** Why a thread that should run does not, as far as the kernel tells. */
export function whyNotRunning(thread: number): string {
  const status = readText(`/proc/self/task/${thread}/status`) ?? "";
  const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "";
  const tracer = field("TracerPid");
  const words = STATES[field("State")] ?? "the kernel does not say why";
  return /^[1-9]/.test(tracer) ? `${words}, process ${tracer}` : words;
}

/** Whether a thread was stopped for good: see ffi/thread_stop.ts. */
export function standsStill(thread: number): boolean {
  return isStopped(readText(`/proc/self/task/${thread}/status`) ?? "");
}

/** The letter of a thread's state, proc(5); "" where it has ended. */
export function stateOf(thread: number): string {
  return /^State:\s*(\S)/m.exec(readText(`/proc/self/task/${thread}/status`) ?? "")?.[1] ?? "";
}

/**
 * Time that a thread was ready to run and had no CPU, in milliseconds, from its start. It counts after a sleep too.
 * Undefined where the kernel does not count it, or the thread has ended.
 */
export function waitedForCpuMs(thread: number): number | undefined {
  const [, waitedNs] = (readText(`/proc/self/task/${thread}/schedstat`) ?? "").split(" ");
  return waitedNs === undefined ? undefined : Number(waitedNs) / 1e6;
}
