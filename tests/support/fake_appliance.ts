/**
 * An appliance that steers nothing, for what looks at one: real counters and rings over plain memory, which the test
 * moves.
 *
 * @module
 */
import type { Pause } from "../../src/host/pauses.ts";
import type { AskedAppliance } from "../../src/api/wire.ts";
import type { HoldOrder } from "../../src/backends/holds.ts";
import type { NameStatus } from "../../src/backends/names/names.ts";
import type { BackendStatus, RuleBackends } from "../../src/backends/status.ts";
import { REASON } from "../../src/bpf/layout.gen.ts";
import type { XdpCounters } from "../../src/bpf/program.ts";
import {
  FRAGMENT_PACKETS,
  OBSERVED_PACKETS,
  OVER_TOTAL_PACKETS,
  RULE_COUNTER_FIELDS,
  RULE_PACKETS,
} from "../../src/bpf/rule_counters.ts";
import type { WatchedSources } from "../../src/guard/source_watch.ts";
import type { CaptureStatus } from "../../src/capture/captures.ts";
import { answerRow, fateAt, WorkerCounters } from "../../src/dataplane/counters.ts";
import { type RuleCounts, RuleTotals } from "../../src/engine/counters.ts";
import type { DeadmanReport } from "../../src/engine/deadman_watch.ts";
import { type Repair, REPAIRED } from "../../src/engine/reconciler.ts";
import { Bans } from "../../src/guard/bans.ts";
import type { ObservedInterface, ObservedOwner, ObservedQueue, ObservedSocket } from "../../src/observe/observed.ts";
import type { ListReport } from "../../src/guard/list_report.ts";
import { NO_ADDRESSES } from "../../src/steering/addresses.ts";
import type { Rule } from "../../src/steering/rule.ts";
import { NO_RULE, RuleSlots, TRANSLATION_PORTS } from "../../src/steering/slots.ts";
import type { XskStatistics } from "../../src/xsk/socket.ts";
import { FakeBanTable } from "./fake_bans.ts";
import { FakeRing } from "./fake_kernel.ts";
import { ringAddress } from "./fake_queue.ts";
import { FakeTimers } from "./fake_timers.ts";
import { FATE, type Fate } from "./fates.ts";
import { STATISTICS } from "./status_answer.ts";

const ATTACHED = {
  attach: "native",
  fallbackReason: "",
  condition: { state: "attached", since: "2026-01-02T03:04:05.000Z", why: "" },
  reattachments: 0,
  unattachedMs: 0,
  unsent: 0,
  mtu: { now: 1500, largest: 1778 },
  newQueues: [],
} as const;
const FIELDS = RULE_COUNTER_FIELDS.length;
export const RING_SIZE = 64;

type GuardedWhat = keyof RuleCounts["guarded"];

/** The counters of an XDP program. */
export class FakeProgram {
  readonly #rules: Float64Array;
  /** Packets by reason, those that rules decide on left out. */
  readonly #reasons = new Array<number>(REASON.COUNT).fill(0);

  constructor(slots: number) {
    this.#rules = new Float64Array(slots * FIELDS);
  }

  countRule(
    slot: number,
    verdict: "redirected" | "dropped" | "passed" | "delivered",
    packets: number,
    bytes: number,
  ): void {
    const at = slot * FIELDS + RULE_PACKETS[verdict];
    this.#rules[at]! += packets;
    this.#rules[at + 1]! += bytes;
  }

  countGuarded(slot: number, what: GuardedWhat, packets: number): void {
    const at = { ...RULE_PACKETS, observed: OBSERVED_PACKETS, overTotal: OVER_TOTAL_PACKETS }[what];
    this.#rules[slot * FIELDS + at]! += packets;
  }

  countFragments(slot: number, packets: number): void {
    this.#rules[slot * FIELDS + FRAGMENT_PACKETS]! += packets;
    this.countReason("FRAGMENT_DROPPED", packets);
  }

  countReason(reason: Exclude<keyof typeof REASON, "COUNT">, packets: number): void {
    this.#reasons[REASON[reason]]! += packets;
  }

  readRuleCounters(first: number, count = 1): Float64Array {
    return this.#rules.slice(first * FIELDS, (first + count) * FIELDS);
  }

  readXdpCounters(rules: Float64Array): XdpCounters {
    const byReason = [...this.#reasons];
    const decided = {
      ...{ STEERED: "redirected", RULE_DROP: "dropped", RULE_PASS: "passed", DELIVERED: "delivered" } as const,
      ...{ DENIED: "denied", BANNED: "banned", LIMITED: "limited" } as const,
    };
    for (const [reason, verdict] of Object.entries(decided)) {
      for (let at = RULE_PACKETS[verdict]; at < rules.length; at += FIELDS) {
        byReason[REASON[reason as keyof typeof decided]]! += rules[at]!;
      }
    }
    return { seen: byReason.reduce((sum, packets) => sum + packets), byReason };
  }
}

/** A socket whose rings and statistics the test sets. */
export class FakeXskSocket implements ObservedSocket {
  readonly rxRing = new FakeRing(RING_SIZE, "desc");
  readonly txRing = new FakeRing(RING_SIZE, "desc");
  readonly rx = ringAddress(this.rxRing);
  readonly tx = ringAddress(this.txRing);
  /** Undefined while the kernel does not answer. */
  numbers: Record<keyof XskStatistics, number> | undefined = { ...STATISTICS };

