/**
 * Privileges and memory: what the process may do, and how much it may lock.
 *
 * @module
 */
import type { InterfaceConfig } from "../config/schema.ts";
import { confinement, hasCapability, keptByRun, listCapabilities, missingCapabilities } from "../host/privileges.ts";
import { rxQueues } from "../host/rx_queues.ts";
import { type Circumstances, type MachineCheck, ok, problem, readText, type Verdict } from "../host/question.ts";
import { formatBytes } from "./finding.ts";
import { plural } from "../text.ts";

/** Of a configuration. */
const LEAST_CHUNKS = 64;

export const PROCESS_CHECKS: readonly MachineCheck[] = [
  { check: "process.capabilities", explains: ["EPERM", "EACCES"], look: capabilities },
  { check: "process.confinement", explains: [], look: confined },
  { check: "process.memlock", explains: ["EPERM", "ENOBUFS", "ENOMEM"], look: memlock },
  { check: "machine.memory", explains: ["ENOMEM"], look: memory },
  { check: "machine.huge_pages", explains: [], look: hugePages },
];

function capabilities(): Verdict {
  const missing = missingCapabilities();
  if (missing.length === 0) return ok("this process has the capabilities that steering needs");
  return problem(`this process lacks ${missing.join(", ")}`, "sudo xdpsteer ..., or AmbientCapabilities= in its unit");
}

/** Of run: this command has more, to look at other processes. */
function confined(): Verdict {
  const { capabilities, noNewPrivileges, seccompFilters } = confinement();
  if (!noNewPrivileges || seccompFilters === 0) {
    return ok(
      `this process gives up nothing of what it was started with: ${plural(capabilities.length, "capability")}; ` +
        "the self-extracting file does",
    );
  }
  return ok(
    `run, started here by this user, has ${
      listCapabilities(keptByRun(capabilities))
    }, gains none (no_new_privs), and ` +
      "has its system calls filtered (seccomp); xdpsteer version --security shows all of it",
  );
}

/** Bytes of packet memory that interfaces take, a UMEM per queue. One that is not there counts as of one queue. */
function umemBytes(interfaces: readonly InterfaceConfig[]): number {
  return interfaces.reduce(
    (sum, { name, queues, umem }) => sum + umem.chunks * umem.chunkSize * queueCount(name, queues),
    0,
  );
}

function queueCount(name: string, queues: InterfaceConfig["queues"]): number {
  if (queues !== "all") return queues.length;
  try {
    return rxQueues(name).length;
  } catch {
    return 1;
  }
}

/** Maps count against the memory cgroup since Linux 5.11; packet memory counts against this limit in every kernel. */
function memlock({ interfaces }: Circumstances): Verdict {
  if (hasCapability("IPC_LOCK")) return ok("packet memory may be locked without limit (CAP_IPC_LOCK)");
  const [, soft = "unlimited"] = /^Max locked memory +(\S+)/m.exec(readText("/proc/self/limits") ?? "") ?? [];
  if (soft === "unlimited") return ok("packet memory may be locked without limit");
  const needed = umemBytes(interfaces);
  const limit = `${formatBytes(Number(soft))} of memory may be locked`;
  if (needed <= Number(soft)) return ok(`${limit}, ${formatBytes(needed)} of packet memory are needed`);
  return problem(
    `only ${limit} without CAP_IPC_LOCK, ${formatBytes(needed)} of packet memory are needed`,
    "ulimit -l unlimited, or LimitMEMLOCK=infinity in its unit",
  );
}

function memory({ interfaces }: Circumstances): Verdict | undefined {
  const needed = umemBytes(interfaces);
  const [, kib] = /^MemAvailable: +(\d+) kB/m.exec(readText("/proc/meminfo") ?? "") ?? [];
  if (kib === undefined) return undefined;
  const available = Number(kib) * 1024;
  if (needed > available) {
    return problem(
      `${formatBytes(available)} of memory are available, ${formatBytes(needed)} of packet memory are needed`,
      `umem: { chunks: ${chunksFor(available / 2, needed, interfaces)} }`,
    );
  }
  const needs = interfaces.length === 0 ? "" : `, ${formatBytes(needed)} of packet memory are needed`;
  return ok(`${formatBytes(available)} of memory are available${needs}`);
}

/** As many chunks per queue, a power of two, as take no more than `limit` bytes in all. */
function chunksFor(limit: number, needed: number, interfaces: readonly InterfaceConfig[]): number {
  let chunks = Math.max(...interfaces.map(({ umem }) => umem.chunks));
  for (let bytes = needed; bytes > limit && chunks > LEAST_CHUNKS; bytes /= 2) chunks /= 2;
  return chunks;
}

function hugePages(): Verdict | undefined {
  const info = readText("/proc/meminfo") ?? "";
  const [, total] = /^HugePages_Total: +(\d+)/m.exec(info) ?? [];
  const [, kib] = /^Hugepagesize: +(\d+) kB/m.exec(info) ?? [];
  if (total === undefined || kib === undefined) return undefined;
  return ok(
    total === "0"
      ? "no huge pages are reserved, and none are needed"
      : `${plural(Number(total), "huge page")} of ${
        formatBytes(Number(kib) * 1024)
      } reserved; packet memory does not use them`,
  );
}
