/**
 * What is measured. Each workload runs its subjects in turn, round after round, so that a slow minute of the machine meets all.
 */
import { testRun } from "../../src/ffi/libbpf.ts";
import { PortTable } from "../../src/bpf/port_table.ts";
import { SteeringProgram } from "../../src/bpf/program.ts";
import { compilePortMap } from "../../src/steering/compile.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import {
  type Action,
  cpuMs,
  createNetwork,
  firstAnswerMs,
  generate,
  pingPong,
  PORT,
  residentMib,
  startAppliance,
  startBaseline,
  startedMs,
  startKernelEcho,
  type Subject,
  type Wait,
} from "./rig.ts";
import type { VethNetwork } from "../../src/traffic/veth_network.ts";

export interface Result {
  readonly workload: string;
  readonly subject: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** One per round. */
  readonly values: number[];
  /** Subject of the same workload that this one is compared with. */
  readonly baseline?: string;
}

export interface Effort {
  readonly rounds: number;
  /** How long to send in each round. */
  readonly sendMs: number;
  readonly pings: number;
  readonly soakMs: number;
}

export const FULL: Effort = { rounds: 5, sendMs: 1000, pings: 20_000, soakMs: 60_000 };
export const QUICK: Effort = { rounds: 1, sendMs: 200, pings: 300, soakMs: 500 };

export type Report = (line: string) => void;

const C = "C";
const OURS = "xdpsteer";
/** Frame bytes without FCS, and the payload that makes them. */
const SIZES: Readonly<Record<string, number>> = { "64 B": 22, "1400 B": 1358 };

/** Packets per second that each subject handled, in millions. */
export async function throughput({ rounds, sendMs }: Effort, report: Report): Promise<Result[]> {
  const results: Result[] = [];
  await using network = await createNetwork(1, true);
  for (const action of ["count", "echo"] as const) {
    for (const [size, payloadBytes] of Object.entries(SIZES)) {
      for (const wait of ["busy", "adaptive"] as const) {
        const workload = `${action}, ${size}, ${wait}`;
        report(workload);
        const [c, ours] = pair(workload, "Mpps", "higher");
        for (let round = 0; round < rounds; round++) {
          c.values.push(await rate(network, () => startBaseline(network, action, wait), action, payloadBytes, sendMs));
          ours.values.push(
            await rate(network, () => startAppliance(network, action, wait), action, payloadBytes, sendMs),
          );
        }
        results.push(c, ours);
      }
    }
  }
  return results;
}

async function rate(
  network: VethNetwork,
  start: () => Promise<Subject>,
  action: Action,
  payloadBytes: number,
  durationMs: number,
): Promise<number> {
  await using subject = await start();
  const { elapsedMs } = await generate(network, { durationMs, payloadBytes });
  const { received, sent } = await subject.work();
  return (action === "echo" ? sent : received) / elapsedMs / 1000;
}

/** CPU time per packet at a rate that both can handle. */
export async function cpuPerPacket({ rounds, sendMs }: Effort, report: Report): Promise<Result[]> {
  const ratePps = 500_000;
  await using network = await createNetwork(1, true);
  const results: Result[] = [];
  for (const wait of ["adaptive", "poll"] as const) {
    const workload = `CPU per packet, count at 500 kpps, ${wait}`;
    report(workload);
    const [c, ours] = pair(workload, "ns", "lower");
    for (let round = 0; round < rounds; round++) {
      c.values.push(await cpuCost(network, () => startBaseline(network, "count", wait), 2 * sendMs, ratePps));
      ours.values.push(await cpuCost(network, () => startAppliance(network, "count", wait), 2 * sendMs, ratePps));
    }
    results.push(c, ours);
  }
  return results;
}

async function cpuCost(
  network: VethNetwork,
  start: () => Promise<Subject>,
  durationMs: number,
  ratePps: number,
): Promise<number> {
  await using subject = await start();
  await generate(network, { durationMs: durationMs / 4, ratePps }); // compiled and settled
  const before = cpuMs(subject.pid);
  const { sent } = await generate(network, { durationMs, ratePps });
  return (cpuMs(subject.pid) - before) * 1e6 / sent;
}

