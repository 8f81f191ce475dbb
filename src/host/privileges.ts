/**
 * Checks up front that the process may do what it is about to do, so that the answer is one sentence and not a failed
 * call.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { plural } from "../text.ts";

/**
 * Bit numbers of `CapEff` in /proc/self/status (capability.h). CAP_SYS_ADMIN includes the last two, which are of Linux
 * 5.8.
 */
const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;
export const CAP_SYS_ADMIN = 21n;
/** The program adds lengths of headers to packet pointers, which the verifier grants to nobody without it. */
const CAP_PERFMON = 38n;
const CAP_BPF = 39n;

/** With it, packet memory is not held against the locked-memory limit. */
export const CAP_IPC_LOCK = 14n;

/** Whether this process has a capability now. True where the kernel does not tell. */
export function hasCapability(capability: bigint): boolean {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"));
  return match === null || ((BigInt(`0x${match[1]}`) >> capability) & 1n) === 1n;
}

/** Names of the capabilities that steering needs and this process lacks. */
export function missingCapabilities(): string[] {
  const has = hasCapability;
  return [
    ...(has(CAP_NET_ADMIN) ? [] : ["CAP_NET_ADMIN"]),
    ...(has(CAP_NET_RAW) ? [] : ["CAP_NET_RAW"]),
    ...(has(CAP_BPF) || has(CAP_SYS_ADMIN) ? [] : ["CAP_BPF"]),
    ...(has(CAP_PERFMON) || has(CAP_SYS_ADMIN) ? [] : ["CAP_PERFMON"]),
  ];
}

/** @throws {SteerError} that names the capabilities missing. */
export function requirePrivileges(): void {
  const missing = missingCapabilities();
  if (missing.length === 0) return;
  throw new SteerError(`Not permitted: this process lacks ${missing.join(", ")}`, {
    hint:
      "run it as root (sudo xdpsteer ...), or give it these capabilities, as AmbientCapabilities= in a systemd unit does",
  });
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
  const [, soft = "unlimited"] = /^Max open files +(\S+)/m.exec(Deno.readTextFileSync("/proc/self/limits")) ?? [];
  const needed = FILES.process + workers * (FILES.worker + queues);
  if (soft === "unlimited" || needed <= Number(soft)) return;
  const what = `${plural(workers, "worker")} on ${plural(queues, "queue")}`;
  throw new SteerError(
    `Cannot open the sockets of ${what}: ${soft} files may be open at once, about ${needed} are needed`,
    {
      hint: "raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit), or use fewer workers or queues",
    },
  );
}
