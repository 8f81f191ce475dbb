/** Forwarding to a backend: beside the kernel's own NAT, nginx, and a relay over ordinary sockets. */
import { Arena, type Lane, type Stoppable } from "./contest.ts";
import { addBackend, type Backend, type Topology } from "./forward_network.ts";
import { startForwarder, startNftables, startNginx, startRelay } from "./forward_subjects.ts";
import { type Effort, OURS, type Report, type Result } from "./results.ts";
import { pingPong } from "./rig.ts";
import { percentile } from "./stats.ts";
import type { VethNetwork } from "../../src/traffic/veth_network.ts";

type StartForward = (network: VethNetwork, backend: Backend) => Promise<Stoppable>;

/** Payloads that make frames of this many bytes, without FCS. */
const SMALL = 22;
const LARGE = 1358;
/** Six subjects and three things to measure: fewer turns than elsewhere. */
const MOST: Readonly<Record<Topology, Pick<Effort, "rounds" | "slices">>> = {
  "two-armed": { rounds: 3, slices: 3 },
  "one-armed": { rounds: 2, slices: 2 },
};
const MAX_PINGS = 2000;
/** More than the kernel's own few packets of neighbour discovery. */
const LEAST_ARRIVED = 32;
const MEGA = 1e6;

const SUBJECTS: Readonly<Record<string, StartForward>> = {
  "nftables DNAT": (network, backend) => startNftables(network, backend, false),
  "nftables DNAT, RPS": (network, backend) => startNftables(network, backend, true),
  "nginx stream": startNginx,
  "socket relay in C": startRelay,
  [`${OURS}, busy`]: (network, backend) => startForwarder(network, backend, "busy"),
  [`${OURS}, adaptive`]: (network, backend) => startForwarder(network, backend, "adaptive"),
};

interface TwoArmed {
  readonly small: number;
  readonly large: number;
  readonly times: readonly number[];
}

/** Packets per second that arrive at the backend, in millions, and round trips to it. */
export async function forward(effort: Effort, report: Report): Promise<Result[]> {
  return [...await twoArmed(effort, report), ...await oneArmed(effort, report)];
}

async function twoArmed(effort: Effort, report: Report): Promise<Result[]> {
  const measure = async (lane: Lane<Stoppable>, backend: Backend): Promise<TwoArmed> => ({
    small: await rate(lane, backend, SMALL, effort.sendMs),
    large: await rate(lane, backend, LARGE, effort.sendMs),
    times: await pingPong(lane.network, Math.min(effort.pings, MAX_PINGS)),
  });
  const values = await contest("two-armed", effort, measure, report);
  return [
    ...compare("forward, one way, 64 B", "Mpps", "higher", values, ({ small }) => small),
    ...compare("forward, one way, 1400 B", "Mpps", "higher", values, ({ large }) => large),
    ...compare("forward round trip, p50", "µs", "lower", values, ({ times }) => percentile(times, 0.5) / 1000),
    ...compare("forward round trip, p99", "µs", "lower", values, ({ times }) => percentile(times, 0.99) / 1000),
  ];
}

async function oneArmed(effort: Effort, report: Report): Promise<Result[]> {
  const measure = (lane: Lane<Stoppable>, backend: Backend): Promise<number> =>
    rate(lane, backend, SMALL, effort.sendMs);
  const values = await contest("one-armed", effort, measure, report);
  return compare("forward, one way, 64 B, one interface", "Mpps", "higher", values, (value) => value);
}

async function contest<T>(
  topology: Topology,
  effort: Effort,
  measure: (lane: Lane<Stoppable>, backend: Backend) => Promise<T>,
  report: Report,
): Promise<Readonly<Record<string, T[]>>> {
  const names = Object.keys(SUBJECTS);
  const most = MOST[topology];
  const backends = new Map<VethNetwork, Backend>();
  await using arena = await Arena.open(names.length, false, async (network, stack) => {
    backends.set(network, await addBackend(network, topology, stack));
  });
  const starts = Object.entries(SUBJECTS).map(([name, start]) =>
    [name, (network: VethNetwork) => start(network, backends.get(network)!)] as const
  );
  return await arena.contest(
    Object.fromEntries(starts),
    { ...effort, rounds: Math.min(effort.rounds, most.rounds), slices: Math.min(effort.slices, most.slices) },
    (lane: Lane<Stoppable>) => measure(lane, backends.get(lane.network)!),
    (line) => report(`forward, ${topology}, ${line}`),
  );
}

/** What a subject still holds when the sender is done counts too: some percent at most, a ring or a socket buffer. */
async function rate(
  { sender }: Lane<Stoppable>,
  backend: Backend,
  payloadBytes: number,
  durationMs: number,
): Promise<number> {
  const before = await backend.arrived();
  const { elapsedMs } = await sender.send({ durationMs, payloadBytes, fresh: true });
  const arrived = await backend.arrived() - before;
  // A subject that forwards nothing must not pass for a slow one.
  if (arrived < LEAST_ARRIVED) throw new Error("Nothing arrives at the backend");
  return arrived / (elapsedMs / 1000) / MEGA;
}

function compare<T>(
  workload: string,
  unit: string,
  better: Result["better"],
  values: Readonly<Record<string, readonly T[]>>,
  numberOf: (value: T) => number,
): Result[] {
  const baselines = Object.keys(values).filter((subject) => !subject.startsWith(OURS));
  return Object.entries(values).map(([subject, measured]) => ({
    workload,
    subject,
    unit,
    better,
    values: measured.map(numberOf),
    ...(subject.startsWith(OURS) ? { baselines } : {}),
  }));
}
