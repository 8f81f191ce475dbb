/**
 * What the kernel says of this process and of an interface, read from /proc and /sys when it is asked for: no timers.
 *
 * @module
 */
import { hasCarrier } from "../ffi/ethtool.ts";
import { interfaceFacts } from "../ffi/interface_facts.ts";
import { interfaceIndex } from "../ffi/libc.ts";

/** Ticks per second of /proc/self/stat: USER_HZ, the same on all architectures that xdpsteer runs on. */
const TICKS_PER_S = 100;

export interface ProcessStats {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly virtualBytes: number;
  readonly threads: number;
  readonly openFds: number;
  /** Infinity where there is no limit. */
  readonly maxFds: number;
  /** Unix time. */
  readonly startTimeSeconds: number;
}

/** Three small files of /proc: a fifth of a millisecond. */
export function processStats(): ProcessStats {
  const stat = Deno.readTextFileSync("/proc/self/stat");
  // The second field, the name in brackets, may hold anything; proc(5) counts fields from 1, and the third follows it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    cpuSeconds: (field(14) + field(15)) / TICKS_PER_S,
    residentBytes: Deno.memoryUsage().rss, // in /proc/self/stat it is in pages, whose size is not said there
    virtualBytes: field(23),
    threads: field(20),
    openFds: [...Deno.readDirSync("/proc/self/fd")].length - 1, // without the one that is open to count them
    maxFds: maxFds(),
    startTimeSeconds: performance.timeOrigin / 1000,
  };
}

/** True while there is an interface of this name and index, and it has a carrier. */
export function interfaceIsUp(name: string, ifindex: number): boolean {
  return interfaceIndex(name) === ifindex && interfaceFacts(name)?.up === true && hasCarrier(name) !== false;
}

function maxFds(): number {
  const soft = /^Max open files\s+(\S+)/m.exec(Deno.readTextFileSync("/proc/self/limits"))?.[1];
  return soft === "unlimited" ? Infinity : Number(soft);
}
