/** Packets per second, and what each costs. */
import { Arena, type Lane, type Start } from "./contest.ts";
import { C, type Effort, OURS, type Report, type Result } from "./results.ts";
import { cpuMs, PORT } from "./rig.ts";
import { type Action, startAppliance, startBaseline, type Wait } from "./subjects.ts";

/** Frame bytes without FCS, and the payload that makes them. */
const SIZES: Readonly<Record<string, number>> = { "64 B": 22, "1400 B": 1358 };
const FIXED_PPS = 500_000;

const DROP = "C, rx-drop";
/** The same program once more: how far apart two that are equal come out. */
const AGAIN = "C, again";
/** With a second rule for the same worker, which then has to read each packet's port to know its rule. */
const TWO_RULES = `${OURS}, two rules`;

/** Packets per second that each subject handled, in millions. */
export async function throughput(effort: Effort, report: Report): Promise<Result[]> {
  const results: Result[] = [];
  await using arena = await Arena.open(5, true);
  for (const action of ["count", "echo"] as const) {
    for (const [size, payloadBytes] of Object.entries(SIZES)) {
      for (const wait of ["busy", "adaptive"] as const) {
        const workload = `${action}, ${size}, ${wait}`;
        const measure = (lane: Lane): Promise<number> => rate(lane, action, payloadBytes, effort.sendMs);
        const values = await arena.contest(
          subjects(action, wait),
          action === "count" ? { ...effort, slices: Math.ceil(effort.slices / 2) } : effort,
          measure,
          (line) => report(`${workload}, ${line}`),
        );
        results.push(...compare(workload, "Mpps", "higher", values));
      }
    }
  }
  return results;
}

/** CPU time per packet at a rate that both can handle. */
export async function cpuPerPacket(effort: Effort, report: Report): Promise<Result[]> {
  const results: Result[] = [];
  await using arena = await Arena.open(5, true);
  for (const wait of ["adaptive", "poll"] as const) {
    const workload = `CPU per packet, count at 500 kpps, ${wait}`;
    const measure = (lane: Lane, slice: number): Promise<number> => cpuCost(lane, 2 * effort.sendMs, slice === 0);
    const values = await arena.contest(
      subjects("count", wait),
      { ...effort, slices: Math.ceil(effort.slices / 4) },
      measure,
      (line) => report(`${workload}, ${line}`),
      false,
    );
    results.push(...compare(workload, "ns", "lower", values));
  }
  return results;
}

/**
 * C that does the same work, xdpsteer, and for count C that never looks at a packet, as upstream's rx-drop, and two
 * rules.
 */
function subjects(action: Action, wait: Wait): Readonly<Record<string, Start>> {
  const same: Readonly<Record<string, Start>> = {
    [C]: (network) => startBaseline(network, action, wait),
    [AGAIN]: (network) => startBaseline(network, action, wait),
    [OURS]: (network) => startAppliance(network, action, wait),
  };
  if (action === "echo") return same;
  const rules = [PORT, PORT + 1].map((port) => `{ name: bench-${port}, ports: ${port}, worker: 0 }`);
  return {
    [DROP]: (network) => startBaseline(network, "drop", wait),
    ...same,
    [TWO_RULES]: (network) => startAppliance(network, action, wait, { rules }),
  };
}

function compare(
  workload: string,
  unit: string,
  better: Result["better"],
  values: Readonly<Record<string, number[]>>,
): Result[] {
  const baselines = [DROP, C].filter((subject) => Object.hasOwn(values, subject));
  return Object.entries(values).map(([subject, numbers]) => ({
    workload,
    subject,
    unit,
    better,
    values: numbers,
    ...(subject.startsWith(OURS) ? { baselines } : subject === AGAIN ? { baselines: [C] } : {}),
  }));
}

async function rate(
  { subject, sender }: Lane,
  action: Action,
  payloadBytes: number,
  durationMs: number,
): Promise<number> {
  const before = await subject.work();
  const { elapsedMs } = await sender.send({ durationMs, payloadBytes });
  const after = await subject.work();
  const packets = action === "echo" ? after.sent - before.sent : after.received - before.received;
  return packets / elapsedMs / 1000;
}

/**
 * @param warmUp As fast as can be: code is compiled after some thousand sleeps, which take seconds at the fixed rate.
 */
async function cpuCost({ subject, sender }: Lane, durationMs: number, warmUp: boolean): Promise<number> {
  const before = cpuMs(subject.pid);
  const { sent } = await sender.send({ durationMs, ...(warmUp ? {} : { ratePps: FIXED_PPS }) });
  return (cpuMs(subject.pid) - before) * 1e6 / sent;
}
