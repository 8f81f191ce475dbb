/**
 * Who may send, in force: which policies each rule has, and the lists of sources in the kernel.
 *
 * All lists of all policies are built together into one of a few places. Rules that change put another place in force
 * with themselves; lists that change on their own put it in force for the rules that are.
 *
 * @module
 */
import { LIMIT } from "../bpf/layout.gen.ts";
import type { SourceMaps } from "../bpf/source_maps.ts";
import { wideSources } from "../config/wide_sources.ts";
import { ChangeQueue } from "../engine/change_queue.ts";
import { messageOf } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import { type GuardSettings, isGuarding, type Sources } from "../steering/guard.ts";
import type { Change } from "../steering/published.ts";
import type { Rule } from "../steering/rule.ts";
import type { BuildOrder } from "./build.ts";
import { BuilderHere, BuilderThread, type BuilderThreadOptions, needsThread, type SourceBuilder } from "./builders.ts";
import { ListLog } from "./list_log.ts";
import type { ListReport } from "./list_report.ts";

/** After a failure. */
const RETRY_MS = 5000;

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
  /** How the lists in force stand. */
  readonly reports: readonly ListReport[];
  /**
   * Makes the guards of a new configuration ready. One at a time, in a turn of the queue.
   *
   * @throws {SteerError} when they cannot be built; everything is as before then.
   */
  prepare(rules: readonly Rule[], settings: GuardSettings): Promise<Change & RuleGuards>;
}

export interface SourceGuardOptions {
  /** The module of the process. */
  readonly entry: URL;
  readonly maps: SourceMaps;
  /** Where copies of pages are kept. */
  readonly directory: string;
  readonly queue: ChangeQueue;
  /** The rules in force read their lists in this place from now on. */
  readonly use: (place: number) => void;
  /** Resolves when no packet reads any more what went out of force last. */
  readonly settled: () => Promise<void>;
  readonly timers?: Timers;
  /** Others than those of the kernel, for tests. */
  readonly builders?: Builders;
}

/** Who builds lists. */
export interface Builders {
  readonly here: (maps: SourceMaps) => SourceBuilder;
  readonly thread: (options: BuilderThreadOptions) => SourceBuilder & { readonly hasFailed: boolean };
}

const BUILDERS: Builders = {
  here: (maps) => new BuilderHere(maps),
  thread: (options) => new BuilderThread(options),
};

/** What is built, as far as it matters whether it is the same again. */
interface Built {
  readonly order: Omit<BuildOrder, "place">;
  readonly key: string;
  readonly place: number;
}

const NOTHING: Built = { order: { policies: [], lists: [] }, key: JSON.stringify([[], []]), place: 0 };

const log = logger("lists");

/** Knows nothing else: what was in force before would be kept with it, and what was before that. */
function guardsOf(policies: Policies, place: number): RuleGuards {
  return { policiesOf: (rule) => policies.of(rule), place };
}

export class SourceGuard implements GuardSteering {
  readonly #options: SourceGuardOptions;
  readonly #timers: Timers;
  readonly #log = new ListLog();
  #here: SourceBuilder | undefined;
  #thread: ReturnType<Builders["thread"]> | undefined;
  #inForce = NOTHING;
  #wide: ReadonlySet<string> = new Set();
  #guards: RuleGuards = { policiesOf: () => 0n, place: NOTHING.place };
  /** Places that are not free: prepared for a change of rules, or about to be given back. */
  #prepared = NOTHING.place;
  readonly #leaving = new Set<number>();
  /** Building and clearing, one after the other. */
  readonly #work = new ChangeQueue();
  /** Lists are built anew; again: they have changed since that began. */
  #following: "no" | "yes" | "again" = "no";
  #retry: Disposable | undefined;
  #disposed = false;

  constructor(options: SourceGuardOptions) {
    this.#options = options;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
  }

  get current(): RuleGuards {
    return this.#guards;
  }

  get reports(): readonly ListReport[] {
    return this.#builderFor(this.#inForce.order).reports;
  }

