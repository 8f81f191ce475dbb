/**
 * Packets that are lost because there was no room: counters that should stand still, and grow.
 *
 * @module
 */
import { BOUND_WORDS } from "../../steering/sessions.ts";
import { ANSWERS } from "../../steering/slots.ts";
import type { FoundProblem } from "./kinds.ts";

/** Counts so far of what should not happen. */
export interface LossCounts {
  /** By interface: packets for listed ports on queues without sockets. */
  readonly uncovered: ReadonlyMap<string, number>;
  /** By queue end. */
  readonly queues: readonly QueueLosses[];
  /** By rule; what backends answer is one more. */
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
  /** Its name, or {@linkcode ANSWERS}. */
  readonly rule: string;
  /** By workers. */
  readonly received: number;
  readonly sessionsFull: number;
  readonly tooBig: number;
  readonly txRingFull: number;
}

/**
 * What grew within this time goes on. Longer than from one look to the next, so that what goes on is one problem; and
 * short enough that its end is told within two seconds.
 */
const LATELY_MS = 700;

/** Packets too large are told of from this share of a rule's packets on, and not of single ones: path MTU discovery. */
const TOO_BIG_SHARE = 0.01;
const TOO_BIG_PACKETS = 5;
const SHARE_MS = 10_000;

/** Counters by name, with when they last grew; and shares of a rule's packets. */
export class Growth {
  readonly #counters = new Map<string, { count: number; grewMs: number }>();
  readonly #spans = new Map<string, { sinceMs: number; tooBig: number; received: number; share: number }>();

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

  /** Takes note of a rule's packets. @returns The share of those too large in the last ten seconds; 0: too small. */
  tooBigShare({ rule, tooBig, received }: RuleLosses, nowMs: number): number {
    const span = this.#spans.get(rule);
    if (span === undefined || received < span.received || tooBig < span.tooBig) {
      this.#spans.set(rule, { sinceMs: nowMs, tooBig, received, share: 0 });
      return 0;
    }
    if (nowMs - span.sinceMs >= SHARE_MS) {
      const [packets, all] = [tooBig - span.tooBig, received - span.received];
      const share = packets >= TOO_BIG_PACKETS && packets >= all * TOO_BIG_SHARE ? packets / all : 0;
      Object.assign(span, { sinceMs: nowMs, tooBig, received, share });
    }
    return span.share;
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
  for (const losses of rules) {
    const { rule, sessionsFull, txRingFull } = losses;
    // A worker counts the packet first, and what there was not enough of at the end of its batch.
    if (growth.grew(`sessions_full ${rule}`, sessionsFull, nowMs) && full.length > 0) {
      problems.push({
        kind: "sessions_full",
        subject: rule,
        message: `Rule ${rule} refuses new clients: ${full.map((bound) => BOUND_WORDS[bound].full).join("; or ")}`,
        fix: full.map((bound) => BOUND_WORDS[bound].remedy).join("; or "),
      });
    }
    const share = growth.tooBigShare(losses, nowMs);
    if (share > 0) problems.push(tooBigProblem(rule, share));
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

function tooBigProblem(rule: string, share: number): FoundProblem {
  const [whose, where] = rule === ANSWERS ? ["the backends' answers", "clients"] : [`rule ${rule}`, "backends"];
  const percent = Math.min(100, Math.round(100 * share));
  return {
    kind: "packets_too_big",
    subject: rule,
    message: `${percent} % of the packets of ${whose} are dropped: they are larger than the MTU or the chunks of the ` +
      `way to the ${where}`,
    fix: "set the same mtu (ip link set) and umem: { chunk_size } on both interfaces, or a smaller mtu where the " +
      "packets are made: xdpsteer does not fragment, and a sender of IPv4 without DF is not told the size",
  };
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
