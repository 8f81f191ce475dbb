/**
 * Checks up front that the process may do what it is about to do, so that the answer is one sentence and not a failed
 * call.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { setDumpable } from "../ffi/libc.ts";
import { plural } from "../text.ts";

/** By their bit in `CapEff` of /proc/self/status (capability.h). */
const CAPABILITIES = [
  ...["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"],
  ...["LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"],
  ...["SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"],
  ...["SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"],
  ...["MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ"],
  ...["PERFMON", "BPF", "CHECKPOINT_RESTORE"],
];

/**
 * What steering needs. The verifier lets nobody add lengths of headers to packet pointers without PERFMON. Before Linux
 * 5.8 the last two were a part of SYS_ADMIN.
 */
export const NEEDED_CAPABILITIES = ["NET_ADMIN", "NET_RAW", "BPF", "PERFMON"] as const;
const OF_SYS_ADMIN: readonly string[] = ["BPF", "PERFMON"];

type Capability = typeof NEEDED_CAPABILITIES[number] | "IPC_LOCK" | "SYS_ADMIN";

/** What this process may do, as the kernel says. */
export interface Confinement {
  /** The effective user's number. */
  readonly user: number;
  readonly capabilities: readonly string[];
  /** What a program that it starts could have at most. */
  readonly bounding: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly seccompFilters: number;
  /** Whether Landlock keeps it from writing to the system's files. */
  readonly landlock: boolean;
  /** Whether the kernel would write its memory to a file when it crashes. */
  readonly coreDumps: boolean;
}

export function confinement(): Confinement {
  const status = Deno.readTextFileSync("/proc/self/status");
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "0";
  return {
    user: Number(field("Uid").split("\t")[1]),
    capabilities: namesOf(field("CapEff")),
    bounding: namesOf(field("CapBnd")),
    noNewPrivileges: field("NoNewPrivs") === "1",
    seccompFilters: Number(field("Seccomp_filters")),
    landlock: !mayWriteToOwnProcess(),
    coreDumps: softLimit("core file size") !== 0,
  };
}

/**
 * What `run` keeps of what a process has: what steering needs, and IPC_LOCK where the launcher has left it, since the
 * limit of locked memory cannot be lifted.
 */
export function keptByRun(capabilities: readonly string[]): string[] {
  return capabilities.filter((name) =>
    name === "IPC_LOCK" || (NEEDED_CAPABILITIES as readonly string[]).includes(name)
  );
}

/** In words. */
export function listCapabilities(names: readonly string[]): string {
  const [first = "none"] = names;
  const why = names.includes("IPC_LOCK") ? " (IPC_LOCK, since the limit of locked memory cannot be lifted)" : "";
  return names.length < 2 ? first : `${names.join(", ")}${why}`;
}

function namesOf(set: string): string[] {
  const bits = BigInt(`0x${set}`);
  return CAPABILITIES.filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n);
}

/** Every process may, but where Landlock rules over /proc. */
function mayWriteToOwnProcess(): boolean {
  try {
    Deno.openSync("/proc/self/comm", { write: true }).close();
    return true;
  } catch {
    return false;
  }
}

/** Whether this process has a capability now. True where the kernel does not tell. */
export function hasCapability(capability: Capability): boolean {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"));
  return match === null || namesOf(match[1]!).includes(capability);
}

/** Names of the capabilities that steering needs and this process lacks. */
export function missingCapabilities(): string[] {
  return NEEDED_CAPABILITIES
    .filter((name) => !hasCapability(name) && !(OF_SYS_ADMIN.includes(name) && hasCapability("SYS_ADMIN")))
    .map((name) => `CAP_${name}`);
}

/** @throws {SteerError} that names the capabilities missing. */
export function requirePrivileges(): void {
  const missing = missingCapabilities();
  if (missing.length === 0) return;
  throw new SteerError(`Not permitted: this process lacks ${missing.join(", ")}`, {
    hint:
      "run it as root (sudo xdpsteer ...), or give it these capabilities, as AmbientCapabilities= in a systemd unit " +
      "does",
  });
}

/**
 * Keeps the memory of this process, with packets of others in it, from core dumps and from other processes of its user.
 * For good: what it starts can be dumped again.
 */
export function hideMemory(): void {
  setDumpable(false);
}

/**
 * File descriptors of the process itself, and of a worker's thread besides its sockets, with some to spare: 40 and 7
 * were counted.
 */
const FILES = { process: 64, worker: 8 } as const;

/**
 * Makes sure that all sockets can be open at once. A thread that finds no file descriptor left ends the process without
 * a word of ours.
 *
 * @param queues Of all interfaces.
 * @throws {SteerError}
 */
export function requireOpenFiles(workers: number, queues: number): void {
  const soft = softLimit("open files");
  const needed = FILES.process + workers * (FILES.worker + queues);
  if (needed <= soft) return;
  const what = `${plural(workers, "worker")} on ${plural(queues, "queue")}`;
  throw new SteerError(
    `Cannot open the sockets of ${what}: ${soft} files may be open at once, about ${needed} are needed`,
    {
      hint: "raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit), or use fewer workers or queues",
    },
  );
}

/** Threads of the process itself, and of a worker, with some to spare: 11 in all were counted with two workers. */
const THREADS = { process: 16, worker: 2 } as const;
/** A limit from here on is not looked into: to count a user's threads takes a look at every process. */
const MANY_THREADS = 1024;

/**
 * Makes sure that all threads can be started. The runtime ends the process where it cannot start one.
 *
 * @throws {SteerError}
 */
export function requireThreads(workers: number): void {
  const soft = softLimit("processes");
  if (soft >= MANY_THREADS || Deno.uid() === 0) return;
  const needed = THREADS.process + workers * THREADS.worker;
  const used = threadsOf(Deno.uid()!);
  if (used + needed <= soft) return;
  throw new SteerError(
    `Cannot start ${plural(workers, "worker")}: this user may have ${soft} processes and threads at once and has ` +
      `${used}, about ${needed} more are needed`,
    { hint: "raise the limit (ulimit -u, or LimitNPROC= in the unit), or use fewer workers" },
  );
}

/** The limit of this process by its name in /proc/self/limits; Infinity where there is none. */
function softLimit(name: string): number {
  const limits = Deno.readTextFileSync("/proc/self/limits");
  return Number(new RegExp(`^Max ${name} +(\\d+)`, "m").exec(limits)?.[1] ?? Infinity);
}

function threadsOf(uid: number): number {
  let threads = 0;
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const status = Deno.readTextFileSync(`/proc/${name}/status`);
      if (Number(/^Uid:\t(\d+)/m.exec(status)?.[1]) === uid) threads += Number(/^Threads:\t(\d+)/m.exec(status)?.[1]);
    } catch {
      // It has ended, or is not for us to see.
    }
  }
  return threads;
}