/** Round trips of a real client. */
export async function latency({ rounds, pings }: Effort, report: Report): Promise<Result[]> {
  await using network = await createNetwork(1, false);
  const subjects: Readonly<Record<string, () => Promise<Subject>>> = {
    "kernel UDP echo": () => startKernelEcho(network),
    "C, busy": () => startBaseline(network, "echo", "busy"),
    "xdpsteer, busy": () => startAppliance(network, "echo", "busy"),
    "C, adaptive": () => startBaseline(network, "echo", "adaptive"),
    "xdpsteer, adaptive": () => startAppliance(network, "echo", "adaptive"),
    "C, poll": () => startBaseline(network, "echo", "poll"),
    "xdpsteer, poll": () => startAppliance(network, "echo", "poll"),
  };
  const results: Result[] = [];
  const percentiles = ["p50", "p99", "p999", "max"] as const;
  for (const name of Object.keys(subjects)) {
    const baseline = name.startsWith(OURS) ? name.replace(OURS, C) : "kernel UDP echo";
    for (const which of percentiles) {
      const base = name === baseline ? {} : { baseline };
      results.push({
        workload: `echo round trip, ${which}`,
        subject: name,
        unit: "µs",
        better: "lower",
        values: [],
        ...base,
      });
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const [name, start] of Object.entries(subjects)) {
      report(`echo round trip, ${name}, round ${round + 1}`);
      await using _subject = await start();
      await pingPong(network, Math.ceil(pings / 10)); // compiled and settled
      const times = await pingPong(network, pings);
      for (const which of percentiles) {
        results.find((result) => result.subject === name && result.workload.endsWith(` ${which}`))!.values
          .push(times[which] / 1000);
      }
    }
  }
  return results;
}

/** What the port table costs, seen from the sender, whose CPU runs the XDP program: nanoseconds per packet in all. */
export async function steeringCost({ rounds, sendMs }: Effort, report: Report): Promise<Result[]> {
  await using network = await createNetwork(1, true);
  const tables: Readonly<Record<string, readonly string[] | undefined>> = {
    "C, redirect only": undefined,
    "xdpsteer, 1 rule": [`{ name: r, ports: ${PORT}, worker: 0 }`],
    "xdpsteer, 1,000 rules": Array.from({ length: 1000 }, (_, i) => `{ name: r${i}, ports: ${7000 + i}, worker: 0 }`),
    "xdpsteer, all ports": ['{ name: r, ports: "1-65535", worker: 0 }'],
  };
  const results = Object.keys(tables).map((subject): Result => ({
    workload: "kernel side per packet: sending, XDP, delivery",
    subject,
    unit: "ns",
    better: "lower",
    values: [],
    ...(subject.startsWith(C) ? {} : { baseline: "C, redirect only" }),
  }));
  const ports = [7000, 7001, 7123, 7200, 7456, 7600, PORT, 7999];
  for (let round = 0; round < rounds; round++) {
    for (const [subject, rules] of Object.entries(tables)) {
      report(`steering cost, ${subject}, round ${round + 1}`);
      await using _subject = rules === undefined
        ? await startBaseline(network, "count", "busy")
        : await startAppliance(network, "count", "busy", { rules });
      const all = subject === "xdpsteer, 1 rule" ? [PORT] : ports;
      const { sent, elapsedMs } = await generate(network, { durationMs: sendMs, ports: all });
      results.find((result) => result.subject === subject)!.values.push(elapsedMs * 1e6 / sent);
    }
  }
  return [...results, ...await programCost(rounds)];
}

/** The XDP program alone, by BPF_PROG_TEST_RUN, for an empty and a full table. */
async function programCost(rounds: number): Promise<Result[]> {
  const frame = buildFrame({
    source: { mac: "02:00:00:00:00:01", address: "10.0.0.1", port: 4000 },
    destination: { mac: "02:00:00:00:00:02", address: "10.0.0.2", port: PORT },
    payload: new Uint8Array(22),
  }).bytes;
  using program = SteeringProgram.load({ workerCount: 1, queueLimit: 1 });
  await using table = new PortTable(program);
  const results: Result[] = [];
  for (const [subject, last] of [["one port", PORT], ["all ports", 65535]] as const) {
    const first = last === PORT ? PORT : 1;
    await table.apply(compilePortMap([{ name: "r", ports: [{ first, last }], worker: 0, action: "drop" }], [1]), 1);
    const values: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const repeat = 1_000_000;
      const start = performance.now();
      testRun(program.fd, { data: frame, repeat });
      values.push((performance.now() - start) * 1e6 / repeat);
    }
    results.push({
      workload: "XDP program alone, drop",
      subject,
      unit: "ns",
      better: "lower",
      values,
      ...(last === PORT ? {} : { baseline: "one port" }),
    });
  }
  return results;
}

