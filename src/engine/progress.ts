/**
 * Whether each worker's loop turns. That is its health: a thread that exists but does not run serves nobody.
 *
 * A worker counts its turns, and sleeps while there is nothing to do. So the control thread looks a few times a second,
 * wakes a worker that has not turned since the last look, and counts the time in which it still does not. No worker
 * does anything for this.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";

/** The loops that are watched. */
export interface WatchedLoops {
  readonly count: number;
  /** Turns of a worker's loop so far. */
  turns(worker: number): number;
  /** Ends a worker's sleep. */
  wake(worker: number): void;
  /** False for a worker whose thread only starts, or whose sockets another process has. */
  isExpected(worker: number): boolean;
  /** CPU time of a worker's thread, milliseconds. */
  cpuMs(worker: number): number;
  /** Whether a worker's thread waits for something that a wakeup does not end. */
  waits(worker: number): boolean;
  /** Is told at each look of a loop that hangs. */
  onHang(worker: number): void;
  /** Why a worker's thread does not run, in words, as far as can be seen. */
  reason(worker: number): string;
}

/** Between two looks. */
const LOOK_MS = 200;
/**
 * A loop that has stood still for so long after it was woken, which is 0.6 to 0.8 s after its last turn, hangs where
 * its thread has had a CPU for half of that time: nothing that a turn does takes as long. One that has had none is the
 * victim of somebody else.
 */
const HANGING_MS = 400;
/** The same of one whose thread waits, at each look: the runtime's own threads, which it may wait for, have no CPU. */
const WAITING_MS = 2000;
/** A loop that has stood still for so long is stalled: nothing that a turn does takes as long. */
const STALLED_MS = 800;
/** After so long only a restart can help. */
const HOPELESS_MS = 30_000;
/** How long after it a loop's standing still is the likely cause of what was lost. */
const LATELY_MS = 10_000;

interface Loop {
  turns: number;
  /** It was woken at the last look, and has not turned since the one before. */
  isWoken: boolean;
  /** Since it was woken without turning. */
  stillMs: number;
  /** The same, all that there was. */
  totalMs: number;
  /** CPU time of its thread when it was first seen standing still. */
  cpuMs: number;
  /** For how long it has been seen waiting, each time. */
  waitedMs: number;
  /** When it was last seen standing still. */
  lastStillMs: number;
}

export class WorkerProgress implements Disposable {
  /** Rejects when a loop has stood still for {@linkcode HOPELESS_MS}. */
  readonly failure: Promise<never>;
  readonly #fail: (error: SteerError) => void;
  readonly #loops: Loop[];
  readonly #timer: Disposable;
  #lookedMs: number;

  /** Looks from now on: the loops run. */
  constructor(private readonly watched: WatchedLoops, private readonly timers: Timers = SYSTEM_TIMERS) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.failure.catch(() => {}); // whoever cares awaits it
    this.#fail = reject;
    this.#loops = Array.from({ length: watched.count }, (_, worker) => ({
      turns: watched.turns(worker),
      ...{ isWoken: false, stillMs: 0, totalMs: 0, cpuMs: 0, waitedMs: 0, lastStillMs: -Infinity },
    }));
    this.#lookedMs = timers.now();
    this.#timer = timers.every(LOOK_MS, () => this.look());
  }

  /** True while a worker's loop has not turned for {@linkcode STALLED_MS}, though it was woken. */
  isStalled(worker: number): boolean {
    return this.#loops[worker]!.stillMs >= STALLED_MS;
  }

  /** Whether a worker's loop stands still, or did within the last {@linkcode LATELY_MS}, if only for some 0.2 s. */
  stoodStill(worker: number): boolean {
    return this.timers.now() - this.#loops[worker]!.lastStillMs <= LATELY_MS;
  }

  /** Milliseconds for which a worker's loop stood still so far, though it was woken. Never goes down. */
  stillMs(worker: number): number {
    return this.#loops[worker]!.totalMs;
  }

  /** The same, of the time since it turned last. */
  stillMsNow(worker: number): number {
    return this.#loops[worker]!.stillMs;
  }

  /** Since when a worker's loop does not turn, and why its thread does not run, in words. */
  reason(worker: number): string {
    const seconds = Math.max(1, Math.round(this.#loops[worker]!.stillMs / 1000));
    return `it has not turned for ${seconds} s, though it was woken: ${this.watched.reason(worker)}`;
  }

  look(): void {
    const now = this.timers.now();
    // A control thread that was kept from its CPU knows nothing of the time in between.
    const passedMs = Math.min(now - this.#lookedMs, 2 * LOOK_MS);
    this.#lookedMs = now;
    for (const [worker, loop] of this.#loops.entries()) {
      const turns = this.watched.turns(worker);
      if (turns !== loop.turns || !this.watched.isExpected(worker)) {
        loop.turns = turns;
        loop.isWoken = false;
        loop.stillMs = loop.waitedMs = 0;
        continue;
      }
      if (loop.isWoken) {
        loop.stillMs += passedMs;
        loop.totalMs += passedMs;
        loop.lastStillMs = now;
        loop.waitedMs = this.watched.waits(worker) ? loop.waitedMs + passedMs : 0;
      } else loop.cpuMs = this.watched.cpuMs(worker);
      loop.isWoken = true;
      this.watched.wake(worker);
      if (loop.stillMs >= HANGING_MS && this.#hangs(worker, loop)) this.watched.onHang(worker);
      if (loop.stillMs >= HOPELESS_MS) this.#giveUp(worker);
    }
  }

  #hangs(worker: number, { cpuMs, waitedMs }: Loop): boolean {
    return this.watched.cpuMs(worker) - cpuMs >= HANGING_MS / 2 || waitedMs >= WAITING_MS;
  }

  #giveUp(worker: number): void {
    const reason = this.watched.reason(worker);
    this.#fail(
      new SteerError(`Worker ${worker} has not run for ${HOPELESS_MS / 1000} s: ${reason}`, {
        hint: "the packets of its ports are lost meanwhile; a new process has new threads",
      }),
    );
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }
}
