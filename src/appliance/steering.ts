/**
 * The rules in force: puts a new set in force in the workers and in the kernel, all of it or nothing.
 *
 * Each part is prepared first: counter slots, forward table, captures, worker table, port table. Preparing may fail,
 * and changes nothing that a packet meets. Then all parts flip, the port table last. The old rules are forgotten when
 * no packet is left that was steered by them.
 *
 * @module
 */
import type { Forwarding } from "../backends/forwarding.ts";
import { answerRules } from "../backends/translation.ts";
import type { PortSteering } from "../bpf/port_table.ts";
import type { CaptureChange } from "../capture/captures.ts";
import type { Config } from "../config/schema.ts";
import { TABLE } from "../dataplane/control_words.ts";
import type { ChangeQueue } from "../engine/change_queue.ts";
import type { Delivery } from "../engine/delivery.ts";
import { orRefused } from "../engine/room.ts";
import type { ReadingWorkers } from "../engine/workers.ts";
import { messageOf } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import type { GuardSteering, RuleGuards } from "../guard/source_guard.ts";
import { logger } from "../log.ts";
import { compilePortMap, compileWorkerTable, soleRules } from "../steering/compile.ts";
import { diffAddresses, diffGuards, diffRules } from "../steering/diff.ts";
import { type GuardSettings, NO_GUARD } from "../steering/guard.ts";
import type { RuleBans } from "../steering/rule_guard.ts";
import type { PortMap } from "../steering/port_map.ts";
import { type Change, Changes, flipOf, Published } from "../steering/published.ts";
import { type Rule, translates } from "../steering/rule.ts";
import type { RuleSlots } from "../steering/slots.ts";
import { copyWorkerTable, type WorkerTable } from "../steering/worker_table.ts";
import { roundMs } from "../text.ts";

/** What a change did. */
export interface Applied {
  readonly generation: number;
  /** One line per rule added (+), removed (-) or changed (~). Empty when nothing differed: no flip was made. */
  readonly changes: readonly string[];
  /** What an operator has done by hand to backends, which goes on as before, in words. */
  readonly kept?: readonly string[];
  /** From the flip to the end of the comparison with what the kernel has. */
  readonly elapsedMs: number;
}

/** What Steering wants of deliveries to local programs. */
export type DeliverySteering = Pick<Delivery, "prepare" | "release">;

/** What Steering wants of captures. */
export interface CaptureSteering {
  prepare(rules: readonly Rule[]): Promise<CaptureChange>;
  /** Rules whose captures have failed. */
  readonly failed: readonly string[];
}

export interface SteeringOptions {
  readonly portTable: PortSteering;
  readonly guard: GuardSteering;
  /** Which bans there are for a rule. */
  readonly bansOf?: (rule: string) => RuleBans | undefined;
  /**
   * False where packets may reach a worker that the port table does not send there: an XDP program of the operator's.
   */
  readonly exact: boolean;
  readonly tables: readonly WorkerTable[];
  readonly slots: RuleSlots;
  /** As a change: the counts of slots that pass to other rules are put aside. */
  readonly retirement: (slots: Iterable<number>) => Change;
  readonly workers: ReadingWorkers;
  readonly queue: ChangeQueue;
  readonly translation: Config["forwarding"];
  readonly forwarding: Forwarding;
  /** Undefined where no rule delivers. */
  readonly delivery?: DeliverySteering;
  /** Called when the first rule is captured. */
  readonly openCaptures: () => Promise<CaptureSteering>;
  readonly timers?: Timers;
  /** The last one of the process before. Default: 0. */
  readonly generation?: number | undefined;
}

/** Between two attempts to forget the old rules, and two looks at whether sessions are left. */
const AGAIN_MS = 1000;

const log = logger("steering");

export class Steering implements AsyncDisposable {
  /** Those of the configuration. */
  #configured: readonly Rule[] = [];
  /** Translation addresses of the configuration. */
  #addresses: readonly string[] = [];
  /** Who may send, by the configuration. */
  #guard: GuardSettings = NO_GUARD;
  /** Those, and those for the translation ports. */
  #rules: readonly Rule[] = [];
  #generation = 0;
  #isInForce = false;
  /** Rules whose packets are left to the kernel stack, since no backend is healthy. */
  #passing: ReadonlySet<string> = new Set();
  /** Names of rules by which packets may have been steered that are still on their way. */
  #unsettled: ReadonlySet<string> = new Set();
  #captured: Promise<void> = Promise.resolve();
  #captures: CaptureSteering | undefined;
  #again: Disposable | undefined;
  #stopped = false;
  readonly #options: SteeringOptions;
  readonly #timers: Timers;
  readonly #tables: Published<WorkerTable>;

  constructor(options: SteeringOptions) {
    this.#options = options;
    this.#generation = options.generation ?? 0;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    this.#tables = new Published(options.tables, options.workers.readers(TABLE.rules));
  }

