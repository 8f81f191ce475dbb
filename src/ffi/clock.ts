/**
 * The kernel's clocks, to the nanosecond.
 *
 * @module
 */
import { libc } from "./libc.ts";
import { TIMESPEC, UAPI } from "./uapi.ts";

/** CLOCK_MONOTONIC: the same for all threads, never goes back. */
export class Clock {
  /** As last read: whole seconds at index 0, nanoseconds on top at index 2. */
  readonly time = new Int32Array(TIMESPEC.size / 4);
  readonly #read = libc().symbols.read_clock;

  /** Hot path: no allocation. */
  read(): void {
    this.#read(UAPI.CLOCK_MONOTONIC, this.time);
  }
}

/** Of a thread's CPU time, as glibc makes it: include/uapi/linux/posix-timers_types.h has no name for it. */
const THREAD_CPU_CLOCK = 6;

/** Time that a thread of this process has had a CPU, in milliseconds; `undefined` once it has ended. */
export function threadCpuMs(thread: number): number | undefined {
  return clockMs((~thread << 3) | THREAD_CPU_CLOCK);
}

/** CLOCK_BOOTTIME in milliseconds: as CLOCK_MONOTONIC, and it goes on while the machine is suspended. */
export function bootMs(): number {
  return clockMs(UAPI.CLOCK_BOOTTIME)!;
}

/** @returns undefined where the kernel does not know the clock. */
function clockMs(clock: number): number | undefined {
  const time = new BigInt64Array(TIMESPEC.size / 8);
  if (libc().symbols.read_clock(clock, time) < 0) return undefined;
  return Number(time[0]!) * 1e3 + Number(time[1]!) / 1e6;
}

/** What to add to CLOCK_MONOTONIC to get the time since 1970, in nanoseconds, as of now. */
export function wallClockOffset(): bigint {
  const read = (clock: number): bigint => {
    const time = new BigInt64Array(TIMESPEC.size / 8);
    libc().symbols.read_clock(clock, time);
    return time[0]! * 1_000_000_000n + time[1]!;
  };
  const before = read(UAPI.CLOCK_MONOTONIC);
  const wall = read(UAPI.CLOCK_REALTIME);
  return wall - (before + read(UAPI.CLOCK_MONOTONIC)) / 2n;
}
