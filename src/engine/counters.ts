/**
 * All counts of a rule in one row of numbers, wherever they are kept: the XDP program of each interface and each
 * worker. Rows can be subtracted and added, which is how a slot changes hands without a counter ever going back.
 *
 * @module
 */
import { REASON } from "../bpf/layout.gen.ts";
import type { SteeringProgram } from "../bpf/program.ts";
import {
  ANSWERED_PACKETS,
  FRAGMENT_PACKETS,
  OBSERVED_PACKETS,
  OVER_TOTAL_PACKETS,
  RULE_COUNTER_FIELDS,
  RULE_PACKETS,
} from "../bpf/rule_counters.ts";
import { answerRow, fateAt } from "../dataplane/counters.ts";
import { FATE, FATES } from "../steering/fate.ts";
import type { WorkerCounters } from "../dataplane/counters.ts";
import type { Change } from "../steering/published.ts";
import { NO_RULE, RETIRED, type RuleSlots, TRANSLATION_PORTS } from "../steering/slots.ts";

export interface PacketsBytes {
  readonly packets: number;
  readonly bytes: number;
}

/** What one rule's packets met with, since the process started. */
export interface RuleCounts {
  /** "" for packets that reached a worker and belong to no rule. */
  readonly name: string;
  /** In the XDP programs of all interfaces. */
  readonly redirected: PacketsBytes;
  readonly dropped: PacketsBytes;
  readonly passed: PacketsBytes;
  readonly guarded: GuardedPackets;
  /** To local programs; and what these answered. */
  readonly delivered: PacketsBytes;
  readonly answered: PacketsBytes;
  /** First fragments that were dropped, which no other of these numbers contains. */
  readonly fragments: number;
  readonly workers: readonly WorkerRuleCounts[];
  /** By worker, what came back to it through translation ports, where anything did; else empty. */
  readonly answers: readonly WorkerRuleCounts[];
}

/** Packets that a rule's guard dropped, by reason, and those that it would have dropped and only observed. */
export interface GuardedPackets {
  readonly denied: number;
  readonly banned: number;
  readonly limited: number;
  readonly observed: number;
  /** Of those that are limited or observed, packets over what the rule takes in total. */
  readonly overTotal: number;
}

/** Where packets of a rule are that the XDP program drops. */
const DROPPED = [RULE_PACKETS.dropped, RULE_PACKETS.denied, RULE_PACKETS.banned, RULE_PACKETS.limited] as const;

export interface WorkerRuleCounts {
  /** By fate, in the order of FATES. */
  readonly fates: readonly PacketsBytes[];
  /** Packets received, by queue end: queues in order, interface after interface. */
  readonly received: readonly number[];
}

/**
 * Packets of one moment in flat arrays that are kept and filled again: a look at everything each second makes no
 * objects.
 */
export interface PacketSums {
  /** By rule slot: what workers received, and what ended in the XDP program; delivered packets are passed ones here. */
  readonly received: Float64Array;
  readonly dropped: Float64Array;
  readonly passed: Float64Array;
  /** By rule slot: what came back to the rules; and of that what was too large, or not sent. */
  readonly answers: Float64Array;
  readonly answersTooBig: Float64Array;
  readonly answersNotSent: Float64Array;
  /** By rule slot: answers that were sent on to clients, of backends and of local programs. */
  readonly answered: Float64Array;
  /** Received, by worker, then queue end. */
  readonly byPlace: Float64Array;
  /** Over all workers, in the order of FATES. */
  readonly byFate: Float64Array;
  /** What became of them in the XDP programs of all interfaces, by REASON. */
  readonly byReason: Float64Array;
  /** By interface: those on queues without sockets. */
  readonly uncovered: Float64Array;
  /**
   * By rule slot: those for which there was no session, those too large to be sent on, and those that were not sent.
   */
  readonly sessionsFull: Float64Array;
  readonly tooBig: Float64Array;
  readonly txRingFull: Float64Array;
  /** By rule slot: first fragments that the XDP programs dropped. */
  readonly fragments: Float64Array;
}

/** What is counted of a steered interface. */
export interface CountedInterface {
  readonly queues: { readonly length: number };
  readonly program: Pick<SteeringProgram, "readRuleCounters" | "readXdpCounters">;
}

