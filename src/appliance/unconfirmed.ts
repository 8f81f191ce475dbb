/**
 * A change that is in force, and is taken back by itself unless it is confirmed in time: a box that locked its operator
 * out repairs itself.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";

/** What waits, for whoever asks. */
export interface UnconfirmedState {
  /** What is in force only for now, in words. */
  readonly changes: readonly string[];
  readonly seconds: number;
  readonly secondsLeft: number;
}

/** What a confirmation did. */
export interface Confirmed {
  readonly changes: readonly string[];
  /** The file holds them: true where it was to be written, and was. */
  readonly saved: boolean;
  /** Why it was not written though it was to be. */
  readonly reason?: string;
}

/** What becomes of a change. */
export interface Outcome {
  /** Puts in force what was before. Is tried again until it does not fail. */
  readonly takeBack: (seconds: number) => Promise<unknown>;
  /** Keeps it, for the next start too. */
  readonly keep: () => Promise<{ readonly saved: boolean }>;
}

interface Waiting {
  readonly changes: readonly string[];
  readonly seconds: number;
  readonly untilMs: number;
  /** By change that was made on top of another, the first one first. */
  readonly outcomes: readonly Outcome[];
}

/** Between attempts to take back what cannot be. */
const AGAIN_MS = 1000;

const log = logger("reload");

export class Unconfirmed implements Disposable {
  #waiting: Waiting | undefined;
  #timer: Disposable | undefined;

  constructor(private readonly timers: Timers = SYSTEM_TIMERS) {}

  get state(): UnconfirmedState | null {
    if (this.#waiting === undefined) return null;
    const { changes, seconds, untilMs } = this.#waiting;
    return { changes, seconds, secondsLeft: Math.max(0, Math.ceil((untilMs - this.timers.now()) / 1000)) };
  }

  /**
   * A change has come into force that has to be confirmed. With one that waits already it makes one: what was in force
   * before the first comes back, and the time begins anew.
   */
  begin(changes: readonly string[], seconds: number, outcome: Outcome): void {
    const { changes: before = [], outcomes = [] } = this.#waiting ?? {};
    this.#waiting = {
      changes: [...before, ...changes],
      seconds,
      untilMs: this.timers.now() + seconds * 1000,
      outcomes: [...outcomes, outcome],
    };
    log.warn("This is in force for {seconds} s, and taken back unless it is confirmed: {changes}", {
      seconds,
      changes: this.#waiting.changes,
      hint: "xdpsteer confirm",
    });
    this.#wait(seconds * 1000);
  }

  /** @throws {SteerError} where nothing waits. In a turn of the queue. */
  async confirm(): Promise<Confirmed> {
    const waiting = this.#waiting;
    if (waiting === undefined) {
      throw new SteerError("No change waits for a confirmation", {
        hint: "there was none, or it was taken back already: xdpsteer status, or the log",
      });
    }
    this.end();
    const { changes, outcomes } = waiting;
    log.info("Confirmed: {changes}", { changes });
    let saved = false;
    const reasons: string[] = [];
    for (const { keep } of outcomes) {
      try {
        if ((await keep()).saved) saved = true;
      } catch (error) {
        reasons.push(messageOf(error));
      }
    }
    if (reasons.length === 0) return { changes, saved };
    const reason = reasons.join("; ");
    log.error("What was confirmed is in force, and not saved: {reason}", { reason });
    return { changes, saved: false, reason };
  }

  #wait(ms: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.timers.after(ms, () => void this.#takeBack());
  }

  async #takeBack(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const { changes, seconds, outcomes } = waiting;
    try {
      await outcomes[0]!.takeBack(seconds);
    } catch (error) {
      if (this.#waiting !== waiting) return;
      log.error("What nobody has confirmed cannot be taken back yet: {reason}", { reason: messageOf(error) });
      this.#wait(AGAIN_MS);
      return;
    }
    log.warn("Taken back, since nobody has confirmed it within {seconds} s: {changes}", { seconds, changes });
  }

  /** Nothing waits any more: it is confirmed, or taken back. */
  end(): void {
    this.#waiting = undefined;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  /** What waits stays in force for as long as this process does. */
  [Symbol.dispose](): void {
    this.end();
  }
}
