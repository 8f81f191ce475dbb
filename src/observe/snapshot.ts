/**
 * What the appliance knows about itself at one moment. `/v1/status`, `/metrics`, the log and the demo all show this.
 *
 * @module
 */
import { REASON_NAMES, type Verdict, VERDICT_OF_REASON, VERDICTS } from "../bpf/reasons.ts";
import { LOOP_COUNTERS, type LoopCounter } from "../dataplane/counters.ts";
import { FATES } from "../steering/fate.ts";
import { textOf } from "../steering/addresses.ts";
import { formatPorts, type Rule } from "../steering/rule.ts";
import { roundMs } from "../text.ts";
import { consumerRing, producerRing } from "../xsk/rings.ts";
import { isCountedAtSocket, lostPackets } from "../xsk/socket_counters.ts";
import type { RingSizes, XskStatistics } from "../xsk/socket.ts";
import type { Departed, GuardedPackets, PacketsBytes, RuleCounts, WorkerRuleCounts } from "../engine/counters.ts";
import type { ListReport } from "../guard/list_report.ts";
import type { Condition } from "../engine/interface.ts";
import type { ObservedInterface } from "./observed.ts";

export interface SocketStatus {
  readonly worker: number;
  readonly statistics: XskStatistics;
  /** Entries waiting in the ring. */
  readonly rx: number;
  readonly tx: number;
}

export interface QueueStatus {
  readonly queue: number;
  /** As granted by the kernel. */
  readonly zeroCopy: boolean;
  /** Entries waiting in the queue's shared rings. */
  readonly fill: number;
  readonly completion: number;
  /** Entries each ring holds; rx and tx: of each socket. */
  readonly ringSizes: RingSizes;
  readonly sockets: readonly SocketStatus[];
}

export interface InterfaceStatus {
  /** As the configuration calls it. */
  readonly name: string;
  /** What it is called now, or was called last. */
  readonly currentName: string;
  /** Null while it is gone. */
  readonly ifindex: number | null;
  /** Whether its packets are steered, since when, and if not, why. */
  readonly state: Condition["state"];
  readonly since: string;
  readonly why: string;
  /** Times that it was attached again. */
  readonly reattachments: number;
  /** Time since the start for which it was not attached, milliseconds, to the look that found it. */
  readonly unattachedMs: number;
  /** As granted by the kernel; none while it is not attached. */
  readonly attach: "native" | "generic" | "none";
  /** Why native was not granted where it was tried first, or "". */
  readonly fallbackReason: string;
  readonly seen: number;
  /** Packets that were lost because the kernel could not redirect them, by errno. */
  readonly redirectErrors: Readonly<Record<string, number>>;
  /** Packets that were counted as sent, and were still in a tx ring when the interface went away. */
  readonly unsent: number;
  /** Packets by verdict, then by reason. */
  readonly verdicts: Readonly<Record<Verdict, Readonly<Record<string, number>>>>;
  readonly queues: readonly QueueStatus[];
}

export interface RuleStatus {
  readonly name: string;
  /** False for a rule that an earlier generation had, and for what is counted under a name in parentheses. */
  readonly inForce: boolean;
  readonly ports: string;
  /** `own`, `any`, or addresses and prefixes with commas. */
  readonly addresses: string;
  readonly worker: number | "hash" | null;
  readonly action: string | null;
  readonly redirected: PacketsBytes;
  readonly dropped: PacketsBytes;
  readonly passed: PacketsBytes;
  readonly guarded: GuardedPackets;
  /** To local programs on another port; and what these have answered. */
  readonly delivered: PacketsBytes;
  readonly answered: PacketsBytes;
  /** First fragments that were dropped, which no other of these numbers contains. */
  readonly fragments: number;
  readonly workers: readonly WorkerRuleStatus[];
  /** What came back to it: backends' answers, and ICMP errors about packets to backends. Empty where nothing did. */
  readonly answers: readonly WorkerRuleStatus[];
}

