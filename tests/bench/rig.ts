/**
 * What the benchmarks run on: a veth between two namespaces, one subject at a time on the one side, a sender on the
 * other.
 *
 * CPU 1 sends, and with it, in its softirq, the kernel receives; CPU 0 runs the subject. All subjects are treated the
 * same.
 */
import { INTERFACES, IPV4, MACS, VethNetwork } from "../../src/traffic/veth_network.ts";

export const SUBJECT_CPU = 0;
export const SENDER_CPU = 1;
export const PORT = 7777;
export const BUILD = "build/bench";

async function command(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args }).output();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Compiles the C programs of this folder. */
export async function build(): Promise<void> {
  await Deno.mkdir(BUILD, { recursive: true });
  const c = (name: string, ...libraries: string[]): Promise<void> =>
    command(
      "gcc",
      "-O3",
      "-march=native",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-o",
      `${BUILD}/${name}`,
      `tests/bench/${name}.c`,
      ...libraries,
    );
  const include = `/usr/include/${Deno.build.arch}-linux-gnu`;
  const bpf = (name: string): Promise<void> =>
    command(
      "clang",
      "-O2",
      "-g",
      "-Wall",
      "-Werror",
      "-target",
      "bpf",
      "-mcpu=v3",
      "-I",
      include,
      "-c",
      `tests/bench/${name}.bpf.c`,
      "-o",
      `${BUILD}/${name}.bpf.o`,
    );
  await Promise.all([
    c("baseline", "-lxdp", "-lbpf"),
    c("exec_time"),
    c("kernel_echo"),
    c("ping_pong"),
    c("udp_relay"),
    bpf("fresh_source"),
    bpf("vary_source"),
    bpf("redirect_only"),
    bpf("tc_backend"),
    bpf("xdp_drop"),
  ]);
}

/** A network whose client side swallows what comes back before its stack sees it. */
export async function createNetwork(queues: number, swallow: boolean): Promise<VethNetwork> {
  const network = await VethNetwork.create({ queues });
  // The redirect-only program takes ARP too, so nobody would answer it.
  for (const [side, other] of [["client", "steer"], ["steer", "client"]] as const) {
    const neighbour = [IPV4[other], "lladdr", MACS[other], "dev", INTERFACES[side], "nud", "permanent"];
    await network.exec(side, ["ip", "neigh", "replace", ...neighbour]);
  }
  if (swallow) {
    const program = `${Deno.cwd()}/${BUILD}/xdp_drop.bpf.o`;
    await network.exec("client", ["ip", "link", "set", INTERFACES.client, "xdpdrv", "obj", program, "sec", "xdp"]);
  }
  return network;
}

/**
 * Round trips of a real client.
 *
 * @param intervalUs From one packet to the next, on average; 0: each right after the last answer.
 * @returns Those of all that were answered, in nanoseconds.
 */
export async function pingPong(network: VethNetwork, count: number, intervalUs = 0): Promise<number[]> {
  const argv = [`${BUILD}/ping_pong`, IPV4.steer, `${PORT}`, `${count}`, `${SENDER_CPU}`, `${intervalUs}`];
  return JSON.parse(await network.exec("client", argv));
}

/** Sends until the first answer comes. @returns when that was, in ms since boot. */
export async function firstAnswerMs(network: VethNetwork): Promise<number> {
  return Number(await network.exec("client", [`${BUILD}/ping_pong`, IPV4.steer, `${PORT}`, "0", `${SENDER_CPU}`]));
}

/** Time on a CPU of the threads that a process has now, in ms. */
export function cpuMs(pid: number): number {
  return sumSchedstat(pid, 0);
}

/** Time that a process's data path, by the name of its thread, was ready to run and waited for a CPU, in ms. */
export function runQueueWaitMs(pid: number): number {
  return sumSchedstat(pid, 1, /^(baseline|worker-)/);
}

function sumSchedstat(pid: number, field: number, threads = /./): number {
  let ns = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const thread = `/proc/${pid}/task/${name}`;
    try {
      if (!threads.test(Deno.readTextFileSync(`${thread}/comm`))) continue;
      ns += Number(Deno.readTextFileSync(`${thread}/schedstat`).split(" ")[field]);
    } catch {
      // It ended meanwhile.
    }
  }
  return ns / 1e6;
}

/** Resident memory of a process in MiB. */
export function residentMib(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  return Number(match![1]) / 1024;
}
