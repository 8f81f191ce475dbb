/**
 * What the benchmarks run on: a veth between two namespaces, one subject at a time on the one side, a sender on the other.
 *
 * CPU 1 sends, and with it, in its softirq, the kernel receives; CPU 0 runs the subject. All subjects are treated the same.
 */
import { fileURLToPath } from "node:url";
import { Appliance } from "../e2e/support/appliance.ts";
import { INTERFACES, IPV4, MACS, VethNetwork } from "../../src/traffic/veth_network.ts";
import type { GeneratorOrder, GeneratorReport } from "./generator.ts";

export const SUBJECT_CPU = 0;
export const SENDER_CPU = 1;
export const PORT = 7777;
const BUILD = "build/bench";
const GENERATOR = fileURLToPath(new URL("./generator.ts", import.meta.url));

export type Action = "count" | "echo";
export type Wait = "busy" | "poll" | "adaptive";

/** What a subject did since it was asked before. */
export interface Work {
  readonly received: number;
  readonly sent: number;
}

/** A program that receives on the steer side. */
export interface Subject extends AsyncDisposable {
  /** Packets received and sent since it runs. */
  work(): Promise<Work>;
  readonly pid: number;
}

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
    c("kernel_echo"),
    c("ping_pong"),
    bpf("redirect_only"),
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

/** The C program over AF_XDP. */
export async function startBaseline(
  network: VethNetwork,
  action: Action,
  wait: Wait,
): Promise<Subject & { end(): Promise<Work> }> {
  const mode = action === "echo" ? "echo" : "drop";
  const args = [
    "-i",
    INTERFACES.steer,
    "-o",
    `${BUILD}/redirect_only.bpf.o`,
    "-m",
    mode,
    "-w",
    wait,
    "-c",
    `${SUBJECT_CPU}`,
  ];
  return await startC(network, "baseline", args);
}

/** The C program over an ordinary socket. */
export async function startKernelEcho(network: VethNetwork): Promise<Subject> {
  return await startC(network, "kernel_echo", [`${PORT}`, `${SUBJECT_CPU}`]);
}

async function startC(network: VethNetwork, name: string, args: string[]): Promise<Subject & { end(): Promise<Work> }> {
  const child = network.spawn("steer", [`${BUILD}/${name}`, ...args], { stderr: "inherit" });
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader.read();
  if (!first.value?.startsWith("ready")) throw new Error(`${name} does not start`);
  let ended: Promise<Work> | undefined;
  const end = (): Promise<Work> =>
    ended ??= (async () => {
      child.kill("SIGTERM");
      let text = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
      await child.status;
      return text === "" ? { received: 0, sent: 0 } : JSON.parse(text) as Work;
    })();
  return { pid: child.pid, work: end, end, [Symbol.asyncDispose]: async () => void await end() };
}

export interface ApplianceOptions {
  readonly rules?: readonly string[];
  readonly workers?: number;
  /** Default: the first worker on the subject's CPU. Empty: not pinned. */
  readonly cpus?: readonly number[];
}

/** xdpsteer, as an operator runs it. */
export async function startAppliance(
  network: VethNetwork,
  action: Action,
  wait: Wait,
  { rules, workers = 1, cpus = [SUBJECT_CPU] }: ApplianceOptions = {},
): Promise<Subject & { readonly box: Appliance }> {
  const lines = rules ?? [`{ name: bench, ports: ${PORT}, worker: 0, action: ${action} }`];
  const box = await Appliance.start(network, (socket) =>
    `version: 1
interfaces: [{ name: ${INTERFACES.steer}, zero_copy: off }]
workers: { count: ${workers}, wait: ${wait}, cpus: [${cpus.join(", ")}] }
steering:
${lines.map((line) => `  - ${line}`).join("\n")}
control: { socket: ${socket}, http: "off" }
`);
  const work = async (): Promise<Work> => {
    const { totals } = await box.status();
    return { received: totals.received, sent: totals.fates["echoed"]! };
  };
  return { pid: box.pid, work, box, [Symbol.asyncDispose]: () => box[Symbol.asyncDispose]() };
}

/** Sends from the client side; returns when all is out. */
export async function generate(
  network: VethNetwork,
  order: Partial<GeneratorOrder> & { durationMs: number },
): Promise<GeneratorReport> {
  const full: GeneratorOrder = { ports: [PORT], payloadBytes: 22, flows: 64, cpus: [SENDER_CPU], ...order };
  const argv = [Deno.execPath(), "run", "--quiet", "-A", GENERATOR, "--json", JSON.stringify(full)];
  const { success, stdout, stderr } = await network.spawn("client", argv).output();
  if (!success) throw new Error(`The generator failed: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

export interface PingPong {
  readonly count: number;
  readonly lost: number;
  /** Nanoseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export async function pingPong(network: VethNetwork, count: number, intervalUs = 0): Promise<PingPong> {
  const argv = [`${BUILD}/ping_pong`, IPV4.steer, `${PORT}`, `${count}`, `${SENDER_CPU}`, `${intervalUs}`];
  return JSON.parse(await network.exec("client", argv));
}

/** Sends until the first answer comes. @returns when that was, in ms since boot. */
export async function firstAnswerMs(network: VethNetwork): Promise<number> {
  return Number(await network.exec("client", [`${BUILD}/ping_pong`, IPV4.steer, `${PORT}`, "0", `${SENDER_CPU}`]));
}

/** When a process was started, in ms since boot, to 10 ms. */
export function startedMs(pid: number): number {
  return Number(Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]!.split(" ")[19]) * 10;
}

/** Time on a CPU of a process with all its threads, in ms. */
export function cpuMs(pid: number): number {
  let ns = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    ns += Number(Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ")[0]);
  }
  return ns / 1e6;
}

/** Resident memory of a process in MiB. */
export function residentMib(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  return Number(match![1]) / 1024;
}