/** What one worker did with packets. */
export interface WorkerRuleStatus {
  readonly worker: number;
  readonly fates: Readonly<Record<string, PacketsBytes>>;
  readonly received: readonly { readonly interface: string; readonly queue: number; readonly packets: number }[];
}

export interface ListStatus {
  readonly name: string;
  /** Prefixes in it, those of lists that it names left out. */
  readonly entries: number;
  /** Lines of its file or page that were left out. */
  readonly badLines: number;
  /** Why its content is not what its file or page holds now; null where it is. */
  readonly error: string | null;
  /** When its content was last found to be good; null: never. */
  readonly lastSuccess: string | null;
}

export interface WorkerStatus {
  readonly worker: number;
  /** `running`; `stalled` while its loop does not turn; or how it ended. */
  readonly state: string;
  /** The kernel's number of its thread; 0 before it runs. */
  readonly thread: number;
  readonly cpu: number | null;
  readonly received: number;
  readonly busyRatio: number;
  /** Time without packets in hand since the start, milliseconds. */
  readonly idleMs: number;
  /** Time in which its loop stood still though it was woken, milliseconds. */
  readonly stillMs: number;
  /** How often another thread went on for it, since it had failed. */
  readonly replacements: number;
  /** Time in which it was ready to run and had no CPU, milliseconds. */
  readonly cpuWaitMs: number;
  readonly loop: LoopNumbers;
}

