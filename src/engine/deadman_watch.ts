/**
 * What the deadman does: the kernel does it while nobody here runs, so that this hears of it afterwards.
 *
 * @module
 */
import type { DeadmanState, Heartbeats } from "../bpf/heartbeats.ts";
import { messageOf } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";

export interface DeadmanReport extends DeadmanState {
  /** Why the kernel does not look; "" where it does. */
  readonly why: string;
  /** Since everything last passed, milliseconds; Infinity where it never did. */
  readonly agoMs: number;
  /** The last time: for how long, and how many packets for listed ports passed. */
  readonly last: { readonly seconds: number; readonly packets: number };
}

export interface DeadmanWatchOptions {
  readonly heartbeats: Pick<Heartbeats, "deadman">;
  /** Arms it. */
  readonly arm: () => Promise<Disposable & { readonly fd?: number }>;
  /** Packets that have passed because of it so far, of all interfaces. */
  readonly packets: () => number;
  readonly timers?: Timers;
}

const log = logger("deadman");

export class DeadmanWatch implements Disposable {
  readonly #options: DeadmanWatchOptions;
  readonly #timers: Timers;
  #armed: Disposable & { readonly fd?: number } | undefined;
  #why = "it is not armed yet";
  #isDisposed = false;
  /** At the last look at which it was off. */
  #before: { readonly times: number; readonly seconds: number; readonly packets: number };
  #onMs = -Infinity;
  #last: DeadmanReport["last"] = { seconds: 0, packets: 0 };

  constructor(options: DeadmanWatchOptions) {
    this.#options = options;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    const { times, seconds } = options.heartbeats.deadman();
    this.#before = { times, seconds, packets: options.packets() };
  }

  /** Has the kernel look from now on: the loops turn. What cannot be armed is said in the log, and is missed. */
  async arm(): Promise<void> {
    try {
      const armed = await this.#options.arm();
      if (this.#isDisposed) return armed[Symbol.dispose]();
      this.#armed = armed;
      this.#why = "";
    } catch (error) {
      this.#why = messageOf(error).split("\n")[0]!;
      log.warn("There is no deadman: while this process stands still, packets for listed ports are lost: {reason}", {
        reason: this.#why,
        hint: "it needs BPF timers, which Linux has since 5.15; all else works",
      });
    }
  }

  /** Of what has to stay open for it to go on; undefined where it is not armed. */
  get fd(): number | undefined {
    return this.#armed?.fd;
  }

  report(): DeadmanReport {
    const { heartbeats, packets } = this.#options;
    const state = heartbeats.deadman();
    const now = this.#timers.now();
    if (state.isOn || state.times !== this.#before.times) {
      const passed = packets();
      this.#onMs = now;
      this.#last = { seconds: state.seconds - this.#before.seconds, packets: passed - this.#before.packets };
      if (!state.isOn) this.#before = { ...state, packets: passed };
    }
    return { ...state, why: this.#why, agoMs: now - this.#onMs, last: this.#last };
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#armed?.[Symbol.dispose]();
  }
}
