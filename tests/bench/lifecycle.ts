/** More workers and queues, a change of all ports, and a start. */
import { TempDir } from "../e2e/support/command.ts";
import type { Effort, Report, Result } from "./results.ts";
import { BUILD, createNetwork, firstAnswerMs, PORT, residentMib } from "./rig.ts";
import { Sender } from "./sender.ts";
import { startAppliance } from "./subjects.ts";

/**
 * Between one change and the next, which waits until the kernel has let go of the half of the table that it will write:
 * an RCU grace period, long beside a sender that spins in the kernel.
 */
const SETTLE_MS = 300;

/** Throughput with more workers and queues; all packets have to arrive where they should. */
export async function scaling({ rounds, sendMs }: Effort, report: Report): Promise<Result[]> {
  const results: Result[] = [];
  for (const [queues, workers] of [[1, 1], [2, 2], [4, 4]] as const) {
    report(`${queues} queues, ${workers} workers`);
    const values: number[] = [];
    await using network = await createNetwork(queues, true);
    await using sender = new Sender(network);
    for (let round = 0; round < rounds; round++) {
      const rules = Array.from(
        { length: workers },
        (_, worker) => `{ name: w${worker}, ports: ${PORT + worker}, worker: ${worker} }`,
      );
      await using subject = await startAppliance(network, "count", "adaptive", { rules, workers, cpus: [] });
      const ports = rules.map((_, worker) => PORT + worker);
      const { elapsedMs } = await sender.send({ durationMs: 2 * sendMs, ports, cpus: [0, 1] });
      const { received } = await subject.work();
      const { rules: counted } = await subject.box.status();
      const stray = counted.flatMap(({ name, workers: own }) =>
        own.filter(({ worker, received: from }) => name !== `w${worker}` && from.some(({ packets }) => packets > 0))
      );
      if (stray.length > 0) throw new Error("A packet reached a worker that its port does not name");
      values.push(received / elapsedMs / 1000);
    }
    const base = workers === 1 ? {} : { baselines: ["1 queue, 1 worker"] };
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
export async function reload({ rounds }: Effort, report: Report): Promise<Result[]> {
  report("reload of all ports under 100 kpps");
  const changes = 5 * rounds;
  const flip: number[] = [];
  const lost: number[] = [];
  await using network = await createNetwork(1, true);
  await using subject = await startAppliance(network, "count", "adaptive", {
    rules: ['{ name: all, ports: "1-65535", worker: 0 }'],
    workers: 2,
    cpus: [],
  });
  await using sender = new Sender(network);
  const sending = sender.send({ durationMs: changes * (SETTLE_MS + 50), ratePps: 100_000 });
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const text = await Deno.readTextFile(subject.box.configFile);
  for (let change = 0; change < changes; change++) {
    const { code, body } = await subject.box.request(
      "PUT",
      "/v1/config",
      text.replace("worker: 0", `worker: ${1 - change % 2}`),
    );
    if (code !== 200) throw new Error(`The change was refused: ${body}`);
    flip.push(JSON.parse(body).elapsedMs);
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
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
  const workload = "start, 4 queues, 2 workers";
  const again: number[] = [];
  const changed: number[] = [];
  const resident: number[] = [];
  await using network = await createNetwork(4, false);
  await using temporary = await TempDir.create();
  const start = async (comment: string): Promise<number> => {
    const pinging = firstAnswerMs(network);
    // ip(8), which enters the namespace, takes some 20 ms of its own.
    const execTime = `${temporary.path}/exec_time`;
    const as = [`${BUILD}/exec_time`, execTime];
    const options = { workers: 2, cpus: [], directory: temporary.path, comment, as };
    await using subject = await startAppliance(network, "echo", "adaptive", options);
    const answeredMs = await pinging;
    await new Promise((resolve) => setTimeout(resolve, 500));
    resident.push(residentMib(subject.pid));
    return answeredMs - Number(await Deno.readTextFile(execTime));
  };
  for (let round = 0; round < rounds; round++) {
    report(`start, round ${round + 1}`);
    changed.push(await start(`round ${round}`));
    again.push(await start(`round ${round}`));
  }
  const result = (subject: string, unit: string, values: number[]): Result => ({
    workload,
    subject,
    unit,
    better: "lower",
    values,
  });
  return [
    result("exec to first packet answered", "ms", again),
    result("the same, configuration changed", "ms", changed),
    result("resident memory", "MiB", resident),
  ];
}
