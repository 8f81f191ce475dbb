/**
 * CPUs: how many there are for the workers, and whether those are near the device.
 *
 * @module
 */
import type { InterfaceConfig } from "../config/schema.ts";
import {
  type Circumstances,
  type InterfaceCheck,
  type MachineCheck,
  ok,
  problem,
  readText,
  type Verdict,
  warning,
} from "../host/question.ts";
import { parseList } from "./finding.ts";
import { plural } from "../text.ts";

export const CPU_CHECK: MachineCheck = { check: "machine.cpus", explains: ["EINVAL"], look: cpus };
export const NUMA_CHECK: InterfaceCheck = { check: "interface.numa", explains: [], look: numa };

/** CPUs that this process may run on: those of its cgroup, or of its affinity where that is narrower. */
function usableCpus(online: readonly number[]): readonly number[] {
  const [, list] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readText("/proc/self/status") ?? "") ?? [];
  return list === undefined ? online : parseList(list);
}

function cpus({ workers }: Circumstances): Verdict {
  const online = parseList(readText("/sys/devices/system/cpu/online") ?? "");
  const usable = usableCpus(online);
  const text = plural(usable.length, "CPU");
  if (workers === undefined) return ok(text);
  const fix = `workers: { cpus: [${usable.slice(0, workers.count).join(", ")}] }`;
  const absent = workers.cpus.filter((cpu) => !online.includes(cpu));
  if (absent.length > 0) {
    return problem(`CPU ${absent.join(", ")} of workers.cpus is not there: CPUs ${online.join(", ")} are`, fix);
  }
  const foreign = workers.cpus.filter((cpu) => !usable.includes(cpu));
  if (foreign.length > 0) {
    return warning(`CPU ${foreign.join(", ")} of workers.cpus is none that this process may run on`, fix);
  }
  if (workers.count > usable.length) {
    return warning(
      `${workers.count} workers share ${text}: they wait for each other`,
      `workers: { count: ${usable.length} }`,
    );
  }
  return ok(`${text} for ${plural(workers.count, "worker")}`);
}

function numa({ name }: InterfaceConfig, { workers }: Circumstances): Verdict | undefined {
  const node = Number(readText(`/sys/class/net/${name}/device/numa_node`) ?? -1);
  const list = readText(`/sys/devices/system/node/node${node}/cpulist`);
  if (node < 0 || list === undefined) return undefined;
  const near = parseList(list);
  const far = (workers?.cpus ?? []).filter((cpu) => !near.includes(cpu));
  if (far.length === 0) return ok(`the device is on NUMA node ${node}, with CPUs ${list}`);
  return warning(
    `the device is on NUMA node ${node}, with CPUs ${list}, and workers on CPU ${far.join(", ")} are not`,
    `workers: { cpus: [${near.slice(0, workers!.count).join(", ")}] }`,
  );
}