/** Throughput with more workers and queues; all packets have to arrive where they should. */
export async function scaling({ rounds, sendMs }: Effort, report: Report): Promise<Result[]> {
  const results: Result[] = [];
  for (const [queues, workers] of [[1, 1], [2, 2], [4, 4]] as const) {
    report(`${queues} queues, ${workers} workers`);
    const values: number[] = [];
    await using network = await createNetwork(queues, true);
    for (let round = 0; round < rounds; round++) {
      const rules = Array.from(
        { length: workers },
        (_, worker) => `{ name: w${worker}, ports: ${PORT + worker}, worker: ${worker} }`,
      );
      await using subject = await startAppliance(network, "count", "adaptive", { rules, workers, cpus: [] });
      const ports = rules.map((_, worker) => PORT + worker);
      const { elapsedMs } = await generate(network, { durationMs: sendMs, ports, cpus: [0, 1] });
      const { received } = await subject.work();
      const { rules: counted } = await subject.box.status();
      const stray = counted.flatMap(({ name, workers: own }) =>
        own.filter(({ worker, received: from }) => name !== `w${worker}` && from.some(({ packets }) => packets > 0))
      );
      if (stray.length > 0) throw new Error("A packet reached a worker that its port does not name");
      values.push(received / elapsedMs / 1000);
    }
    const base = workers === 1 ? {} : { baseline: "1 queue, 1 worker" };
    const subject = workers === 1 ? "1 queue, 1 worker" : `${queues} queues, ${workers} workers`;
    results.push({
      workload: "count, 64 B, adaptive, not pinned",
      subject,
      unit: "Mpps",
      better: "higher",
      values,
      ...base,
    });
  }
  return results;
}

/** From the flip to the end of the comparison, of all 65,535 ports, and packets lost meanwhile. */
export async function reload({ rounds, sendMs }: Effort, report: Report): Promise<Result[]> {
  report("reload of all ports under 100 kpps");
  const flip: number[] = [];
  const lost: number[] = [];
  await using network = await createNetwork(1, true);
  await using subject = await startAppliance(network, "count", "adaptive", {
    rules: ['{ name: all, ports: "1-65535", worker: 0 }'],
    workers: 2,
    cpus: [],
  });
  const sending = generate(network, { durationMs: 2 * sendMs + rounds * 200, ratePps: 100_000 });
  await new Promise((resolve) => setTimeout(resolve, sendMs));
  const text = await Deno.readTextFile(subject.box.configFile);
  for (let round = 0; round < rounds; round++) {
    const { code, body } = await subject.box.request(
      "PUT",
      "/v1/config",
      text.replace("worker: 0", `worker: ${1 - round % 2}`),
    );
    if (code !== 200) throw new Error(`The change was refused: ${body}`);
    flip.push(JSON.parse(body).elapsedMs);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { sent } = await sending;
  const { totals } = await subject.box.status();
  lost.push(sent - totals.received);
  const workload = "reload of 65,535 ports under load";
  return [
    { workload, subject: "flip and read back", unit: "ms", better: "lower", values: flip },
    { workload, subject: "packets lost", unit: "", better: "lower", values: lost },
  ];
}

/** From exec to the first packet answered, and memory with 4 queues and 2 workers. */
export async function startup({ rounds }: Effort, report: Report): Promise<Result[]> {
  const first: number[] = [];
  const resident: number[] = [];
  await using network = await createNetwork(4, false);
  for (let round = 0; round < rounds; round++) {
    report(`cold start, round ${round + 1}`);
    const pinging = firstAnswerMs(network);
    await using subject = await startAppliance(network, "echo", "adaptive", { workers: 2, cpus: [] });
    const answeredMs = await pinging;
    first.push(answeredMs - startedMs(subject.pid));
    await new Promise((resolve) => setTimeout(resolve, 500));
    resident.push(residentMib(subject.pid));
  }
  return [
    {
      workload: "start, 4 queues, 2 workers",
      subject: "exec to first packet answered",
      unit: "ms",
      better: "lower",
      values: first,
    },
    {
      workload: "start, 4 queues, 2 workers",
      subject: "resident memory",
      unit: "MiB",
      better: "lower",
      values: resident,
    },
  ];
}

/** A long run of echoes at a fixed rate: what the slowest ones tell of pauses. */
export async function soak({ soakMs }: Effort, report: Report): Promise<Result[]> {
  const intervalUs = 100;
  const results: Result[] = [];
  await using network = await createNetwork(1, false);
  const subjects: Readonly<Record<string, (wait: Wait) => Promise<Subject>>> = {
    [C]: (wait) => startBaseline(network, "echo", wait),
    [OURS]: (wait) => startAppliance(network, "echo", wait),
  };
  for (const [name, start] of Object.entries(subjects)) {
    report(`soak, ${name}: ${soakMs / 1000} s`);
    await using _subject = await start("busy");
    await pingPong(network, 2000);
    const times = await pingPong(network, Math.ceil(soakMs * 1000 / intervalUs), intervalUs);
    for (const which of ["p50", "p99", "p999", "max"] as const) {
      const base = name === OURS ? { baseline: C } : {};
      results.push({
        workload: `soak, echo every ${intervalUs} µs, busy, ${which}`,
        subject: name,
        unit: "µs",
        better: "lower",
        values: [times[which] / 1000],
        ...base,
      });
    }
  }
  return results;
}

function pair(workload: string, unit: string, better: Result["better"]): [Result, Result] {
  return [
    { workload, subject: C, unit, better, values: [] },
    { workload, subject: OURS, unit, better, values: [], baseline: C },
  ];
}