  statistics(): XskStatistics {
    if (this.numbers === undefined) throw new Error("getsockopt failed with EBADF");
    return { ...this.numbers };
  }
}

/** The same, with the rings of its queue. */
export class FakeOwnerSocket extends FakeXskSocket implements ObservedOwner {
  readonly fill = new FakeRing(RING_SIZE, "addr");
  readonly completion = new FakeRing(RING_SIZE, "addr");
  readonly queueRings = { fill: ringAddress(this.fill), completion: ringAddress(this.completion) };
}

/** A queue that is open. */
export class FakeObservedQueue implements ObservedQueue {
  readonly config = {
    rings: { rx: RING_SIZE, tx: RING_SIZE, fill: RING_SIZE, completion: RING_SIZE },
    umem: { chunks: RING_SIZE, chunkSize: 2048 as const, headroom: 0 },
  };
  readonly sockets: readonly [FakeOwnerSocket, ...FakeXskSocket[]];
  zeroCopy = false;

  constructor(readonly id: number, readonly workers: number) {
    this.sockets = [new FakeOwnerSocket(), ...Array.from({ length: workers - 1 }, () => new FakeXskSocket())];
  }

  statistics(worker: number): XskStatistics {
    return this.sockets[worker]!.statistics();
  }
}

export interface FakeInterface extends ObservedInterface {
  condition: ObservedInterface["condition"];
  readonly program: FakeProgram;
  readonly queues: readonly FakeObservedQueue[];
}

export interface FakeApplianceOptions {
  readonly workers?: number;
  /** Name and number of queues of each interface. */
  readonly interfaces?: readonly (readonly [name: string, queues: number])[];
  readonly ruleSlots?: number;
}

export class FakeAppliance implements AskedAppliance {
  readonly interfaces: readonly FakeInterface[];
  readonly counts: RuleTotals;
  readonly slots: RuleSlots;
  readonly workers: {
    readonly count: number;
    readonly cpus: readonly number[];
    readonly counters: WorkerCounters[];
    readonly replacements: number[];
    idleMs(worker: number): number;
    stateName(worker: number): string;
    stillMs(worker: number): number;
    stoodStill(worker: number): boolean;
    thread(worker: number): number;
    waitedForCpuMs(worker: number): number;
    whyStalled(worker: number): string;
    heapKib(): Promise<number[]>;
  };
  readonly steering: {
    rules: readonly Rule[];
    generation: number;
    lists: readonly ListReport[];
    readonly forwarding: {
      foreignAddresses(): string[];
      names(): NameStatus[];
      rules(): RuleBackends[];
      status(): BackendStatus[];
      hold(order: HoldOrder, options?: { dryRun?: boolean }): Promise<{ readonly warnings: readonly string[] }>;
    };
  };
  /** Translation addresses that no interface has. */
  foreignAddresses: string[] = [];
  /** What /v1/sources has to tell. */
  watched: WatchedSources = { intervalMs: 1000, packets: 0, senders: [] };
  readonly sources = { ask: (): Promise<WatchedSources> => Promise.resolve(this.watched) };
  stage: AskedAppliance["stage"] = "steering";
  readonly banTable = new FakeBanTable();
  readonly timers = new FakeTimers();
  readonly bans: Bans;
  alive = true;
  uptimeMs = 1000;
  /** Of workers that do not run. */
  readonly states: string[] = [];
  /** Workers that stood still lately. */
  readonly still = new Set<number>();
  backends: BackendStatus[] = [];
  /** What was done to backends. */
  readonly held: HoldOrder[] = [];
  ruleBackends: RuleBackends[] = [];
  names: NameStatus[] = [];
  captures: CaptureStatus[] = [];
  deadmanReport: DeadmanReport = {
    ...{ isOn: false, times: 0, seconds: 0, why: "", agoMs: Infinity },
    last: { seconds: 0, packets: 0 },
  };
  repaired: Repair[] = REPAIRED.map((what) => ({ what, count: 0, agoMs: Infinity, wrongMs: 0, words: "" }));
  /** By worker. */
  readonly idleMs: number[];
  readonly #places: readonly FakeProgram[];