/** What was counted of an interface that is not steered any more. */
export interface Departed {
  /** By rule slot, from 0 on: what its XDP program has counted. */
  readonly rules: readonly (readonly number[])[];
  /** By REASON. */
  readonly reasons: readonly number[];
  /** Packets that its sockets have dropped. */
  readonly socketDrops: number;
  /** Redirects that have failed, and that no socket has counted. */
  readonly redirectErrors: number;
}

/** Rows of counts, by slot, and those of slots that were given to others. */
export interface TotalsStanding {
  readonly base: readonly (readonly [slot: number, row: readonly number[]])[];
  readonly retired: readonly number[] | null;
  /** Of interfaces that are not steered any more: they are in no row of an interface, and in the sums. */
  readonly departed?: readonly Departed[];
}

const KERNEL_NUMBERS = RULE_COUNTER_FIELDS.length;

export class RuleTotals {
  #base = new Map<number, Float64Array>();
  #retired: Float64Array | undefined;
  /** Of interfaces that are not steered any more. */
  departed: readonly Departed[] = [];

  constructor(
    private readonly interfaces: readonly CountedInterface[],
    private readonly workers: readonly WorkerCounters[],
    private readonly slots: RuleSlots,
    before?: TotalsStanding,
  ) {
    if (before === undefined) return;
    this.departed = before.departed ?? [];
    this.#base = new Map(before.base.map(([slot, row]) => [slot, Float64Array.from(row)]));
    this.#retired = before.retired === null ? undefined : Float64Array.from(before.retired);
  }

