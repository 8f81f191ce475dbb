/**
 * The sums of the demo: what was sent, who received it, and where each missing packet went.
 *
 * @module
 */
import { REASON_WORDS } from "../observe/vocabulary.ts";
import type { InterfaceStatus, RuleStatus } from "../observe/snapshot.ts";
import type { Snapshot } from "../observe/observer.ts";
import { FATE_TABLE, isServed } from "../steering/fate.ts";
import { LOST_COUNTERS, SOCKET_COUNTER_TABLE } from "../xsk/socket_counters.ts";

/** Packets of one port that one worker took from one queue. */
export interface Delivery {
  readonly port: number;
  readonly worker: number;
  readonly queue: number;
  readonly packets: number;
}

/** Packets that did not get what their rule asks for, at one place. */
export interface Missing {
  /** Where and why, for people: begins small and ends without a full stop. */
  readonly where: string;
  readonly packets: number;
}

export interface DemoSummary {
  readonly generation: number;
  readonly ports: readonly {
    readonly port: number;
    readonly sent: number;
    readonly before: { readonly worker: number; readonly packets: number };
    readonly after: { readonly worker: number; readonly packets: number };
    /** Packets the old worker got after the change was in force. */
    readonly late: number;
  }[];
  readonly sent: number;
  readonly received: number;
  /** By the queue that brought them. */
  readonly receivedByQueue: readonly number[];
  /** Packets sent that no worker received. */
  readonly lost: number;
  readonly misdirected: number;
  readonly socketDrops: number;
  /** Empty where every packet was received and counted. */
  readonly missing: readonly Missing[];
}

export function deliveries({ rules }: Snapshot): Delivery[] {
  return rules.filter(({ inForce }) => inForce).flatMap(({ ports, workers }) =>
    workers.flatMap(({ worker, received }) =>
      received.map(({ queue, packets }) => ({ port: Number(ports), worker, queue, packets }))
    )
  );
}

/**
 * @param sentPerPort By port: the first goes from worker 0 to worker 1 at the change, the second the other way.
 * @param atChange What had arrived when the change was in force and nothing older was under way.
 * @param last After the last packet.
 */
export function summarize(
  sentPerPort: readonly (readonly [port: number, sent: number])[],
  atChange: readonly Delivery[],
  last: Snapshot,
): DemoSummary {
  const end = deliveries(last);
  const ports = sentPerPort.map(([port, sent], before) => {
    const after = 1 - before;
    const packets = (list: readonly Delivery[], of: number): number =>
      sum(list.filter((entry) => entry.port === port && entry.worker === of));
    return {
      port,
      sent,
      before: { worker: before, packets: packets(end, before) },
      after: { worker: after, packets: packets(end, after) },
      late: packets(end, before) - packets(atChange, before),
    };
  });
  const sent = ports.reduce((total, port) => total + port.sent, 0);
  const { generation, totals: { received, socketDrops } } = last;
  const queues = new Set(end.map(({ queue }) => queue));
  return {
    generation,
    ports,
    sent,
    received,
    receivedByQueue: [...queues].map((queue) => sum(end.filter((entry) => entry.queue === queue))),
    lost: sent - received,
    misdirected: ports.reduce((total, { late }) => total + late, 0),
    socketDrops,
    missing: missingPackets(sent, last),
  };
}

/** True where every packet arrived, at the worker that its rule names at the time. */
export function isPerfect({ lost, misdirected, missing }: DemoSummary): boolean {
  return lost === 0 && misdirected === 0 && missing.length === 0;
}

/** Where those of `sent` packets went that were not served, in the order of a packet's way. */
export function missingPackets(sent: number, { interfaces, rules, totals }: Snapshot): Missing[] {
  const of = (count: (rule: RuleStatus) => number): number => rules.reduce((total, rule) => total + count(rule), 0);
  const redirected = of((rule) => rule.redirected.packets);
  const uncovered = interfaces.reduce((total, { verdicts }) => total + (verdicts.pass["uncovered_queue"] ?? 0), 0);
  const seen = redirected + uncovered + of((rule) => rule.passed.packets + rule.dropped.packets);
  return [
    { where: "lost on the veth, before the XDP program saw them", packets: sent - seen },
    { where: `passed to the kernel stack: ${REASON_WORDS.uncovered_queue}`, packets: uncovered },
    ...rules.flatMap(({ name, passed, dropped }) => [
      { where: `rule "${name}", passed to the kernel stack: ${REASON_WORDS.rule_pass}`, packets: passed.packets },
      { where: `rule "${name}", dropped by the XDP program: ${REASON_WORDS.rule_drop}`, packets: dropped.packets },
    ]),
    ...interfaces.flatMap(socketDrops),
    {
      where: "redirected to a socket, and neither received nor dropped there",
      packets: redirected - totals.received - totals.socketDrops,
    },
    ...rules.flatMap(({ name, workers }) => workers.flatMap(({ worker, fates }) => notServed(name, worker, fates))),
  ].filter(({ packets }) => packets !== 0);
}

function socketDrops({ queues }: InterfaceStatus): Missing[] {
  return queues.flatMap(({ queue, sockets }) =>
    sockets.flatMap(({ worker, statistics }) =>
      LOST_COUNTERS.map((counter) => ({
        where: `queue ${queue}, worker ${worker}, ${counter}: ${SOCKET_COUNTER_TABLE[counter].words}`,
        packets: statistics[counter],
      }))
    )
  );
}

function notServed(rule: string, worker: number, fates: RuleStatus["workers"][number]["fates"]): Missing[] {
  return Object.entries(fates).filter(([fate]) => !isServed(fate)).map(([fate, { packets }]) => ({
    where: `rule "${rule}", worker ${worker}, ${fate}: ${FATE_TABLE[fate as keyof typeof FATE_TABLE].words}`,
    packets,
  }));
}

function sum(list: readonly Delivery[]): number {
  return list.reduce((total, { packets }) => total + packets, 0);
}
