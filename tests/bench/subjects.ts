/** The programs that are compared: each receives on the steer side and is asked for what it did so far. */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { Appliance } from "../e2e/support/appliance.ts";
import { INTERFACES, type VethNetwork } from "../../src/traffic/veth_network.ts";
import { BUILD, PORT, SUBJECT_CPU } from "./rig.ts";

export type Action = "count" | "echo";
export type Wait = "busy" | "poll" | "adaptive";

/** What a subject did since it was asked before. */
export interface Work {
  readonly received: number;
  readonly sent: number;
  /** Of a millisecond or more, while spinning. */
  readonly pauses: number;
  readonly pauseMs: number;
}

/** A program that receives on the steer side. */
export interface Subject extends AsyncDisposable {
  /** Packets received and sent since it runs. */
  work(): Promise<Work>;
  readonly pid: number;
}

/** Ports that the C program lists in xdpsteer's own table, in turn under a number of rules. */
export interface Listed {
  readonly first: number;
  readonly last: number;
  readonly rules: number;
}

/** The C program over AF_XDP: behind an XDP program that only redirects, or behind xdpsteer's. */
export async function startBaseline(
  network: VethNetwork,
  action: Action | "drop",
  wait: Wait,
  listed?: Listed,
): Promise<Subject> {
  const args = ["-i", INTERFACES.steer, "-m", action, "-w", wait, "-c", `${SUBJECT_CPU}`];
  if (listed === undefined) args.push("-o", `${BUILD}/redirect_only.bpf.o`);
  else args.push("-o", "build/steer.bpf.o", "-p", `${listed.first}-${listed.last}`, "-r", `${listed.rules}`);
  return await startC(network, "baseline", args);
}

/** The C program over an ordinary socket. */
export async function startKernelEcho(network: VethNetwork): Promise<Subject> {
  return await startC(network, "kernel_echo", [`${PORT}`, `${SUBJECT_CPU}`]);
}

async function startC(network: VethNetwork, name: string, args: string[]): Promise<Subject> {
  const child = network.spawn("steer", [`${BUILD}/${name}`, ...args], { stderr: "inherit" });
  const lines = readLines(child.stdout);
  if (await lines.next() !== "ready") throw new Error(`${name} does not start`);
  return {
    pid: child.pid,
    work: async () => {
      child.kill("SIGUSR1");
      return JSON.parse(await lines.next()) as Work;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await child.status;
      lines.close();
    },
  };
}

export interface ApplianceOptions {
  readonly rules?: readonly string[];
  readonly workers?: number;
  /** Default: the first worker on the subject's CPU. Empty: not pinned. */
  readonly cpus?: readonly number[];
  /** Where the configuration is; default: a new place. */
  readonly directory?: string;
  /** Ends the configuration. */
  readonly comment?: string;
  /** Words before the program's. */
  readonly as?: readonly string[];
}

/** xdpsteer, as an operator runs it. */
export async function startAppliance(
  network: VethNetwork,
  action: Action,
  wait: Wait,
  { rules, workers = 1, cpus = [SUBJECT_CPU], directory, comment = "", as = [] }: ApplianceOptions = {},
): Promise<Subject & { readonly box: Appliance }> {
  const lines = rules ?? [`{ name: bench, ports: ${PORT}, worker: 0, action: ${action} }`];
  const config = (socket: string): string =>
    `version: 1
interfaces: [{ name: ${INTERFACES.steer}, zero_copy: off }]
workers: { count: ${workers}, wait: ${wait}, cpus: [${cpus.join(", ")}] }
steering:
${lines.map((line) => `  - ${line}`).join("\n")}
control: { socket: ${socket}, http: "off" }
# ${comment}
`;
  const box = await Appliance.start(network, config, { as, ...(directory === undefined ? {} : { directory }) });
  const work = async (): Promise<Work> => {
    const { totals, workers: [first] } = await box.status();
    const { pauses, pauseMs } = first!.loop;
    return { received: totals.received, sent: totals.fates["echoed"]!, pauses: pauses!, pauseMs: pauseMs! };
  };
  return { pid: box.pid, work, box, [Symbol.asyncDispose]: () => box[Symbol.asyncDispose]() };
}

/** What a child prints, line by line. */
export function readLines(stream: globalThis.ReadableStream<Uint8Array>): { next(): Promise<string>; close(): void } {
  const reader = createInterface(Readable.fromWeb(stream as ReadableStream<Uint8Array>));
  const lines = reader[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { done, value } = await lines.next();
      if (done) throw new Error("The program ended");
      return value;
    },
    close: () => reader.close(),
  };
}
