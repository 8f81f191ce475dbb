/**
 * Starting another process in the place of this one: what it gets, and what it takes.
 *
 * @module
 */
import { ERRNO } from "./errno.ts";
import { checked, CPU_SET_BYTES, libc, openFile } from "./libc.ts";
import { UAPI } from "./uapi.ts";

/** Who is at the other end of a Unix socket, or has made a pair of them; undefined where it is none. */
export function peerOf(fd: number): { readonly pid: number; readonly uid: number } | undefined {
  const credentials = new Int32Array(3);
  const length = new Uint32Array([credentials.byteLength]);
  const { symbols } = libc();
  if (symbols.getsockopt(fd, UAPI.SOL_SOCKET, UAPI.SO_PEERCRED, credentials, length) < 0) return undefined;
  return { pid: credentials[0]!, uid: credentials[1]! };
}

/** Whether the other end of a Unix socket is closed: not when it only sends no more. */
export function hasHungUp(fd: number): boolean {
  const set = new Int32Array([fd, 0]); // asks for nothing: a hang-up and errors are told all the same
  return libc().symbols.poll_one(set, 1, 0) === 1;
}

/**
 * Whether there is certainly no process with this number any more; false where there is one, of whatever user.
 */
export function hasEnded(pid: number): boolean {
  const { symbols, errno } = libc();
  return symbols.kill(pid, 0) < 0 && errno[0] === ERRNO.ESRCH;
}

/** Takes what standard input is, which is /dev/null from now on. @returns its new number, which is the caller's. */
export function takeStandardInput(): number {
  const { symbols } = libc();
  const fd = checked(symbols.fcntl(0, UAPI.F_DUPFD_CLOEXEC, 3), "fcntl", "take standard input");
  const nothing = openFile("/dev/null", UAPI.O_RDWR);
  symbols.dup2(nothing, 0);
  symbols.close(nothing);
  return fd;
}

/** Runs `start` while standard input is another file: a program that is started then gets that as its own. */
export function withStandardInput<T>(fd: number, start: () => T): T {
  const { symbols } = libc();
  const mine = checked(symbols.fcntl(0, UAPI.F_DUPFD_CLOEXEC, 3), "fcntl", "keep standard input");
  try {
    checked(symbols.dup2(fd, 0), "dup2", "replace standard input");
    return start();
  } finally {
    symbols.dup2(mine, 0);
    symbols.close(mine);
  }
}

/** CPUs that the calling thread may run on, for {@linkcode withCpus}; undefined where the kernel does not tell. */
export function currentCpus(): Uint8Array<ArrayBuffer> | undefined {
  const set = new Uint8Array(CPU_SET_BYTES);
  return libc().symbols.sched_getaffinity(0, BigInt(CPU_SET_BYTES), set) < 0 ? undefined : set;
}

/** Runs `start` while the calling thread may run on these CPUs: a program that is started then may too. */
export function withCpus<T>(cpus: Uint8Array<ArrayBuffer> | undefined, start: () => T): T {
  const before = currentCpus();
  if (cpus === undefined || before === undefined) return start();
  const { symbols } = libc();
  symbols.sched_setaffinity(0, BigInt(CPU_SET_BYTES), cpus);
  try {
    return start();
  } finally {
    symbols.sched_setaffinity(0, BigInt(CPU_SET_BYTES), before);
  }
}

/** The calling thread's niceness; 0 where the kernel does not tell. */
export function currentNiceness(): number {
  const NICE = 16; // field 19 of proc(5), of those behind the name
  const stat = Deno.readTextFileSync("/proc/thread-self/stat");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[NICE] ?? 0);
}

/** Gives the calling thread a niceness, where that is allowed (RLIMIT_NICE); threads that it starts get it too. */
export function setNiceness(niceness: number): void {
  libc().symbols.setpriority(UAPI.PRIO_PROCESS, 0, niceness);
}

const SIG_IGN = 1n;

/**
 * From now on SIGUSR1 does nothing, where the runtime would open its debugger to every user of the box, and a file that
 * grows beyond RLIMIT_FSIZE is an error (EFBIG), where the kernel would end the process. The launcher has seen to both
 * before; from source, nobody has.
 */
export function ignoreSignals(): void {
  const { symbols } = libc();
  // The runtime sets a handler of its own some time after the start, unless one of its listeners is there before.
  Deno.addSignalListener("SIGUSR1", () => {});
  symbols.signal(UAPI.SIGUSR1, SIG_IGN);
  symbols.signal(UAPI.SIGXFSZ, SIG_IGN);
}