type CamelCase<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${First}${Capitalize<CamelCase<Rest>>}`
  : Name;

/** The numbers about a worker's loop, under keys of the one case that all of our own have. */
export type LoopNumbers = Readonly<Record<CamelCase<LoopCounter>, number>>;

/** Sums over everything; under traffic they differ by what is in the rings at the moment. */
export interface Totals {
  readonly seen: number;
  readonly verdicts: Readonly<Record<Verdict, number>>;
  readonly received: number;
  /** Redirected packets the kernel dropped at a socket, counted in XDP_STATISTICS as LOST_COUNTERS. */
  readonly socketDrops: number;
  /** Redirected packets that no socket counts: theirs was closed, or cut off from its interface. */
  readonly redirectErrors: number;
  readonly fates: Readonly<Record<string, number>>;
}

/** Packets that one worker received of a rule, in both directions. */
export function receivedBy({ workers, answers }: RuleStatus, worker: number): number {
  return [workers[worker], answers[worker]].reduce(
    (sum, part) => sum + (part?.received.reduce((all, { packets }) => all + packets, 0) ?? 0),
    0,
  );
}

/** @param slots Rule slots in use. */
export function interfaceStatus(steered: ObservedInterface, slots: number): InterfaceStatus {
  const queues = steered.queues.map((queue): QueueStatus => {
    const { id, config, sockets, workers, zeroCopy } = queue;
    const [owner] = sockets;
    return {
      queue: id,
      zeroCopy,
      fill: owner === undefined ? 0 : producerRing(owner.queueRings.fill).pending(),
      completion: owner === undefined ? 0 : consumerRing(owner.queueRings.completion).pending(),
      ringSizes: config.rings,
      sockets: Array.from({ length: workers }, (_, worker) => {
        const socket = sockets[worker];
        return {
          worker,
          statistics: queue.statistics(worker),
          rx: socket === undefined ? 0 : consumerRing(socket.rx).pending(),
          tx: socket === undefined ? 0 : producerRing(socket.tx).pending(),
        };
      }),
    };
  });
  const { program } = steered;
  const { seen, byReason } = program.readXdpCounters(program.readRuleCounters(0, slots));
  const verdicts = Object.fromEntries(VERDICTS.map((verdict) => [verdict, {}])) as Record<
    Verdict,
    Record<string, number>
  >;
  byReason.forEach((packets, reason) => verdicts[VERDICT_OF_REASON[reason]!][REASON_NAMES[reason]!] = packets);
  const { name, currentName, ifindex = null, condition, attach, fallbackReason, unsent } = steered;
  const { reattachments, unattachedMs } = steered;
  return {
    ...{ name, currentName, ifindex, ...condition, reattachments, unattachedMs: roundMs(unattachedMs), attach },
    fallbackReason,
    ...{ seen, redirectErrors: Object.fromEntries(steered.redirectErrors()), unsent, verdicts, queues },
  };
}

export function ruleStatus(
  counts: RuleCounts,
  rules: ReadonlyMap<string, Rule>,
  interfaces: readonly ObservedInterface[],
): RuleStatus {
  const rule = rules.get(counts.name);
  const places = interfaces.flatMap(({ name, queues }) => queues.map(({ id }) => ({ interface: name, queue: id })));
  const byWorker = (all: readonly WorkerRuleCounts[]): WorkerRuleStatus[] =>
    all.map(({ fates, received }, worker) => ({
      worker,
      fates: Object.fromEntries(FATES.map((name, index) => [name, fates[index]!])),
      received: received.map((packets, index) => ({ ...places[index]!, packets })),
    }));
  return {
    name: counts.name,
    inForce: rule !== undefined,
    ports: rule === undefined ? "" : formatPorts(rule.ports),
    addresses: rule === undefined ? "" : textOf(rule.addresses),
    worker: rule?.worker ?? null,
    action: rule?.action.kind ?? null,
    redirected: counts.redirected,
    dropped: counts.dropped,
    passed: counts.passed,
    guarded: counts.guarded,
    delivered: counts.delivered,
    answered: counts.answered,
    fragments: counts.fragments,
    workers: byWorker(counts.workers),
    answers: byWorker(counts.answers),
  };
}

export function listStatus({ name, entries, badLines, error, successMs }: ListReport): ListStatus {
  const lastSuccess = successMs === null ? null : new Date(successMs).toISOString();
  return { name, entries, badLines, error: error === "" ? null : error, lastSuccess };
}

/** @param value Of a counter, by its name. */
export function loopNumbers(value: (counter: LoopCounter) => number): LoopNumbers {
  const key = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(LOOP_COUNTERS.map((name) => [key(name), roundMs(value(name))])) as LoopNumbers;
}

export function totals(
  interfaces: readonly InterfaceStatus[],
  rules: readonly RuleStatus[],
  departed: readonly Departed[] = [],
): Totals {
  const verdicts = Object.fromEntries(VERDICTS.map((verdict) => [verdict, 0])) as Record<Verdict, number>;
  const fates: Record<string, number> = Object.fromEntries(FATES.map((name) => [name, 0]));
  let seen = 0;
  let socketDrops = 0;
  let received = 0;
  let redirectErrors = 0;
  for (const status of interfaces) {
    seen += status.seen;
    for (const verdict of VERDICTS) {
      for (const packets of Object.values(status.verdicts[verdict])) verdicts[verdict] += packets;
    }
    for (const { sockets } of status.queues) {
      for (const { statistics } of sockets) socketDrops += lostPackets(statistics);
    }
    for (const [errno, packets] of Object.entries(status.redirectErrors)) {
      if (!isCountedAtSocket(errno)) redirectErrors += packets;
    }
  }
  for (const each of departed) {
    socketDrops += each.socketDrops;
    redirectErrors += each.redirectErrors;
    each.reasons.forEach((packets, reason) => {
      seen += packets;
      verdicts[VERDICT_OF_REASON[reason]!] += packets;
    });
  }
  for (const rule of rules) {
    for (const worker of [...rule.workers, ...rule.answers]) {
      for (const { packets } of worker.received) received += packets;
      for (const [fate, { packets }] of Object.entries(worker.fates)) fates[fate] = fates[fate]! + packets;
    }
  }
  return { seen, verdicts, received, socketDrops, redirectErrors, fates };
}
