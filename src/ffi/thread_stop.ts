/**
 * Stopping one thread of this process for good, wherever it is: a thread that loops cannot be asked, and the runtime
 * can end one only by an exception at an instruction of its choice, two seconds later. So it gets a signal whose
 * handler is pause(2), while all signals are blocked: from then on it executes nothing of its own.
 *
 * What it has locked in the runtime stays locked. A thread that loops in its own code has locked nothing.
 *
 * @module
 */
import { checked, libc } from "./libc.ts";
import { SIGACTION } from "./uapi.ts";

/** A real-time signal that neither glibc nor the runtime uses. */
const STOP_SIGNAL = 62;
const ALL_BITS = 0xff;

let isReady = false;

/** Gives the signal its meaning: once, before the first is sent, for it would end the process. */
function prepare(): void {
  if (isReady) return;
  const { symbols } = libc();
  const pause = symbols.dlsym(null, new TextEncoder().encode("pause\0"));
  if (pause === null) throw new Error("glibc has no pause()");
  const action = new DataView(new ArrayBuffer(SIGACTION.size));
  action.setBigUint64(SIGACTION.sa_handler, Deno.UnsafePointer.value(pause), true);
  for (let at: number = SIGACTION.sa_mask; at < SIGACTION.sa_flags; at++) action.setUint8(at, ALL_BITS);
  const result = symbols.sigaction(STOP_SIGNAL, new Uint8Array(action.buffer), null);
  checked(result, "sigaction", "prepare for a thread that hangs");
  isReady = true;
}

/**
 * Has a thread stop. It does so at once where it runs, or waits in a call that signals end; {@linkcode isStopped} says
 * when. It cannot be taken back.
 *
 * @returns False where there is no such thread.
 */
export function stopThread(thread: number): boolean {
  prepare();
  return libc().symbols.tgkill(Deno.pid, thread, STOP_SIGNAL) === 0;
}

/**
 * Whether a thread stands in the signal's handler: it executes nothing any more.
 *
 * @param status What /proc/self/task/THREAD/status says.
 */
export function isStopped(status: string): boolean {
  const blocked = /^SigBlk:\s*([0-9a-f]+)/m.exec(status)?.[1];
  if (blocked === undefined || !/^State:\s*S/m.test(status)) return false;
  return (BigInt(`0x${blocked}`) >> BigInt(STOP_SIGNAL - 1) & 1n) === 1n;
}
