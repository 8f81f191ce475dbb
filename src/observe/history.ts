/**
 * The last minutes: the control thread takes a sample of all counters each second, so that whoever looks now sees the
 * past. A sample reads shared memory, makes one system call per interface for the rules and one per socket, and makes
 * few objects.
 *
 * @module
 */
import { messageOf } from "../errors.ts";
import type { LoopCounter } from "../dataplane/counters.ts";
import { SYSTEM_TIMERS } from "../host/timers.ts";
import { logger } from "../log.ts";
import type { Rule } from "../steering/rule.ts";
import type { PacketSums } from "../engine/counters.ts";
import { TRANSLATION_PORTS } from "../steering/slots.ts";
import { lostPackets, type SocketCounter, tells } from "../xsk/socket_counters.ts";
import type { ObservedAppliance } from "./observed.ts";
import type { LossCounts } from "./problems/find_losses.ts";
import { SeriesRings } from "./series.ts";
import { OUTCOMES } from "./vocabulary.ts";

export const SAMPLE_MS = 1000;
/** Losses of a sample so old are read again. */
const FRESH_MS = 250;
const SAMPLES_KEPT = 300;
/** Rules whose past is told; all others are in the total. */
const TOLD_RULES = 32;

/** Where in {@linkcode OUTCOMES} those of the sockets and of the workers begin. */
const SOCKETS_AT = OUTCOMES.findIndex(({ where }) => where === "socket");
const FATES_AT = OUTCOMES.findIndex(({ where }) => where === "worker");

/**
 * Counters of one moment, and how fast they grew since the second before. Arrays are filled again by the next sample.
 */
interface Moment {
  atMs: number;
  readonly sums: PacketSums;
  readonly reasons: Float64Array;
  /** By worker, then queue end: all that was lost, and two reasons for it. */
  readonly socketDrops: Float64Array;
  readonly rxRingFull: Float64Array;
  readonly rxDropped: Float64Array;
  readonly idleMs: Float64Array;
  seen: number;
}

/** What {@linkcode History.watch} is told. */
export interface HistoryWatcher {
  /** A sample was taken. */
  readonly sampled: () => void;
  /** There will be no more. */
  readonly ended: () => void;
}

/** Time, as a history needs it. */
export interface HistoryClock {
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Calls `run` each second until the function returned is called. */
  readonly everySecond: (run: () => void) => () => void;
}

const CLOCK: HistoryClock = {
  now: () => performance.now(),
  everySecond: (run) => {
    const timer = SYSTEM_TIMERS.every(SAMPLE_MS, run);
    return () => timer[Symbol.dispose]();
  },
};

const log = logger("history");

export class History implements Disposable {
  /** The rules in force at the last sample, and their generation. */
  rules: readonly Rule[] = [];
  generation = 0;
  #slots: readonly number[] = [];
  /** Their series' names. */
  #keys: readonly string[] = [];
  #now: Moment;
  #before: Moment;
  /** Read next: a sample that fails leaves the last two as they were. */
  #next: Moment;
  /** Losses read between two samples. */
  #between: Moment;
  readonly #queueEnds: number;
  readonly #rings = new SeriesRings<string>(SAMPLES_KEPT);
  readonly #watchers = new Set<HistoryWatcher>();
  readonly #stopClock: () => void;
  #ended = false;
  #failed = false;

  constructor(private readonly appliance: ObservedAppliance, private readonly clock = CLOCK) {
    this.#queueEnds = appliance.interfaces.reduce((sum, { queues }) => sum + queues.length, 0);
    this.#now = this.#moment();
    this.#before = this.#moment();
    this.#next = this.#moment();
    this.#between = this.#moment();
    this.#followRules();
    this.#read(this.#now);
    this.#stopClock = clock.everySecond(() => this.#tick());
  }

