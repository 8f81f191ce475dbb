/**
 * Packets that are lost because there was no room: counters that should stand still, and grow.
 *
 * @module
 */
import { BOUND_WORDS } from "../../steering/sessions.ts";
import { TRANSLATION_PORTS } from "../../steering/slots.ts";
import type { FoundProblem } from "./kinds.ts";

/** Counts so far of what should not happen. */
export interface LossCounts {
  /** By interface: packets for listed ports on queues without sockets. */
  readonly uncovered: ReadonlyMap<string, number>;
  /** By queue end. */
  readonly queues: readonly QueueLosses[];
  /** By rule; what comes to translation ports and is of no session is one more. */
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
  /** Its name, or {@linkcode TRANSLATION_PORTS}. */
  readonly rule: string;
  /** By workers. */
  readonly received: number;
  readonly sessionsFull: number;
  readonly tooBig: number;
  readonly txRingFull: number;
  /** First fragments that the XDP program dropped; workers have not received them. */
  readonly fragments: number;
  /** What came back to the rule from its backends; and of that what was too large, or not sent. */
  readonly answers: number;
  readonly answersTooBig: number;
  readonly answersNotSent: number;
}

/**
 * What grew within this time goes on. Longer than from one look to the next, so that what goes on is one problem; and
 * short enough that its end is told within two seconds.
 */
const LATELY_MS = 700;

/**
 * Packets too large, and fragments, are told of from this share of a rule's packets on. Single ones are path MTU
 * discovery.
 */
const TOLD_SHARE = 0.01;
const TOLD_PACKETS = 5;
const SHARE_MS = 10_000;

/** Counters by name, with when they last grew; and shares of a rule's packets. */
export class Growth {
  readonly #counters = new Map<string, { count: number; grewMs: number }>();
  readonly #spans = new Map<string, { sinceMs: number; lost: number; all: number; share: number }>();

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

  /** Takes note of a rule's packets. @returns The share of those lost in the last ten seconds; 0: too small. */
  share(key: string, lost: number, all: number, nowMs: number): number {
    const span = this.#spans.get(key);
    if (span === undefined || all < span.all || lost < span.lost) {
      this.#spans.set(key, { sinceMs: nowMs, lost, all, share: 0 });
      return 0;
    }
    if (nowMs - span.sinceMs >= SHARE_MS) {
      const [packets, of] = [lost - span.lost, all - span.all];
      const share = packets >= TOLD_PACKETS && packets >= of * TOLD_SHARE ? packets / of : 0;
      Object.assign(span, { sinceMs: nowMs, lost, all, share });
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
  const allAnswers = rules.reduce((sum, { answers }) => sum + answers, 0);
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
    problems.push(...tooBigProblems(losses, allAnswers, growth, nowMs));
    if (growth.grew(`tx_ring_full ${rule}`, txRingFull + losses.answersNotSent, nowMs)) {
      problems.push({
        kind: "answers_lost",
        subject: rule,
        message: `Packets of rule ${rule} are not sent: the tx ring is full`,
        fix: "raise rings.tx, or answer less",
      });
    }
  }
  return problems;
}

/**
 * Packets that are larger than the way out allows, and those that came in fragments because of that. Answers in
 * fragments are of no rule, since only a whole one tells its session: they are a part of all rules' answers.
 */
function tooBigProblems(losses: RuleLosses, allAnswers: number, growth: Growth, nowMs: number): FoundProblem[] {
  const { rule, tooBig, fragments, received, answers, answersTooBig } = losses;
  if (rule === TRANSLATION_PORTS) {
    const cut = growth.share(`fragments ${rule}`, fragments, received + allAnswers + fragments, nowMs);
    return cut === 0 ? [] : [tooBigProblem(rule, [lost(cut, "the backends' answers", [cutWords("")])], CUT_ANSWERS)];
  }
  const all = received + fragments;
  const large = growth.share(`too_big ${rule}`, tooBig, all, nowMs);
  const cut = growth.share(`fragments ${rule}`, fragments, all, nowMs);
  const back = growth.share(`answers too_big ${rule}`, answersTooBig, answers, nowMs);
  const reasons = [
    ...large === 0 ? [] : [largeWords("backends")],
    ...cut === 0 ? [] : [cutWords(large === 0 ? "" : `(${percent(cut)}) `)],
  ];
  const parts = [
    ...reasons.length === 0 ? [] : [lost(large + cut, `the packets of rule ${rule}`, reasons)],
    ...back === 0 ? [] : [lost(back, `the answers to clients of rule ${rule}`, [largeWords("clients")])],
  ];
  return parts.length === 0 ? [] : [tooBigProblem(rule, parts, large + back === 0 ? CUT_PACKETS : TOO_BIG)];
}

const percent = (share: number): string => `${Math.min(100, Math.round(100 * share))} %`;
const largeWords = (where: string): string => `they are larger than the MTU or the chunks of the way to the ${where}`;
const cutWords = (share: string): string => `they ${share}came in fragments, which are not steered`;
const lost = (share: number, whose: string, reasons: readonly string[]): string =>
  `${percent(share)} of ${whose} are dropped: ${reasons.join("; or ")}`;

function tooBigProblem(subject: string, parts: readonly string[], fix: string): FoundProblem {
  return { kind: "packets_too_big", subject, message: parts.join(". "), fix };
}

const TOO_BIG =
  "set the same mtu (ip link set) and umem: { chunk_size } on both interfaces, or a smaller mtu where the " +
  "packets are made: xdpsteer does not fragment, and a sender of IPv4 without DF is not told the size";
const CUT_ANSWERS =
  "ip route get BOX on a backend shows the path MTU that it has learned for the box, which all clients " +
  "share: let its program answer with at most 1232 bytes, or lock it there (ip route replace ... mtu lock 1500)";
const CUT_PACKETS =
  "let the senders make smaller datagrams than their MTU; or fragments: pass, if the kernel stack is to " +
  "have them";

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
      ? "xdpsteer ports set PORT --worker hash spreads a port over all workers; or raise rings.rx"
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
