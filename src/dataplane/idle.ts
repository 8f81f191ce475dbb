/**
 * What a worker does while no packets come: spin, look at the clock, or sleep. The policy sees a clock and its ends
 * through two small interfaces, so tests run it without a kernel.
 *
 * @module
 */
import { PAUSE_MS_AT, PAUSES_AT, SLEEPS_AT, SPUN_MS_AT } from "./counters.ts";
import { REST, type Rest } from "./queue_end.ts";

export type WaitMode = "adaptive" | "poll" | "busy";

/** What a worker sleeps on, and its clock; a PollSet is one. */
export interface Waiter {
  /** Sleeps until something comes. @param timeoutMs -1: for ever. */
  wait(timeoutMs: number): void;
  /** Notes the time that {@linkcode readElapsed} counts from. */
  mark(): void;
  /** Puts the time since the last mark into {@linkcode elapsed}, and marks anew. */
  readElapsed(): void;
  /** One number, milliseconds. */
  readonly elapsed: Float64Array;
}

/** What the policy has to know of the worker's ends. */
export interface Idlers {
  /** How long the worker may sleep. */
  rest(): Rest;
  /** True where a driver wants to be told by poll(2) that its fill ring has entries. */
  fillNeedsWakeup(): boolean;
}

/** How long an adaptive worker spins before it goes to sleep, while packets come quickly. */
const ADAPTIVE_SPIN_MS = 0.03;
/**
 * What "quickly" is, sleep and wakeup included: after a longer sleep, an adaptive worker no longer spins before it
 * sleeps.
 */
const SPIN_WORTH_MS = 0.04;
/**
 * After a batch of at most so many packets, an adaptive worker times its sleep: whether it should spin is for those who
 * wait for each packet. After a larger one it does so now and then, for two looks at the clock cost as much as some
 * packets.
 */
const FEW_PACKETS = 8;
const TIMED_SLEEPS = 16;
/** Empty turns between looks at the clock while spinning: some microseconds. */
const CLOCK_TURNS = 128;
/** What a spinning loop notes as a pause. */
const PAUSE_MS = 1;
/**
 * Longest sleep if something has to be looked at without a wakeup: sessions that expire, completions, and a zero-copy
 * driver that asked for chunks just when the worker fell asleep. Others sleep until they are woken: a timer is a tenth
 * of what a short sleep costs.
 */
const SLEEP_MS = 100;
const FOR_EVER_MS = -1;
/** Longest sleep while packets wait to be sent, or the fill ring runs low. */
export const SHORT_SLEEP_MS = 1;

export class Idle {
  /** True if something may need a look without a wakeup: no sleep is longer than {@linkcode SLEEP_MS} then. */
  looksUp = false;
  readonly #waiter: Waiter;
  readonly #ends: Idlers;
  /** The worker's counters. */
  readonly #values: Float64Array;
  readonly #adaptive: boolean = false;
  readonly #spinMs: number = 0;
  #spins = false;
  #emptyTurns = 0;
  #lastReceived = 0;
  #untimedSleeps = 0;
  /** Since packets came last; an array, since a number of its own would be put on the heap. */
  readonly #spunMs = new Float64Array(1);

  constructor(wait: WaitMode, waiter: Waiter, ends: Idlers, values: Float64Array) {
    this.#waiter = waiter;
    this.#ends = ends;
    this.#values = values;
    this.#adaptive = wait === "adaptive";
    this.#spinMs = wait === "busy" ? Infinity : ADAPTIVE_SPIN_MS;
    this.#spins = wait !== "poll";
  }

  /** Packets came in this turn. Hot path: no allocation. */
  received(packets: number): void {
    if (this.#emptyTurns > 0 && this.#spins) this.#addSpun();
    this.#emptyTurns = 0;
    this.#lastReceived = packets;
  }

  /** The first call of an empty turn, before anything else is done in it. Hot path: no allocation. */
  empty(): void {
    if (this.#emptyTurns++ !== 0 || !this.#spins) return;
    this.#waiter.mark();
    this.#spunMs[0] = 0;
  }

  /**
   * Spins on, or sleeps until something comes. Hot path: no allocation.
   *
   * @param waiting True while packets are parked: the sleep is short.
   * @returns True if time has passed that is worth a look at what expires.
   */
  pass(waiting: boolean): boolean {
    let rest: Rest;
    if ((!this.#spins || this.#spunMs[0]! >= this.#spinMs) && (rest = this.#ends.rest()) !== REST.none) {
      this.#sleep(rest, waiting);
      this.#emptyTurns = 0;
      return true;
    }
    // poll(2) also tells a zero-copy driver to look at its fill ring.
    if (this.#ends.fillNeedsWakeup()) this.#waiter.wait(0);
    if (!this.#spins || this.#emptyTurns % CLOCK_TURNS !== 0) return false;
    this.#addSpun();
    return true;
  }

  /** Sleeps until something comes, and decides whether to spin before the next sleep. */
  #sleep(rest: Rest, waiting: boolean): void {
    const waiter = this.#waiter;
    const values = this.#values;
    const timed = this.#adaptive &&
      (this.#spins || this.#lastReceived <= FEW_PACKETS || ++this.#untimedSleeps === TIMED_SLEEPS);
    if (timed && !this.#spins) waiter.mark(); // else the end of spinning is marked
    values[SLEEPS_AT] = values[SLEEPS_AT]! + 1;
    if (rest === REST.short || waiting) waiter.wait(SHORT_SLEEP_MS);
    else waiter.wait(rest === REST.limited || this.looksUp ? SLEEP_MS : FOR_EVER_MS);
    if (!timed) return;
    this.#untimedSleeps = 0;
    waiter.readElapsed();
    this.#spins = waiter.elapsed[0]! < SPIN_WORTH_MS;
  }

  /**
   * Counts the time spun since the last look at the clock: at most {@linkcode CLOCK_TURNS} turns, far less than 1 ms.
   */
  #addSpun(): void {
    const values = this.#values;
    this.#waiter.readElapsed();
    const spunMs = this.#waiter.elapsed[0]!;
    this.#spunMs[0] = this.#spunMs[0]! + spunMs;
    values[SPUN_MS_AT] = values[SPUN_MS_AT]! + spunMs;
    if (spunMs < PAUSE_MS) return;
    values[PAUSES_AT] = values[PAUSES_AT]! + 1;
    values[PAUSE_MS_AT] = values[PAUSE_MS_AT]! + spunMs;
  }
}