  /** Calls `watcher` until the function returned is called. */
  watch(watcher: HistoryWatcher): () => void {
    if (this.#ended) watcher.ended();
    else this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /**
   * The past as plain numbers, rounded: packets per second, and busy ratios in percent. Not cheap: for a new watcher.
   */
  past(): Record<string, unknown> {
    const rings = this.#rings;
    const told = (key: string): number[] => rings.values(key).map(Math.round);
    const rules = rings.largest(TOLD_RULES + this.#workerCount * 2 + OUTCOMES.length + 1)
      .filter((key) => key.startsWith("rule ")).slice(0, TOLD_RULES);
    const workers = this.appliance.workers.counters;
    return {
      times: rings.times(),
      seen: told("seen"),
      rules: Object.fromEntries(rules.map((key) => [key.slice("rule ".length), told(key)])),
      workers: workers.map((_, worker) => told(`worker ${worker}`)),
      busyPercent: workers.map((_, worker) => told(`busy ${worker}`)),
      reasons: OUTCOMES.map((_, index) => told(`reason ${index}`)),
    };
  }

  /** The last sample as plain numbers: [count, per second] where both are of interest. */
  latest(): Record<string, unknown> {
    const { appliance } = this;
    const pair = (now: number, before: number): [number, number] => [now, this.#rate(now, before)];
    const pairs = (key: "reasons" | "socketDrops"): [number, number][] =>
      Array.from(this.#now[key], (value, index) => pair(value, this.#before[key][index]!));
    return {
      time: Math.round(performance.timeOrigin + this.#now.atMs),
      uptimeMs: appliance.uptimeMs,
      seen: pair(this.#now.seen, this.#before.seen),
      rules: this.#slots.map((slot) => [
        ...[...this.#rulePackets(slot, this.#now), this.#ruleRate(slot)],
        this.#rate(this.#now.sums.answered[slot]!, this.#before.sums.answered[slot]!),
      ]),
      workers: appliance.workers.counters.map((_, worker) => ({
        state: appliance.workers.stateName(worker),
        busyPercent: Math.round(this.#busy(worker) * 100),
      })),
      places: Array.from(this.#now.sums.byPlace, (value, index) => pair(value, this.#before.sums.byPlace[index]!)),
      socketDrops: pairs("socketDrops"),
      reasons: pairs("reasons"),
    };
  }

  /** What was lost because there was no room, as it was at most a quarter of a second ago. */
  losses(): LossCounts {
    const { sums, rxRingFull, rxDropped } = this.#recent();
    const { interfaces, workers } = this.appliance;
    const sumOf = (counter: LoopCounter): number =>
      workers.counters.reduce((sum, counters) => sum + counters.loop(counter), 0);
    let place = 0;
    return {
      uncovered: new Map(interfaces.map(({ name }, index) => [name, sums.uncovered[index]!])),
      queues: interfaces.flatMap(({ name, queues }) =>
        queues.map(({ id }) => {
          const at = place++;
          const ofWorkers = (counts: Float64Array): number[] =>
            workers.counters.map((_, worker) => counts[worker * this.#queueEnds + at]!);
          return { interface: name, queue: id, rxRingFull: ofWorkers(rxRingFull), rxDropped: ofWorkers(rxDropped) };
        })
      ),
      rules: [...this.rules.map(({ name }) => name), TRANSLATION_PORTS].flatMap((rule) => {
        const slot = this.appliance.counts.slotOf(rule);
        if (slot === undefined) return [];
        const [received, sessionsFull, tooBig] = [sums.received[slot]!, sums.sessionsFull[slot]!, sums.tooBig[slot]!];
        const [txRingFull, fragments] = [sums.txRingFull[slot]!, sums.fragments[slot]!];
        const [answers, answersTooBig] = [sums.answers[slot]!, sums.answersTooBig[slot]!];
        const answersNotSent = sums.answersNotSent[slot]!;
        return {
          ...{ rule, received, sessionsFull, tooBig, txRingFull, fragments },
          ...{ answers, answersTooBig, answersNotSent },
        };
      }),
      refused: { rows: sumOf("refused_rows"), ports: sumOf("refused_ports"), backends: sumOf("refused_backends") },
    };
  }

  [Symbol.dispose](): void {
    this.#stopClock();
    this.#ended = true;
    for (const { ended } of this.#watchers) ended();
    this.#watchers.clear();
  }

  #recent(): Moment {
    const latest = this.#between.atMs > this.#now.atMs ? this.#between : this.#now;
    if (this.clock.now() - latest.atMs <= FRESH_MS) return latest;
    this.#read(this.#between);
    return this.#between;
  }

  get #workerCount(): number {
    return this.appliance.workers.count;
  }

  #moment(): Moment {
    return {
      atMs: this.clock.now(),
      sums: this.appliance.counts.newSums(),
      reasons: new Float64Array(OUTCOMES.length),
      socketDrops: new Float64Array(this.#workerCount * this.#queueEnds),
      rxRingFull: new Float64Array(this.#workerCount * this.#queueEnds),
      rxDropped: new Float64Array(this.#workerCount * this.#queueEnds),
      idleMs: new Float64Array(this.#workerCount),
      seen: 0,
    };
  }

  #tick(): void {
    try {
      this.sample();
      this.#failed = false;
    } catch (error) {
      // Once: it would be the same every second.
      if (!this.#failed) log.error("The counters cannot be read: {reason}", { reason: messageOf(error) });
      this.#failed = true;
      return;
    }
    for (const { sampled } of this.#watchers) sampled();
  }

  /** Takes a sample. The timer does so each second. */
  sample(): void {
    this.#read(this.#next);
    [this.#now, this.#before, this.#next] = [this.#next, this.#now, this.#before];
    if (this.rules !== this.appliance.steering.rules) this.#followRules();
    const rings = this.#rings;
    rings.advance(Math.round(performance.timeOrigin + this.#now.atMs));
    rings.set("seen", this.#rate(this.#now.seen, this.#before.seen));
    this.#slots.forEach((slot, index) => {
      const rate = this.#ruleRate(slot);
      if (rate > 0) rings.set(this.#keys[index]!, rate);
    });
    for (let worker = 0; worker < this.#workerCount; worker++) {
      let packets = 0;
      for (let port = worker * this.#queueEnds; port < (worker + 1) * this.#queueEnds; port++) {
        packets += this.#now.sums.byPlace[port]! - this.#before.sums.byPlace[port]!;
      }
      rings.set(`worker ${worker}`, this.#rate(packets, 0));
      rings.set(`busy ${worker}`, this.#busy(worker) * 100);
    }
    OUTCOMES.forEach((_, index) =>
      rings.set(`reason ${index}`, this.#rate(this.#now.reasons[index]!, this.#before.reasons[index]!))
    );
  }

  #followRules(): void {
    const { steering, counts } = this.appliance;
    this.rules = steering.rules;
    this.generation = steering.generation;
    this.#slots = this.rules.map(({ name }) => counts.slotOf(name)!);
    this.#keys = this.rules.map(({ name }) => `rule ${name}`);
    const wanted = new Set(this.#keys);
    this.#rings.retain((key) => !key.startsWith("rule ") || wanted.has(key));
  }

  #read(moment: Moment): void {
    const { counts, interfaces, workers } = this.appliance;
    counts.readSums(moment.sums);
    moment.reasons.fill(0);
    let place = 0;
    for (const { queues } of interfaces) {
      for (const queue of queues) {
        for (let worker = 0; worker < queue.workers; worker++) {
          const statistics = queue.statistics(worker);
          const at = worker * this.#queueEnds + place;
          moment.socketDrops[at] = lostPackets(statistics);
          moment.rxRingFull[at] = statistics.rx_ring_full;
          moment.rxDropped[at] = statistics.rx_dropped;
          for (let index = SOCKETS_AT; index < FATES_AT; index++) {
            const counter = OUTCOMES[index]!.reason as SocketCounter;
            if (tells(counter, worker)) moment.reasons[index]! += statistics[counter];
          }
        }
        place++;
      }
    }
    moment.reasons.set(moment.sums.byReason);
    moment.seen = moment.sums.byReason.reduce((sum, packets) => sum + packets);
    moment.reasons.set(moment.sums.byFate, FATES_AT);
    workers.counters.forEach((_, worker) => moment.idleMs[worker] = workers.idleMs(worker));
    moment.atMs = this.clock.now();
  }

  /** Received by workers, dropped and passed in the XDP program. */
  #rulePackets(slot: number, { sums }: Moment): [number, number, number] {
    return [sums.received[slot]!, sums.dropped[slot]!, sums.passed[slot]!];
  }

  #ruleRate(slot: number): number {
    const { received, dropped, passed } = this.#now.sums;
    const before = this.#before.sums;
    return this.#rate(
      received[slot]! + dropped[slot]! + passed[slot]!,
      before.received[slot]! + before.dropped[slot]! + before.passed[slot]!,
    );
  }

  /** Packets per second, to a tenth. A slot given to another rule starts from zero again. */
  #rate(now: number, before: number): number {
    const perSecond = Math.max(0, now - before) * 1000 / (this.#now.atMs - this.#before.atMs);
    return Math.round(perSecond * 10) / 10;
  }

  #busy(worker: number): number {
    const idleMs = this.#now.idleMs[worker]! - this.#before.idleMs[worker]!;
    return Math.min(1, Math.max(0, 1 - idleMs / (this.#now.atMs - this.#before.atMs)));
  }
}
