/**
 * From two looks at the counters to what happens per second: what `xdpsteer top` shows, and prints as JSON.
 *
 * @module
 */
import { type BackendWords, mostUrgentFirst } from "../../observe/backend_words.ts";
import type { Snapshot } from "../../observe/observer.ts";
import type { RuleStatus } from "../../observe/snapshot.ts";
import type { Problem } from "../../observe/problems/kinds.ts";
import { answeredPackets, guardedPackets, isAnswered } from "../../observe/vocabulary.ts";
import { isServed } from "../../steering/fate.ts";
import { SOCKET_COUNTERS, type SocketCounter, tells } from "../../xsk/socket_counters.ts";

/** What of GET /v1/status is shown. */
export interface StatusAnswer extends Snapshot {
  readonly version: string;
  readonly pid: number;
  readonly lastReload: { readonly time: string; readonly result: string; readonly message: string } | null;
  readonly reloads: Readonly<Record<string, number>>;
  readonly problems: readonly Problem[];
  /** What came to translation ports and is of no session. */
  readonly translationPorts: RuleStatus | null;
}

/** A counter and how fast it grows; `perSecond` is null where there is no earlier look to compare with. */
export interface Count {
  readonly total: number;
  readonly perSecond: number | null;
}

export interface RuleRates {
  readonly name: string;
  /** With its addresses, where they are not the box's own. */
  readonly ports: string;
  readonly worker: number | "hash" | null;
  readonly action: string | null;
  /** From clients. */
  readonly packets: Count;
  /** Of backends, or of a local program, that were sent on to its clients; null for rules that are not answered. */
  readonly answers: Count | null;
  readonly megabitsPerSecond: number | null;
  /**
   * Dropped by the rule's action in the XDP program, or by a worker that could not carry it out; in both directions.
   */
  readonly drops: Count;
  /** Of all packets seen in the interval, 0 to 1. */
  readonly share: number | null;
}

export interface WorkerRates {
  readonly worker: number;
  readonly state: string;
  readonly cpu: number | null;
  readonly packets: Count;
  /** Share of the interval in which it had packets in hand, 0 to 1. */
  readonly busyRatio: number;
  readonly pauses: Count;
}

export interface RingFill {
  readonly entries: number;
  readonly size: number;
}

export interface QueueRates {
  readonly interface: string;
  readonly queue: number;
  readonly zeroCopy: boolean;
  readonly packets: Count;
  /** Entries waiting in the shared rings, and in the fullest rx ring. */
  readonly fill: RingFill;
  readonly completion: RingFill;
  readonly rx: RingFill;
  /** XDP_STATISTICS, over all workers. */
  readonly statistics: Readonly<Record<string, Count>>;
}

export const TOTALS = ["seen", "redirected", "passed", "dropped", "lostAtSockets"] as const;