  async prepare(rules: readonly Rule[], { guard, lists }: GuardSettings): Promise<Change & RuleGuards> {
    const policies = new Policies(guard, rules);
    const order = { policies: policies.all, lists };
    const key = JSON.stringify([policies.all, lists]);
    const before = { inForce: this.#inForce, guards: this.#guards };
    const next = key === before.inForce.key
      ? before.inForce
      : await this.#build(order, key, (place) => this.#prepared = place);
    const guards = guardsOf(policies, next.place);
    const wide = wideSources({ guard, lists, steering: rules }).map(({ message }) => message);
    return {
      ...guards,
      flip: () => {
        this.#guards = guards;
        this.#tellWide(wide);
        if (next !== before.inForce) this.#replace(next);
      },
      back: () => {
        this.#inForce = before.inForce;
        this.#guards = before.guards;
      },
    };
  }

  /** Once for each that was not in force before. */
  #tellWide(messages: readonly string[]): void {
    for (const message of messages) if (!this.#wide.has(message)) log.warn("{message}", { message });
    this.#wide = new Set(messages);
  }

  #builderFor({ lists }: Built["order"]): SourceBuilder {
    const { entry, maps, directory, builders = BUILDERS } = this.#options;
    if (!needsThread(lists)) return this.#here ??= builders.here(maps);
    if (this.#thread?.hasFailed) this.#thread = undefined;
    return this.#thread ??= builders.thread({
      ...{ entry, maps, directory },
      onChange: () => this.#changed(),
      onReports: (reports) => this.#log.tell(reports),
    });
  }

  /** @param taken Called with the place before it is written. */
  #build(order: Built["order"], key: string, taken: (place: number) => void): Promise<Built> {
    return this.#work.run(async () => {
      const used = new Set([this.#inForce.place, this.#prepared, ...this.#leaving]);
      const place = Array.from({ length: LIMIT.SOURCE_TABLES }, (_, index) => index).find((each) => !used.has(each))!;
      taken(place);
      await this.#builderFor(order).build({ ...order, place });
      return { order, key, place };
    });
  }

  /** Others are in force; the memory of those before is given back when no packet reads them any more. */
  #replace(next: Built): void {
    const { place } = this.#inForce;
    this.#inForce = next;
    this.#leaving.add(place);
    // In the turn in which this is called, the port table is still to flip.
    const settled = Promise.resolve().then(() => this.#options.settled());
    void this.#work.run(async () => {
      await settled;
      this.#leaving.delete(place);
      if (place !== this.#inForce.place) await this.#builderFor(this.#inForce.order).clear(place);
    }).catch(() => {}); // it is given back when it is written next
    this.#builderFor(next.order).keep(next.order.lists);
    if (needsThread(next.order.lists)) return;
    this.#thread?.[Symbol.dispose]();
    this.#thread = undefined;
  }

  /** Lists hold something else than what was built. */
  #changed(): void {
    if (this.#following !== "no") this.#following = "again";
    else void this.#follow();
  }

  async #follow(): Promise<void> {
    let again = true;
    while (again && !this.#disposed) {
      this.#following = "yes";
      try {
        const { order, key } = this.#inForce;
        if (!needsThread(order.lists)) break;
        const built = await this.#build(order, key, () => {});
        await this.#options.queue.run(() => Promise.try(() => this.#use(built)));
      } catch (error) {
        if (this.#disposed) break;
        log.error("The lists in force are not what they hold now: {reason}", { reason: messageOf(error) });
        this.#retry = this.#timers.after(RETRY_MS, () => this.#changed());
        break;
      }
      again = this.#isOutdated;
    }
    this.#following = "no";
  }

  get #isOutdated(): boolean {
    return this.#following === "again";
  }

  #use(built: Built): void {
    if (this.#disposed) return;
    if (built.key !== this.#inForce.key) {
      this.#following = "again"; // other rules have come into force meanwhile
      return;
    }
    this.#options.use(built.place);
    this.#guards = { ...this.#guards, place: built.place };
    this.#replace(built);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#retry?.[Symbol.dispose]();
    this.#thread?.[Symbol.dispose]();
    await this.#work.idle;
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
