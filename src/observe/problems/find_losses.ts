/**
 * Packets that are lost because there was no room: counters that should stand still, and grew lately.
 *
 * @module
 */
import { BOUND_WORDS } from "../../steering/sessions.ts";
import type { FoundProblem } from "./kinds.ts";

/** Counts so far of what should not happen. */
export interface LossCounts {
  /** By interface: packets for listed ports on queues without sockets. */
  readonly uncovered: ReadonlyMap<string, number>;
  /** By queue end. */
  readonly queues: readonly QueueLosses[];
  /** By rule. */
  readonly rules: readonly RuleLosses[];
  /** New sessions that workers refused, by what they ran out of. */
  readonly refused: Readonly<Record<Bound, number>>;
}

type Bound = keyof typeof BOUND_WORDS;
const BOUNDS = Object.keys(BOUND_WORDS) as readonly Bound[];

export interface QueueLosses {
  readonly interface: string;
  readonly queue: number;
  /** By worker: packets that found its rx ring full, and those that found no chunk. */
  readonly rxRingFull: readonly number[];
  readonly rxDropped: readonly number[];
}

export interface RuleLosses {
  readonly rule: string;
  readonly sessionsFull: number;
  readonly txRingFull: number;
}

/** What grew within this time is told. */
const LATELY_MS = 10_000;

/** Counters by name, with when they last grew. */
export class Growth {
  readonly #counters = new Map<string, { count: number; grewMs: number }>();

  /** Takes note of a counter. @returns whether it grew lately. What it had when it is first seen is no growth. */
  grew(key: string, count: number, nowMs: number): boolean {
    const counter = this.#counters.get(key);
    if (counter === undefined) {
      this.#counters.set(key, { count, grewMs: -Infinity });
      return false;
    }
    if (count > counter.count) counter.grewMs = nowMs;
    counter.count = count; // one of a rule that has gone and come again begins at zero
    return nowMs - counter.grewMs <= LATELY_MS;
  }
}

/** @param stoodStill Whether a worker did not run lately, which larger rings do not help against. */
export function lossProblems(
  { uncovered, queues, rules, refused }: LossCounts,
  growth: Growth,
  nowMs: number,
  stoodStill: (worker: number) => boolean,
): FoundProblem[] {
  const problems: FoundProblem[] = [];
  for (const [name, packets] of uncovered) {
    if (!growth.grew(`uncovered ${name}`, packets, nowMs)) continue;
    problems.push({
      kind: "uncovered_queue",
      subject: name,
      message: `Packets for listed ports arrive on a queue of ${name} without sockets and go to the kernel stack`,
      fix: `ethtool -l ${name} shows its queues; systemctl restart xdpsteer covers them, with queues: all`,
    });
  }
  for (const queue of queues) problems.push(...queueProblems(queue, growth, nowMs, stoodStill));
  const full = BOUNDS.filter((bound) => growth.grew(`refused ${bound}`, refused[bound], nowMs));
  for (const { rule, sessionsFull, txRingFull } of rules) {
    // A worker counts the packet first, and what there was not enough of at the end of its batch.
    if (growth.grew(`sessions_full ${rule}`, sessionsFull, nowMs) && full.length > 0) {
      problems.push({
        kind: "sessions_full",
        subject: rule,
        message: `Rule ${rule} refuses new clients: ${full.map((bound) => BOUND_WORDS[bound].full).join("; or ")}`,
        fix: full.map((bound) => BOUND_WORDS[bound].remedy).join("; or "),
      });
    }
    if (growth.grew(`tx_ring_full ${rule}`, txRingFull, nowMs)) {
      problems.push({
        kind: "answers_lost",
        subject: rule,
        message: `Packets of rule ${rule} are not sent: the tx ring is full`,
        fix: "raise rings.tx and rings.completion and restart, or answer less",
      });
    }
  }
  return problems;
}

function queueProblems(
  losses: QueueLosses,
  growth: Growth,
  nowMs: number,
  stoodStill: (worker: number) => boolean,
): FoundProblem[] {
  const place = `${losses.interface} queue ${losses.queue}`;
  const growing = (what: string, counts: readonly number[]): number[] =>
    counts.flatMap((count, worker) => growth.grew(`${what} ${place} ${worker}`, count, nowMs) ? [worker] : []);
  const [still, full] = parted(growing("rx_ring_full", losses.rxRingFull), stoodStill);
  const dropped = growing("rx_dropped", losses.rxDropped);
  const reasons = [
    ...still.length > 0 ? [`${workers(still)} stood still and took none`] : [],
    ...full.length > 0 ? [`the rx ring of ${workers(full)} is full`] : [],
    ...dropped.length > 0 ? [`no chunk is free for ${workers(dropped)}, or packets are larger than a chunk`] : [],
  ];
  if (reasons.length === 0) return [];
  return [{
    kind: "packets_lost",
    subject: place,
    message: `Queue ${losses.queue} of ${losses.interface} loses packets: ${reasons.join("; ")}`,
    fix: still.length > 0
      ? "xdpsteer status says if it still does; larger rings do not help"
      : full.length > 0
      ? "xdpsteer ports set PORT --worker hash spreads a port over all workers; or raise rings.rx and restart"
      : "raise umem.chunks and rings.fill and restart",
  }];
}

/** Those for which something holds, and the others. */
function parted(ids: readonly number[], holds: (id: number) => boolean): readonly [number[], number[]] {
  return [ids.filter(holds), ids.filter((id) => !holds(id))];
}

function workers(ids: readonly number[]): string {
  return ids.length === 1 ? `worker ${ids[0]}` : `workers ${ids.join(", ")}`;
}
