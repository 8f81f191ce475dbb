/** How long an echo takes: round trips of a real client. */
import { Arena, type Lane, type Start } from "./contest.ts";
import { C, type Effort, OURS, type Report, type Result } from "./results.ts";
import { createNetwork, pingPong, runQueueWaitMs } from "./rig.ts";
import { percentile } from "./stats.ts";
import { startAppliance, startBaseline, startKernelEcho, type Subject } from "./subjects.ts";

const PERCENTILES = { p50: 0.5, p99: 0.99, p999: 0.999, max: 1 } as const;
const KERNEL = "kernel UDP echo";
/**
 * Each packet right after the last answer; and at a pace, as a player's or a caller's, so that who waits for one can
 * fall asleep.
 */
const PACES = [
  { name: "", intervalUs: 0, share: 1 },
  { name: ", a packet every ms", intervalUs: 1000, share: 1 / 20 },
] as const;
/**
 * Round trips before the first slice, in slices' worth: until then code is being compiled, which an appliance does
 * once.
 */
const WARM_UP = 5;

export async function latency(effort: Effort, report: Report): Promise<Result[]> {
  const results: Result[] = [];
  const starts: Record<string, Start> = { [KERNEL]: startKernelEcho };
  for (const wait of ["busy", "adaptive", "poll"] as const) {
    starts[`${C}, ${wait}`] = (network) => startBaseline(network, "echo", wait);
    starts[`${OURS}, ${wait}`] = (network) => startAppliance(network, "echo", wait);
  }
  await using arena = await Arena.open(Object.keys(starts).length, false);
  const measure = async ({ network }: Lane, slice: number): Promise<number[][]> => {
    if (slice === 0) await pingPong(network, WARM_UP * effort.pings);
    const times: number[][] = [];
    for (const { intervalUs, share } of PACES) times.push(await pingPong(network, effort.pings * share, intervalUs));
    return times;
  };
  const values = await arena.contest(starts, effort, measure, (line) => report(`echo round trip, ${line}`));
  for (const [pace, { name }] of PACES.entries()) {
    for (const [which, share] of Object.entries(PERCENTILES)) {
      for (const [subject, slices] of Object.entries(values)) {
        results.push({
          workload: `echo round trip${name}, ${which}`,
          subject,
          unit: "µs",
          better: "lower",
          // A slice is too short for what is rare; the slices of a round are of the same moments for all.
          values: inRounds(slices, effort.slices).map((round) =>
            percentile(round.flatMap((times) => times[pace]!), share) / 1000
          ),
          ...(subject.startsWith(OURS) ? { baselines: [subject.replace(OURS, C), KERNEL] } : {}),
        });
      }
    }
  }
  return results;
}

function inRounds<T>(slices: readonly T[], perRound: number): T[][] {
  return Array.from(
    { length: slices.length / perRound },
    (_, round) => slices.slice(round * perRound, (round + 1) * perRound),
  );
}

/** A long run of echoes at a fixed rate, and the pauses of the loop that answers them. */
export async function soak({ soakMs }: Effort, report: Report): Promise<Result[]> {
  const intervalUs = 100;
  const workload = `soak, busy, an echo every ${intervalUs} µs`;
  const results: Result[] = [];
  await using network = await createNetwork(1, false);
  const subjects: Readonly<Record<string, () => Promise<Subject>>> = {
    [C]: () => startBaseline(network, "echo", "busy"),
    [OURS]: () => startAppliance(network, "echo", "busy"),
  };
  for (const [subject, start] of Object.entries(subjects)) {
    report(`${workload}, ${subject}: ${soakMs / 1000} s`);
    await using running = await start();
    await pingPong(network, 2000); // compiled and settled
    const work = await running.work();
    const waited = runQueueWaitMs(running.pid);
    const times = await pingPong(network, Math.ceil(soakMs * 1000 / intervalUs), intervalUs);
    const waitedMs = runQueueWaitMs(running.pid) - waited;
    const { pauses, pauseMs } = await running.work();
    const add = (what: string, unit: string, value: number): void => {
      const baselines = subject === OURS && value > 0 ? { baselines: [C] } : {};
      results.push({ workload: `${workload}: ${what}`, subject, unit, better: "lower", values: [value], ...baselines });
    };
    for (const [which, share] of Object.entries(PERCENTILES)) add(which, "µs", percentile(times, share) / 1000);
    add("pauses of the loop over 1 ms", "", pauses - work.pauses);
    add("pauses of the loop over 1 ms, together", "ms", pauseMs - work.pauseMs);
    add("time waiting for a CPU", "ms", waitedMs);
  }
  return results;
}
