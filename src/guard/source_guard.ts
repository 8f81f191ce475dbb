/**
 * Who may send, in force: which policies each rule has, and the lists of sources in the kernel.
 *
 * All lists of all policies are built together into one of two places. Rules that change put another place in force
 * with themselves; lists that change on their own put it in force for the rules that are.
 *
 * @module
 */
import { clearSources, type SourceMaps } from "../bpf/source_maps.ts";
import { type GuardSettings, isGuarding, type Sources } from "../steering/guard.ts";
import type { Change } from "../steering/published.ts";
import type { Rule } from "../steering/rule.ts";
import { type BuildOrder, buildSources } from "./build.ts";

/** What guards the rules of one configuration. */
export interface RuleGuards {
  /** Policies that a rule has: a bit each; 0 where nobody is kept out. */
  policiesOf(rule: Pick<Rule, "sources">): bigint;
  /** Where the lists are that its policies are numbered by. */
  readonly place: number;
}

/** What Steering wants of it. */
export interface GuardSteering extends AsyncDisposable {
  /** Those in force. */
  readonly current: RuleGuards;
  /**
   * Makes the guards of a new configuration ready. One at a time, in a turn of the queue.
   *
   * @throws {SteerError} when they cannot be built; everything is as before then.
   */
  prepare(rules: readonly Rule[], settings: GuardSettings): Promise<Change & RuleGuards>;
}

export interface SourceGuardOptions {
  readonly maps: SourceMaps;
  /** Resolves when no packet reads any more what went out of force last. */
  readonly settled: () => Promise<void>;
}

/** What is built, as far as it matters whether it is the same again. */
interface Built {
  readonly order: Omit<BuildOrder, "place">;
  readonly key: string;
  readonly place: number;
}

const NOTHING: Built = { order: { policies: [], lists: [] }, key: JSON.stringify([[], []]), place: 0 };

export class SourceGuard implements GuardSteering {
  readonly #options: SourceGuardOptions;
  #inForce = NOTHING;
  #guards: RuleGuards = { policiesOf: () => 0n, place: NOTHING.place };
  /** The memory of the place that went out of force is given back. */
  #clearing: Promise<void> = Promise.resolve();

  constructor(options: SourceGuardOptions) {
    this.#options = options;
  }

  get current(): RuleGuards {
    return this.#guards;
  }

  async prepare(rules: readonly Rule[], { guard, lists }: GuardSettings): Promise<Change & RuleGuards> {
    const policies = new Policies(guard, rules);
    const order = { policies: policies.all, lists };
    const key = JSON.stringify([policies.all, lists]);
    const before = { inForce: this.#inForce, guards: this.#guards };
    const next = key === before.inForce.key ? before.inForce : await this.#build(order, key);
    const guards: RuleGuards = { policiesOf: (rule) => policies.of(rule), place: next.place };
    return {
      ...guards,
      flip: () => {
        this.#inForce = next;
        this.#guards = guards;
        if (next !== before.inForce) this.#clearLater(before.inForce.place);
      },
      back: () => {
        this.#inForce = before.inForce;
        this.#guards = before.guards;
      },
    };
  }

  async #build(order: Built["order"], key: string): Promise<Built> {
    await this.#clearing;
    const place = this.#inForce.place ^ 1;
    buildSources(this.#options.maps, { ...order, place }, () => []);
    return { order, key, place };
  }

  /** In the turn in which this is called, the port table is still to flip. */
  #clearLater(place: number): void {
    this.#clearing = Promise.resolve().then(() => this.#options.settled()).then(() => {
      if (place !== this.#inForce.place) clearSources(this.#options.maps, place);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#clearing;
  }
}

/** The different guards of all rules, with a number each. */
class Policies {
  readonly all: Sources[] = [];
  readonly #numbers = new Map<string, bigint>();
  readonly #common: bigint;

  constructor(guard: Sources, rules: readonly Rule[]) {
    this.#common = this.#bitOf(guard);
    for (const { sources } of rules) this.#bitOf(sources);
  }

  /** 0 where nobody is kept out. */
  #bitOf(sources: Sources | undefined): bigint {
    if (!isGuarding(sources)) return 0n;
    const key = JSON.stringify([sources.allow, sources.deny]);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const bit = 1n << BigInt(this.all.push(sources) - 1);
    this.#numbers.set(key, bit);
    return bit;
  }

  of({ sources }: Pick<Rule, "sources">): bigint {
    return this.#common | this.#bitOf(sources);
  }
}