  /** What was put aside, for a process that comes after this one and has the same workers and queues. */
  get standing(): TotalsStanding {
    return {
      base: [...this.#base].map(([slot, row]) => [slot, [...row]]),
      retired: this.#retired === undefined ? null : [...this.#retired],
      departed: this.departed,
    };
  }

  /**
   * Takes what was counted of interfaces that are not steered any more.
   *
   * @param received By slot, then worker: what came by them; first what came in, then what came back.
   */
  depart(departed: readonly Departed[], received: readonly (readonly [number[], number[]])[]): void {
    this.departed = [...this.departed, ...departed];
    const width = this.workers.length * (FATES.length * 2 + this.#queueEnds);
    const add = (slot: number, at: number, count: number): void => {
      if (count === 0) return;
      let base = this.#base.get(slot);
      if (base === undefined) this.#base.set(slot, base = new Float64Array(2 * width + KERNEL_NUMBERS));
      base[at] = base[at]! - count;
    };
    for (const { rules } of departed) {
      rules.forEach((row, slot) => row.forEach((count, field) => add(slot, 2 * width + field, count)));
    }
    // What came in by them is told with the first queue.
    received.forEach((halves, slot) =>
      halves.forEach((workers, half) =>
        workers.forEach((count, worker) =>
          add(slot, half * width + worker * (FATES.length * 2 + this.#queueEnds) + FATES.length * 2, count)
        )
      )
    );
  }

  /** Rule slots used so far, from 0 on. */
  get slotsUsed(): number {
    return this.slots.used;
  }

  /**
   * As a change: moves the counts of slots to the retired ones, so that the slots start again from zero for other
   * rules.
   */
  retirement(slots: Iterable<number>): Change {
    const before = { base: this.#base, retired: this.#retired };
    return {
      flip: () => {
        // May fail: nothing is changed yet.
        const rows = Array.from(slots, (slot) => [slot, this.#rows(slot, 1)[0]!] as const);
        this.#base = new Map(this.#base);
        for (const [slot, row] of rows) {
          this.#retired = sumOf(this.#retired, row);
          this.#base.set(slot, sumOf(this.#base.get(slot), row));
        }
      },
      back: () => {
        this.#base = before.base;
        this.#retired = before.retired;
      },
    };
  }

  /** Every rule this process has had, packets of no rule (name ""), and what is retired. */
  read(): RuleCounts[] {
    const rows = this.#rows(0, this.slots.used);
    const rules = this.slots.entries().map(([slot, name]) => this.#counts(name, rows[slot]!));
    if (this.#retired !== undefined) rules.push(this.#counts(RETIRED, this.#retired));
    const none = this.#counts("", rows[NO_RULE]!);
    if (none.workers.some(({ received }) => received.some((packets) => packets > 0))) rules.push(none);
    return rules;
  }

  newSums(): PacketSums {
    const slots = (): Float64Array => new Float64Array(this.slots.capacity);
    return {
      received: slots(),
      dropped: slots(),
      passed: slots(),
      answers: slots(),
      answersTooBig: slots(),
      answersNotSent: slots(),
      answered: slots(),
      byPlace: new Float64Array(this.workers.length * this.#queueEnds),
      byFate: new Float64Array(FATES.length),
      byReason: new Float64Array(REASON.COUNT),
      uncovered: new Float64Array(this.interfaces.length),
      sessionsFull: slots(),
      tooBig: slots(),
      txRingFull: slots(),
      fragments: slots(),
    };
  }

  /** Fills `sums` with the packets until now: the same numbers as {@linkcode read}, without bytes. */
  readSums(sums: PacketSums): void {
    const { received, dropped, passed, byPlace, byFate, byReason, uncovered } = sums;
    const { sessionsFull, tooBig, txRingFull, fragments } = sums;
    const { answers, answersTooBig, answersNotSent, answered } = sums;
    for (const array of Object.values(sums)) array.fill(0);
    const queueEnds = this.#queueEnds;
    const used = this.slots.used;
    const backUsed = this.#hasAnswers ? used : 0;
    this.workers.forEach((counters, worker) => {
      const { values, ruleSlots } = counters;
      for (let port = 0; port < queueEnds; port++) {
        const at = counters.receivedAt(port);
        let sum = 0;
        for (let slot = 0; slot < used; slot++) {
          const packets = values[at + slot]!;
          received[slot] = received[slot]! + packets;
          sum += packets;
        }
        for (let slot = 0; slot < backUsed; slot++) {
          const packets = values[at + answerRow(slot, ruleSlots)]!;
          answers[slot] = answers[slot]! + packets;
          sum += packets;
        }
        byPlace[worker * queueEnds + port] = sum;
      }
      for (let fate = 0; fate < FATES.length; fate++) {
        for (let slot = 0; slot < used; slot++) byFate[fate] = byFate[fate]! + values[fateAt(slot, fate)]!;
        for (let slot = 0; slot < backUsed; slot++) {
          byFate[fate] = byFate[fate]! + values[fateAt(answerRow(slot, ruleSlots), fate)]!;
        }
      }
      for (let slot = 0; slot < backUsed; slot++) {
        const row = answerRow(slot, ruleSlots);
        answersTooBig[slot] = answersTooBig[slot]! + values[fateAt(row, FATE.too_big)]!;
        answersNotSent[slot] = answersNotSent[slot]! + values[fateAt(row, FATE.tx_ring_full)]!;
        answered[slot] = answered[slot]! + values[fateAt(row, FATE.returned)]!;
      }
      for (let slot = 0; slot < used; slot++) {
        sessionsFull[slot] = sessionsFull[slot]! + values[fateAt(slot, FATE.sessions_full)]!;
        tooBig[slot] = tooBig[slot]! + values[fateAt(slot, FATE.too_big)]!;
        txRingFull[slot] = txRingFull[slot]! + values[fateAt(slot, FATE.tx_ring_full)]!;
      }
    });
    this.interfaces.forEach(({ program }, index) => {
      const kernel = program.readRuleCounters(0, used);
      for (let slot = 0; slot < used; slot++) {
        const at = slot * KERNEL_NUMBERS;
        for (const field of DROPPED) dropped[slot] = dropped[slot]! + kernel[at + field]!;
        passed[slot] = passed[slot]! + kernel[at + RULE_PACKETS.passed]! + kernel[at + RULE_PACKETS.delivered]!;
        fragments[slot] = fragments[slot]! + kernel[at + FRAGMENT_PACKETS]!;
        answered[slot] = answered[slot]! + kernel[at + ANSWERED_PACKETS]!;
      }
      const reasons = program.readXdpCounters(kernel).byReason;
      reasons.forEach((packets, reason) => byReason[reason]! += packets);
      uncovered[index] = reasons[REASON.UNCOVERED_QUEUE]!;
    });
    for (const [slot, base] of this.#base) {
      const { workers, dropped: drops, guarded, passed: passes, delivered, ...counts } = this.#counts("", base);
      const { answers: back, fragments: cut } = counts;
      for (const worker of workers) for (const packets of worker.received) received[slot] = received[slot]! - packets;
      for (const { received, fates } of back) {
        for (const packets of received) answers[slot] = answers[slot]! - packets;
        answered[slot] = answered[slot]! - fates[FATE.returned]!.packets;
      }
      answered[slot] = answered[slot]! - counts.answered.packets;
      dropped[slot] = dropped[slot]! - drops.packets - guarded.denied - guarded.banned - guarded.limited;
      passed[slot] = passed[slot]! - passes.packets - delivered.packets;
      fragments[slot] = fragments[slot]! - cut;
    }
  }

  /** The slot of a rule that this process has had. */
  slotOf(rule: string): number | undefined {
    return this.slots.slotOf(rule);
  }

  /** False while nothing can have come back to a rule: no rule has forwarded yet. */
  get #hasAnswers(): boolean {
    return this.slots.slotOf(TRANSLATION_PORTS) !== undefined;
  }

  get #queueEnds(): number {
    return this.interfaces.reduce((sum, { queues }) => sum + queues.length, 0);
  }

  /**
   * Rows of slots. Workers first: what a worker has counted was redirected before, so no sum looks larger than what it
   * came from.
   */
  #rows(first: number, count: number): Float64Array[] {
    const queueEnds = this.#queueEnds;
    const workersWidth = this.workers.length * (FATES.length * 2 + queueEnds);
    const kernelAt = 2 * workersWidth;
    const hasAnswers = this.#hasAnswers;
    const rows = Array.from({ length: count }, (_, index) => {
      const row = new Float64Array(kernelAt + KERNEL_NUMBERS);
      const slot = first + index;
      this.#fillRow(row, 0, () => slot);
      if (hasAnswers) this.#fillRow(row, workersWidth, ({ ruleSlots }) => answerRow(slot, ruleSlots));
      return row;
    });
    const kernel = this.#kernelNumbers(first, count);
    rows.forEach((row, index) => {
      row.set(kernel.subarray(index * KERNEL_NUMBERS, (index + 1) * KERNEL_NUMBERS), kernelAt);
      this.#base.get(first + index)?.forEach((value, at) => row[at] = row[at]! - value);
    });
    return rows;
  }

  /** Fills in what workers have counted in one of their rows. */
  #fillRow(row: Float64Array, from: number, rowOf: (counters: WorkerCounters) => number): void {
    const queueEnds = this.#queueEnds;
    let at = from;
    for (const counters of this.workers) {
      const number = rowOf(counters);
      for (let fate = 0; fate < FATES.length; fate++) {
        row[at++] = counters.packets(number, fate);
        row[at++] = counters.bytes(number, fate);
      }
      for (let port = 0; port < queueEnds; port++) row[at++] = counters.received(port, number);
    }
  }

  /** What the XDP programs of all interfaces have counted. */
  #kernelNumbers(first: number, count: number): Float64Array {
    const sums = new Float64Array(count * KERNEL_NUMBERS);
    for (const { program } of this.interfaces) {
      program.readRuleCounters(first, count).forEach((value, at) => sums[at] = sums[at]! + value);
    }
    return sums;
  }

  #counts(name: string, row: Float64Array): RuleCounts {
    const queueEnds = this.#queueEnds;
    let at = 0;
    const pair = (): PacketsBytes => ({ packets: row[at++]!, bytes: row[at++]! });
    const byWorker = (): WorkerRuleCounts[] =>
      this.workers.map(() => ({
        fates: FATES.map(pair),
        received: Array.from({ length: queueEnds }, () => row[at++]!),
      }));
    const workers = byWorker();
    const width = at;
    const cameBack = row.subarray(width, 2 * width).some((count) => count !== 0);
    const answers = cameBack ? byWorker() : [];
    at = 2 * width;
    const kernel = row.subarray(at);
    const guarded = {
      denied: kernel[RULE_PACKETS.denied]!,
      banned: kernel[RULE_PACKETS.banned]!,
      limited: kernel[RULE_PACKETS.limited]!,
      observed: kernel[OBSERVED_PACKETS]!,
      overTotal: kernel[OVER_TOTAL_PACKETS]!,
    };
    return {
      name,
      workers,
      answers,
      redirected: pair(),
      dropped: pair(),
      passed: pair(),
      delivered: pair(),
      answered: pair(),
      guarded,
      fragments: kernel[FRAGMENT_PACKETS]!,
    };
  }
}

function sumOf(one: Float64Array | undefined, other: Float64Array): Float64Array {
  return one === undefined ? other : one.map((value, index) => value + other[index]!);
}
