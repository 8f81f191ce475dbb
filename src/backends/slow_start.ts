/**
 * Backends that come, or come back, get their share of new sessions step by step.
 *
 * @module
 */
import type { Backend } from "../steering/forward.ts";

/** A share grows in so many steps: each makes a table anew. */
const STEPS = 10;

interface Starting {
  readonly sinceMs: number;
  readonly lengthMs: number;
  /** Of {@linkcode STEPS}, as it was last written. */
  step: number;
}

/** By rule and IP version: for how long backends have got new sessions, in milliseconds; null: for ever. */
export type StartsStanding = readonly (readonly [
  rule: string,
  backends: readonly (readonly [name: string, ageMs: number | null])[],
])[];

export class SlowStart {
  /** By rule and IP version, then by backend: those that get new sessions. */
  #known = new Map<string, Map<string, Starting>>();
  #next = new Map<string, Map<string, Starting>>();

  /**
   * @param now Milliseconds of any clock that only goes forward.
   * @param before What {@linkcode standing} was in the process before.
   */
  constructor(private readonly now: () => number, before: StartsStanding = []) {
    const nowMs = now();
    for (const [rule, backends] of before) {
      this.#known.set(
        rule,
        new Map(backends.map(([name, ageMs]) => {
          const sinceMs = ageMs === null ? -Infinity : nowMs - ageMs;
          return [name, { sinceMs, lengthMs: 0, step: STEPS }]; // nothing is due until a table is written
        })),
      );
    }
  }

  /** For a process that comes after this one. */
  get standing(): StartsStanding {
    const nowMs = this.now();
    return [...this.#known].map(([rule, backends]) => [
      rule,
      [...backends].map(([name, { sinceMs }]) => [name, sinceMs === -Infinity ? null : nowMs - sinceMs]),
    ]);
  }

  /** Begins a table. */
  begin(): void {
    this.#next = new Map();
  }

  /** The table is written: rules it does not have are forgotten. */
  end(): void {
    this.#known = this.#next;
  }

  /**
   * The weights of backends that get new sessions, in their order. Those that a rule had when it was first written have
   * their whole weight.
   *
   * @param rule Tells the rule, and the IP version.
   * @param seconds Until a backend has its whole weight; null: it has it at once.
   */
  weights(rule: string, backends: readonly Backend[], seconds: number | null): number[] {
    const whole = backends.map(({ weight }) => weight);
    const known = this.#known.get(rule);
    const nowMs = this.now();
    // Who has it at once has had it for ever, should the rule begin to start slowly.
    const beginMs = known === undefined || seconds === null ? -Infinity : nowMs;
    const lengthMs = (seconds ?? 0) * 1000;
    const starting = new Map(backends.map(({ name }): [string, Starting] => {
      const sinceMs = seconds === null ? beginMs : known?.get(name)?.sinceMs ?? beginMs;
      return [name, { sinceMs, lengthMs, step: stepOf(sinceMs, lengthMs, nowMs) }];
    }));
    this.#next.set(rule, starting);
    const steps = [...starting.values()].map(({ step }) => step);
    // The same part of each is the whole of each.
    return steps.every((step) => step === steps[0]) ? whole : whole.map((weight, index) => weight * steps[index]!);
  }

  /** Whether a share is to grow by now. */
  get due(): boolean {
    const nowMs = this.now();
    return [...this.#known.values()].some((backends) =>
      [...backends.values()].some(({ sinceMs, lengthMs, step }) => stepOf(sinceMs, lengthMs, nowMs) !== step)
    );
  }
}

function stepOf(sinceMs: number, lengthMs: number, nowMs: number): number {
  return lengthMs === 0 ? STEPS : Math.min(STEPS, 1 + Math.floor((nowMs - sinceMs) / lengthMs * STEPS));
}