  constructor({ workers = 2, interfaces = [["lo", 2]], ruleSlots = 16 }: FakeApplianceOptions = {}) {
    this.interfaces = interfaces.map(([name, queues], index) => ({
      name,
      ifindex: 1 + index, // the first is that of lo in any namespace
      program: new FakeProgram(ruleSlots),
      ...ATTACHED,
      currentName: name,
      redirectErrors: () => new Map(),
      queues: Array.from({ length: queues }, (_, id) => new FakeObservedQueue(id, workers)),
    }));
    this.#places = this.interfaces.flatMap(({ program, queues }) => queues.map(() => program));
    this.idleMs = new Array(workers).fill(0);
    const counters = this.idleMs.map(() => WorkerCounters.create(ruleSlots, this.#places.length));
    this.workers = {
      count: workers,
      cpus: [3],
      counters,
      replacements: counters.map(() => 0),
      idleMs: (worker) => this.idleMs[worker]!,
      stateName: (worker) => this.states[worker] ?? "running",
      stillMs: (worker) => this.still.has(worker) ? 1000 : 0,
      stoodStill: (worker) => this.still.has(worker),
      thread: (worker) => 100 + worker,
      waitedForCpuMs: () => 2000,
      whyStalled: () => "its thread is stopped by a signal",
      heapKib: () => Promise.resolve(counters.map((_, worker) => 1000 + worker)),
    };
    this.slots = new RuleSlots(ruleSlots);
    this.counts = new RuleTotals(this.interfaces, counters, this.slots);
    this.steering = {
      rules: [],
      generation: 0,
      lists: [],
      forwarding: {
        names: () => this.names,
        foreignAddresses: () => this.foreignAddresses,
        rules: () => this.ruleBackends,
        status: () => this.backends,
        hold: (order, { dryRun = false } = {}) => {
          if (!dryRun) this.held.push(order);
          return Promise.resolve({ warnings: [] });
        },
      },
    };
    this.bans = new Bans({
      table: this.banTable,
      own: () => NO_ADDRESSES,
      ruleNames: () => this.steering.rules.map(({ name }) => name),
      apply: () => Promise.resolve(),
      timers: this.timers,
    });
  }

  /** What is compared when somebody asks. */
  compare = (): void => {};
  /** Tells that an interface has changed. */
  interfacesChanged = (): void => {};

  onInterfaces(changed: () => void): void {
    this.interfacesChanged = changed;
  }

  get ready(): boolean {
    return this.stage === "steering" && this.alive;
  }

  pauses: { totalMs: number; last: Pause | undefined } = { totalMs: 0, last: undefined };

  repairs(): readonly Repair[] {
    return this.repaired;
  }

  deadman(): DeadmanReport {
    return this.deadmanReport;
  }

  captureStatus(): readonly CaptureStatus[] {
    return this.captures;
  }

  /** Puts the next generation in force. */
  setRules(rules: readonly Rule[]): void {
    const generation = ++this.steering.generation;
    const plan = this.slots.plan(rules.map(({ name }) => name), generation);
    this.counts.retirement(plan.reused).flip();
    plan.flip();
    this.steering.rules = rules;
  }

  /**
   * Packets that are redirected to a worker and meet a fate there.
   *
   * @param rule Its name; "": of no rule.
   * @param place Queue end: queues in order, interface after interface.
   */
  serve(rule: string, worker: number, place: number, fate: Fate, packets: number, bytes = packets * 60): void {
    const slot = this.#slot(rule);
    this.#places[place]!.countRule(slot, "redirected", packets, bytes);
    const counters = this.workers.counters[worker]!;
    counters.values[fateAt(slot, FATE[fate])]! += packets;
    counters.values[fateAt(slot, FATE[fate]) + 1]! += bytes;
    counters.values[counters.receivedAt(place) + slot]! += packets;
  }

  /** What backends answer to a rule's clients: the XDP program knows no more than that it is for translation ports. */
  answer(rule: string, worker: number, place: number, fate: Fate, packets: number, bytes = packets * 60): void {
    this.#places[place]!.countRule(this.#slot(TRANSLATION_PORTS), "redirected", packets, bytes);
    const counters = this.workers.counters[worker]!;
    const { values } = counters;
    const row = answerRow(this.#slot(rule), counters.ruleSlots);
    values[fateAt(row, FATE[fate])]! += packets;
    values[fateAt(row, FATE[fate]) + 1]! += bytes;
    values[counters.receivedAt(place) + row]! += packets;
  }

  /** Packets of a rule that end in the XDP program of an interface. */
  decide(rule: string, networkInterface: number, verdict: "dropped" | "passed" | "delivered", packets: number): void {
    this.interfaces[networkInterface]!.program.countRule(this.#slot(rule), verdict, packets, packets * 60);
  }

  /** Packets of a rule that its guard dropped in the XDP program, or only observed. */
  guard(networkInterface: number, rule: string, what: GuardedWhat, packets: number): void {
    this.interfaces[networkInterface]!.program.countGuarded(this.#slot(rule), what, packets);
  }

  /** First fragments to a rule's ports that the XDP program dropped. */
  cut(networkInterface: number, rule: string, packets: number): void {
    this.interfaces[networkInterface]!.program.countFragments(this.#slot(rule), packets);
  }

  #slot(rule: string): number {
    return rule === "" ? NO_RULE : this.slots.slotOf(rule)!;
  }
}

/** A rule with one port. */
export function countRule(name: string, port: number, worker: Rule["worker"] = 0): Rule {
  return {
    name,
    ports: [{ first: port, last: port }],
    worker,
    action: { kind: "count" },
    addresses: "own",
    fragments: "drop",
  };
}
