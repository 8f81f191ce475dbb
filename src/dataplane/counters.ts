/**
 * The counters of a worker, in shared memory: one writer, any number of readers.
 *
 * @module
 */
import { FATES } from "../steering/fate.ts";

/**
 * Numbers about a worker's loop, at the start of its counters. A pause is a millisecond or more in which a spinning
 * loop did not get round: it was kept from running.
 */
export const LOOP_COUNTERS = [
  "turns",
  "batches",
  "spun_ms",
  "sleeps",
  "tx_wakeups",
  "lock_misses",
  "pauses",
  "pause_ms",
  "sessions",
  "evictions",
  "refused_rows",
  "refused_ports",
  "refused_backends",
] as const;
export type LoopCounter = typeof LOOP_COUNTERS[number];
const LOOP_AT = Object.fromEntries(LOOP_COUNTERS.map((name, index) => [name, index])) as Readonly<
  Record<LoopCounter, number>
>;
export const TURNS_AT = LOOP_AT.turns;
export const BATCHES_AT = LOOP_AT.batches;
export const SPUN_MS_AT = LOOP_AT.spun_ms;
export const SLEEPS_AT = LOOP_AT.sleeps;
export const TX_WAKEUPS_AT = LOOP_AT.tx_wakeups;
export const LOCK_MISSES_AT = LOOP_AT.lock_misses;
export const PAUSES_AT = LOOP_AT.pauses;
export const PAUSE_MS_AT = LOOP_AT.pause_ms;
/** Forwarding sessions there are: the only one of these that also goes down. */
export const SESSIONS_AT = LOOP_AT.sessions;
/** Sessions that were replaced before their time, since the table was full. */
export const EVICTIONS_AT = LOOP_AT.evictions;

/**
 * New sessions that were refused: all rows, or all translation ports with the backend, had conversations; or all
 * backends had as many sessions as they may have.
 */
export const REFUSED_ROWS_AT = LOOP_AT.refused_rows;
export const REFUSED_PORTS_AT = LOOP_AT.refused_ports;
export const REFUSED_BACKENDS_AT = LOOP_AT.refused_backends;

/** Doubles in a cache line. */
const LINE_DOUBLES = 8;
/** Behind the loop's numbers, however many there are, on a cache line of their own. */
const FATES_AT = Math.ceil(LOOP_COUNTERS.length / LINE_DOUBLES) * LINE_DOUBLES;
const FATE_COUNT = FATES.length;

export function countersBytes(ruleSlots: number, queueEnds: number): number {
  const ofEnds = queueEnds * endDoubles(ruleSlots);
  return (FATES_AT + rowsOf(ruleSlots) * FATE_COUNT * 2 + ofEnds) * Float64Array.BYTES_PER_ELEMENT;
}

/** Everything that decides where a counter is, in words. */
export function countersShape(ruleSlots: number, queueEnds: number): string {
  return `${LOOP_COUNTERS.join()} at ${FATES_AT} ${FATES.join()} ${rowsOf(ruleSlots)} ${queueEnds} ${
    endDoubles(ruleSlots)
  }`;
}

/**
 * One worker's counters: doubles, exact to 2^53, written by that worker only, never reset.
 *
 * Layout: the loop's numbers, then packets and bytes by (row, fate), then for each queue end the packets received by
 * row, and how far its ring was ahead of them ({@linkcode aheadAt}). The
 * first rows are the rule slots; as many follow for what comes back to each rule ({@linkcode answerRow}).
 */
export class WorkerCounters {
  readonly values: Float64Array;
  readonly #receivedAt: number;

  constructor(readonly memory: ArrayBufferLike, readonly ruleSlots: number) {
    this.values = new Float64Array(memory);
    this.#receivedAt = FATES_AT + rowsOf(ruleSlots) * FATE_COUNT * 2;
  }

  static create(ruleSlots: number, queueEnds: number): WorkerCounters {
    return new WorkerCounters(new SharedArrayBuffer(countersBytes(ruleSlots, queueEnds)), ruleSlots);
  }

  loop(counter: LoopCounter): number {
    return this.values[LOOP_AT[counter]]!;
  }

  packets(row: number, fate: number): number {
    return this.values[fateAt(row, fate)]!;
  }

  bytes(row: number, fate: number): number {
    return this.values[fateAt(row, fate) + 1]!;
  }

  received(queueEnd: number, row: number): number {
    return this.values[this.receivedAt(queueEnd) + row]!;
  }

  /** Packets received from a queue end, by all rules, and of what comes back to them. */
  receivedFrom(queueEnd: number): number {
    const at = this.receivedAt(queueEnd);
    let sum = 0;
    for (let row = 0; row < rowsOf(this.ruleSlots); row++) sum += this.values[at + row]!;
    return sum;
  }

  /** Index of a queue end's received counters; add the row. */
  receivedAt(queueEnd: number): number {
    return this.#receivedAt + queueEnd * endDoubles(this.ruleSlots);
  }

  /**
   * Index of what was taken out of a queue end's rx ring less what was received from it, modulo 2^32, when its sockets
   * were opened: whoever goes on with it finds what was taken and has no fate.
   */
  aheadAt(queueEnd: number): number {
    return this.receivedAt(queueEnd) + rowsOf(this.ruleSlots);
  }
}

/** The row of what comes back to the rule of a slot: backends' answers, and errors about packets to backends. */
export function answerRow(slot: number, ruleSlots: number): number {
  return ruleSlots + slot;
}

function endDoubles(ruleSlots: number): number {
  return rowsOf(ruleSlots) + 1;
}

function rowsOf(ruleSlots: number): number {
  return 2 * ruleSlots;
}

/** Index of the packet counter of (row, fate); the byte counter follows it. */
export function fateAt(row: number, fate: number): number {
  return FATES_AT + (row * FATE_COUNT + fate) * 2;
}