  /** Those of the configuration. */
  get rules(): readonly Rule[] {
    return this.#configured;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Whether this process has put rules in force. */
  get isInForce(): boolean {
    return this.#isInForce;
  }

  get forwarding(): Forwarding {
    return this.#options.forwarding;
  }

  /** How the lists of sources stand. */
  get lists(): GuardSteering["reports"] {
    return this.#options.guard.reports;
  }

  /** Resolves when the captures of the rules in force have begun, or the log says why not. */
  get captured(): Promise<void> {
    return this.#captured;
  }

  /**
   * Puts `rules` in force. To be called in a turn of the queue.
   *
   * The workers learn of new ports before the kernel steers any of them, and remember old ports after it has stopped,
   * so that a packet steered under one generation can be processed under the next.
   *
   * @param settings `addresses`: the configuration's translation addresses, `guard`: who may send; undefined: those in
   * force. `ready`: what has to be done before a packet is steered.
   * @throws {SteerError} when any part cannot be prepared; everything is as before then.
   */
  async apply(
    configured: readonly Rule[],
    { addresses = this.#addresses, guard = this.#guard, ready }: {
      addresses?: readonly string[];
      guard?: GuardSettings;
      ready?: Promise<void>;
    } = {},
  ): Promise<Applied> {
    const before = [this.#configured, this.#addresses, this.#guard];
    if (this.#isInForce && await areSame([configured, addresses, guard], before)) {
      const kept = this.forwarding.held;
      const changes = await this.#tryCapturesAgain();
      return { generation: this.#generation, changes, elapsedMs: 0, ...(kept.length === 0 ? {} : { kept }) };
    }
    const { forwarding, portTable, retirement, slots } = this.#options;
    const generation = this.#generation + 1;
    const rules = [...configured, ...this.#answersFor(configured)];
    await this.#makeRoom(configured, rules);

    const changes = new Changes();
    const names = rules.map(({ name }) => name);
    const plan = orRefused("rules", () => slots.plan(names, generation, this.#unsettled));
    changes.add(retirement(plan.reused));
    changes.add(plan);
    const forward = changes.add(await forwarding.prepare(configured, plan.slots, addresses));
    const captures = await this.#prepareCaptures(configured);
    if (captures !== undefined) changes.add(captures);
    changes.add(
      await this.#prepareTable((idle, current) => compileWorkerTable(idle, current, rules, plan.slots, plan.reused)),
    );
    await this.#options.delivery?.prepare(configured);
    const guards = changes.add(await this.#options.guard.prepare(configured, guard));
    const start = this.#timers.now();
    const ports = this.#portMapOf(rules, plan.slots, forward.passing, guards);
    changes.add(await portTable.prepare(ports, generation, guards.place));
    await ready;
    changes.flip();

    const elapsedMs = roundMs(this.#timers.now() - start);
    const words = [
      ...diffRules(this.#configured, configured),
      ...diffAddresses(this.#addresses, addresses),
      ...diffGuards(this.#guard, guard),
    ];
    this.#unsettled = new Set([...this.#unsettled, ...this.#rules.map(({ name }) => name)]);
    this.#generation = generation;
    this.#isInForce = true;
    this.#rules = rules;
    this.#configured = configured;
    this.#addresses = addresses;
    this.#guard = guard;
    this.#passing = forward.passing;
    forwarding.begin();
    if (captures !== undefined) this.#captured = captures.begin();
    void this.#settle(generation);
    const kept = forwarding.held;
    return { generation, changes: words, elapsedMs, ...(kept.length === 0 ? {} : { kept }) };
  }

  /**
   * Leaves the packets of rules without a healthy backend to the kernel stack, where they say so. In a turn of the
   * queue.
   */
  async followHealth(): Promise<void> {
    const { passing } = this.#options.forwarding;
    if (passing.symmetricDifference(this.#passing).size === 0) return;
    (await this.#preparePorts(this.#rules, passing)).flip();
    this.#passing = passing;
  }

  /** Writes the port table anew, for the box's addresses and the bans of now. In a turn of the queue. */
  async follow(): Promise<void> {
    if (this.#stopped || !this.#isInForce) return;
    (await this.#preparePorts(this.#rules, this.#passing)).flip();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#again?.[Symbol.dispose]();
    await this.#options.forwarding[Symbol.asyncDispose]();
    await this.#options.queue.idle;
    await this.#options.guard[Symbol.asyncDispose]();
    await this.#options.portTable[Symbol.asyncDispose]();
  }

  /** Rules for the translation ports: while a rule needs them, or may have sessions left. */
  #answersFor(configured: readonly Rule[]): readonly Rule[] {
    const { translation, workers } = this.#options;
    const needed = translates(configured) || this.#rules.some(({ action }) => action.kind === "answer");
    return needed ? answerRules(translation, workers.count, configured) : [];
  }

  /** After many changes in a row, what they replaced has to be forgotten before there is room for another. */
  async #makeRoom(configured: readonly Rule[], rules: readonly Rule[]): Promise<void> {
    const { forwarding, slots } = this.#options;
    const names = new Set([...this.#rules, ...rules].map(({ name }) => name)).union(this.#unsettled);
    if (names.size < slots.capacity && forwarding.hasRoomFor(configured)) return;
    await this.#untilPassed();
    await this.#forget();
    await forwarding.forgetBackends();
  }

  async #prepareCaptures(configured: readonly Rule[]): Promise<CaptureChange | undefined> {
    if (this.#captures === undefined && configured.every(({ capture }) => capture === undefined)) return undefined;
    this.#captures ??= await this.#options.openCaptures();
    return await this.#captures.prepare(configured);
  }

  /** Begins captures anew that have failed: the disk may have room by now. @returns what is said of it. */
  async #tryCapturesAgain(): Promise<string[]> {
    const failed = this.#captures?.failed ?? [];
    if (failed.length === 0) return [];
    const captures = await this.#captures!.prepare(this.#configured);
    captures.flip();
    this.#captured = captures.begin();
    return failed.map((rule) => `rule ${rule}: its capture is tried again`);
  }

  /** Writes the idle worker table. */
  async #prepareTable(write: (idle: WorkerTable, current: WorkerTable) => void): Promise<Change> {
    const idle = await this.#tables.idle();
    write(idle, this.#tables.current);
    return flipOf(this.#tables);
  }

  /** The port table of rules that are in force in the workers. */
  #preparePorts(rules: readonly Rule[], passing: ReadonlySet<string>): Promise<Change> {
    const { guard: { current }, portTable } = this.#options;
    return portTable.prepare(
      this.#portMapOf(rules, this.#slotsOf(rules), passing, current),
      this.#generation,
      current.place,
    );
  }

  #portMapOf(
    rules: readonly Rule[],
    slots: readonly number[],
    passing: ReadonlySet<string>,
    guards: RuleGuards,
  ): PortMap {
    const steered = rules.map((rule): Rule => passing.has(rule.name) ? { ...rule, action: { kind: "pass" } } : rule);
    // Answers of backends are no client's packets.
    const isAsked = ({ action }: Rule): boolean => action.kind !== "answer";
    return compilePortMap(
      steered,
      slots,
      (rule) => isAsked(rule) ? guards.policiesOf(rule) : 0n,
      (rule) => isAsked(rule) ? this.#options.bansOf?.(rule.name) : undefined,
    );
  }

  #slotsOf(rules: readonly Rule[]): number[] {
    return rules.map(({ name }) => this.#options.slots.slotOf(name)!);
  }

  /** Waits until no packet is left that was steered by rules that are not in force. */
  async #untilPassed(): Promise<void> {
    await this.#options.portTable.settled;
    await this.#options.workers.passed();
  }

  /** Forgets the rules of before when nothing needs them any more. Tries again until then. */
  async #settle(generation: number): Promise<void> {
    this.#again?.[Symbol.dispose]();
    this.#again = undefined;
    let isDone = false;
    try {
      await this.#untilPassed();
      await this.#options.queue.run(async () => {
        if (!this.#stopped && generation === this.#generation) isDone = await this.#forget();
      });
    } catch (error) {
      if (!this.#stopped) log.warn("Rules of before are not forgotten yet: {reason}", { reason: messageOf(error) });
    }
    if (isDone || this.#stopped || generation !== this.#generation) return;
    this.#again = this.#timers.after(AGAIN_MS, () => void this.#settle(generation));
  }

  /** True while translation ports are steered only for sessions that are left. */
  get #hasIdleAnswers(): boolean {
    return this.#rules.length > this.#configured.length && !translates(this.#configured);
  }

  /**
   * Puts the rules in force without those of before. In a turn of the queue. @returns False when there is more to
   * forget later.
   */
  async #forget(): Promise<boolean> {
    const { exact, forwarding, workers } = this.#options;
    const changes = new Changes();
    changes.add(await forwarding.forget());
    const keepsAnswers = !this.#hasIdleAnswers || workers.sessions > 0;
    const rules = keepsAnswers ? this.#rules : this.#configured;
    if (!keepsAnswers) changes.add(await this.#preparePorts(rules, this.#passing));
    // No worker has a packet of another rule in hand.
    const sole = exact && keepsAnswers ? soleRules(rules, this.#slotsOf(rules), workers.count) : [];
    if (sole.some((slot, worker) => slot !== this.#tables.current.soleOfWorker[worker])) {
      changes.add(
        await this.#prepareTable((idle, current) => {
          copyWorkerTable(current, idle);
          idle.soleOfWorker.set(sole);
        }),
      );
    }
    changes.flip();
    this.#rules = rules;
    this.#unsettled = new Set();
    this.#options.delivery?.release(rules);
    return keepsAnswers && !this.#hasIdleAnswers;
  }
}

/** Whether two sets of rules and settings are the same in everything. */
async function areSame(one: unknown, other: unknown): Promise<boolean> {
  const { isDeepStrictEqual } = await import("node:util"); // not for the start
  return isDeepStrictEqual(one, other);
}