export interface Rates {
  readonly version: string;
  readonly pid: number;
  readonly uptimeMs: number;
  /** Time between the two looks by the appliance's own clock; null for the first. */
  readonly intervalMs: number | null;
  readonly generation: number;
  readonly lastReload: StatusAnswer["lastReload"];
  readonly reloads: Readonly<Record<string, number>>;
  readonly problems: readonly Problem[];
  /** `attach`: the mode, or why nothing is steered: gone, detached. */
  readonly interfaces: readonly { readonly name: string; readonly attach: string }[];
  readonly totals: Readonly<Record<typeof TOTALS[number], Count>>;
  /** The rules in force, as the configuration orders them. */
  readonly rules: readonly RuleRates[];
  readonly workers: readonly WorkerRates[];
  readonly queues: readonly QueueRates[];
  /** Of rules that forward, and those that are only kept for the sessions they have; most urgent first. */
  readonly backends: readonly BackendWords[];
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

type Rule = StatusAnswer["rules"][number];
type Queue = StatusAnswer["interfaces"][number]["queues"][number];

/** What becomes of a rule's packets in the XDP program. */
const verdictsOf = ({ redirected, dropped, passed, delivered }: Rule): readonly Rule["passed"][] => [
  redirected,
  dropped,
  passed,
  delivered,
];
const packetsOf = (rule: Rule): number =>
  sum(verdictsOf(rule).map(({ packets }) => packets)) + guardedPackets(rule.guarded);
const bytesOf = (rule: Rule): number => sum(verdictsOf(rule).map(({ bytes }) => bytes));
const dropsOf = ({ dropped, guarded, workers, answers }: Rule): number =>
  dropped.packets + guardedPackets(guarded) + sum([...workers, ...answers].map(({ fates }) => droppedBy(fates)));
const droppedBy = (fates: Rule["workers"][number]["fates"]): number =>
  sum(Object.entries(fates).map(([fate, { packets }]) => isServed(fate) ? 0 : packets));

/**
 * Compares two looks at the same process. Without an earlier one, or with one at another process, there are totals
 * only.
 */
export function computeRates(now: StatusAnswer, earlier?: StatusAnswer): Rates {
  const before = earlier?.pid === now.pid && earlier.uptimeMs < now.uptimeMs ? earlier : undefined;
  const intervalMs = before === undefined ? null : now.uptimeMs - before.uptimeMs;
  const count = (total: number, past: number | undefined): Count => {
    // What was not there before, or went back because it left and came again, began at zero.
    const from = past === undefined || past > total ? 0 : past;
    return { total, perSecond: intervalMs === null ? null : (total - from) / (intervalMs / 1000) };
  };

  const totals = Object.fromEntries(
    TOTALS.map((name) => [name, count(totalOf(now, name), before && totalOf(before, name))]),
  ) as Rates["totals"];
  const pastRules = new Map(before?.rules.map((rule) => [rule.name, rule]));
  const rules = now.rules.filter(({ inForce }) => inForce).map((rule): RuleRates => {
    const past = pastRules.get(rule.name);
    const packets = count(packetsOf(rule), past && packetsOf(past));
    const bytes = count(bytesOf(rule), past && bytesOf(past));
    const { perSecond: seen } = totals.seen;
    return {
      name: rule.name,
      ports: rule.addresses === "own" ? rule.ports : `${rule.ports} to ${rule.addresses}`,
      worker: rule.worker,
      action: rule.action,
      packets,
      answers: isAnswered(rule) ? count(answeredPackets(rule), past && answeredPackets(past)) : null,
      megabitsPerSecond: bytes.perSecond === null ? null : bytes.perSecond * 8 / 1e6,
      drops: count(dropsOf(rule), past && dropsOf(past)),
      share: packets.perSecond === null || seen === null ? null : Math.min(1, packets.perSecond / (seen || 1)),
    };
  });

  const workers = now.workers.map((worker, id): WorkerRates => {
    const past = before?.workers[id];
    const idleMs = worker.idleMs - (past?.idleMs ?? 0);
    return {
      worker: worker.worker,
      state: worker.state,
      cpu: worker.cpu,
      packets: count(worker.received, past?.received),
      busyRatio: intervalMs === null ? worker.busyRatio : Math.min(1, Math.max(0, 1 - idleMs / intervalMs)),
      pauses: count(worker.loop.pauses, past?.loop.pauses),
    };
  });

  const received = receivedByQueue(now);
  const pastReceived = before && receivedByQueue(before);
  const queues = now.interfaces.flatMap(({ name, queues }, at) =>
    queues.map((queue, index): QueueRates => {
      const past = before?.interfaces[at]?.queues[index];
      const key = `${name} ${queue.queue}`;
      return {
        interface: name,
        queue: queue.queue,
        zeroCopy: queue.zeroCopy,
        packets: count(received.get(key) ?? 0, pastReceived?.get(key)),
        fill: { entries: queue.fill, size: queue.ringSizes.fill },
        completion: { entries: queue.completion, size: queue.ringSizes.completion },
        rx: { entries: Math.max(0, ...queue.sockets.map(({ rx }) => rx)), size: queue.ringSizes.rx },
        statistics: Object.fromEntries(
          SOCKET_COUNTERS.map((
            reason,
          ) => [reason, count(statisticOf(queue, reason), past && statisticOf(past, reason))]),
        ),
      };
    })
  );

  return {
    version: now.version,
    pid: now.pid,
    uptimeMs: now.uptimeMs,
    intervalMs,
    generation: now.generation,
    lastReload: now.lastReload,
    reloads: now.reloads,
    problems: now.problems,
    interfaces: now.interfaces.map(({ name, attach, state }) => ({
      name,
      attach: state === "attached" ? attach : state,
    })),
    totals,
    rules,
    workers,
    queues,
    backends: mostUrgentFirst(now.backends),
  };
}

function totalOf({ totals }: StatusAnswer, name: typeof TOTALS[number]): number {
  switch (name) {
    case "seen":
      return totals.seen;
    case "redirected":
      return totals.verdicts.redirect;
    case "passed":
      return totals.verdicts.pass;
    case "dropped":
      return totals.verdicts.drop;
    case "lostAtSockets":
      return totals.socketDrops;
  }
}

/** Packets that workers received, by interface and queue. */
function receivedByQueue({ rules, translationPorts }: StatusAnswer): Map<string, number> {
  const byQueue = new Map<string, number>();
  for (const { workers, answers } of [...rules, ...translationPorts === null ? [] : [translationPorts]]) {
    for (const { received } of [...workers, ...answers]) {
      for (const { interface: name, queue, packets } of received) {
        const key = `${name} ${queue}`;
        byQueue.set(key, (byQueue.get(key) ?? 0) + packets);
      }
    }
  }
  return byQueue;
}

/** Over the sockets of a queue. */
function statisticOf({ sockets }: Queue, counter: SocketCounter): number {
  return sum(sockets.map(({ worker, statistics }) => tells(counter, worker) ? statistics[counter] : 0));
}

/** Samples of which a trend is drawn. */
export const TREND_SAMPLES = 30;

/** Packets per second of each rule and worker in the last samples, oldest first. */
export class Trends {
  readonly #byKey = new Map<string, number[]>();
  #pid: number | undefined;

  add({ pid, rules, workers }: Rates): void {
    if (pid !== this.#pid) this.#byKey.clear();
    this.#pid = pid;
    const current = new Set<string>();
    const push = (key: string, { perSecond }: Count): void => {
      current.add(key);
      if (perSecond === null) return;
      this.#byKey.set(key, [...this.#byKey.get(key) ?? [], perSecond].slice(-TREND_SAMPLES));
    };
    for (const { name, packets } of rules) push(`rule ${name}`, packets);
    for (const { worker, packets } of workers) push(`worker ${worker}`, packets);
    for (const key of this.#byKey.keys()) if (!current.has(key)) this.#byKey.delete(key);
  }

  ofRule(name: string): readonly number[] {
    return this.#byKey.get(`rule ${name}`) ?? [];
  }

  ofWorker(worker: number): readonly number[] {
    return this.#byKey.get(`worker ${worker}`) ?? [];
  }
}
