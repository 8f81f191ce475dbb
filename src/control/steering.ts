/**
 * The rules in force: puts a new set in force in the workers and in the kernel, as one flip.
 *
 * @module
 */
import { PortTable } from "../bpf/port_table.ts";
import type { SteeringProgram } from "../bpf/program.ts";
import type { Config, RuleConfig } from "../config/schema.ts";
import { compilePortMap, compileWorkerTable, soleRules } from "../steering/compile.ts";
import { diffRules } from "../steering/diff.ts";
import type { Rule } from "../steering/rule.ts";
import { NO_RULE, type RuleSlots } from "../steering/slots.ts";
import { viewWorkerTables, type WorkerTable } from "../steering/worker_table.ts";
import { roundMs } from "../text.ts";
import { Forwarding } from "./forwarding.ts";
import { orRefused } from "./room.ts";
import type { WorkerPool } from "./workers.ts";

/** What a change did. */
export interface Applied {
  readonly generation: number;
  /** One line per rule added (+), removed (-) or changed (~). Empty when nothing differed: no flip was made. */
  readonly changes: readonly string[];
  /** From the flip to the end of the comparison with what the kernel has. */
  readonly elapsedMs: number;
}

export class Steering implements AsyncDisposable {
  #rules: readonly Rule[] = [];
  #generation = 0;
  #passing: ReadonlySet<string> = new Set();
  #turn: Promise<unknown> = Promise.resolve();
  /** By worker, the rule whose packets it need not look at, or is not to look at soon. */
  #sole: readonly number[];
  readonly #portTable: PortTable;
  readonly #tables: readonly WorkerTable[];

  constructor(
    private readonly program: SteeringProgram,
    tables: SharedArrayBuffer,
    private readonly slots: RuleSlots,
    private readonly workers: WorkerPool,
    /** Told each slot that passes from a rule long gone to a new one, before it does. */
    private readonly onSlotReuse: (slot: number) => void,
    private readonly forwardingConfig: Config["forwarding"],
    readonly forwarding: Forwarding,
  ) {
    this.#portTable = new PortTable(program);
    this.#tables = viewWorkerTables(tables);
    this.#sole = new Array(workers.count).fill(NO_RULE);
  }

  /** Those of the configuration, and those that bring backends' answers to the worker that has the session. */
  get rules(): readonly Rule[] {
    return this.#rules;
  }

  get generation(): number {
    return this.#generation;
  }

  /**
   * Puts `rules` in force.
   *
   * The workers learn of new ports before the kernel steers any of them, and remember old ports after it has stopped, so that a
   * packet steered under one generation can be processed under the next.
   *
   * @param ready What has to be done before a packet is steered.
   */
  apply(rules: readonly RuleConfig[], ready?: Promise<void>): Promise<Applied> {
    return this.#inTurn(() => this.#apply(rules, ready));
  }

  /** Leaves the packets of these rules to the kernel stack, and of no others that do not say so themselves. */
  setPassing(names: ReadonlySet<string>): Promise<void> {
    return this.#inTurn(async () => {
      this.#passing = names;
      const slots = this.#rules.map(({ name }) => this.slots.slotOf(name)!);
      await this.#portTable.apply(
        compilePortMap(this.#rules.map((rule) => this.#asSteered(rule)), slots),
        this.#generation,
      );
    });
  }

  #asSteered(rule: Rule): Rule {
    return this.#passing.has(rule.name) ? { ...rule, action: "pass" } : rule;
  }

  /** One change at a time. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #apply(configured: readonly RuleConfig[], ready?: Promise<void>): Promise<Applied> {
    const answers = Forwarding.translates(configured)
      ? Forwarding.answerRules(this.forwardingConfig, this.workers.count)
      : [];
    const rules: readonly Rule[] = [...configured, ...answers];
    const changes = diffRules(this.#rules, rules);
    if (changes.length === 0 && this.#generation > 0) {
      return { generation: this.#generation, changes, elapsedMs: 0 };
    }
    const generation = this.#generation + 1;
    // The idle worker table may be written only once no worker reads it any more.
    await this.workers.tableAcknowledged();
    const reused = new Set<number>();
    const slots = orRefused("rules", () =>
      this.slots.assign(rules.map(({ name }) => name), generation, (slot) => {
        this.onSlotReuse(slot);
        reused.add(slot);
      }));
    const { control } = this.workers;
    const active = control.activeTable;
    const idle = 1 - active;
    compileWorkerTable(this.#tables[idle]!, this.#tables[active]!, rules, slots, reused);
    await this.forwarding.prepare(configured, slots);
    const portMap = compilePortMap(rules.map((rule) => this.#asSteered(rule)), slots);

    const soleBefore = this.#sole;
    control.setSoleRules(this.#sole = soleBefore.map(() => NO_RULE));
    control.activeTable = idle;
    const start = performance.now();
    try {
      await this.#portTable.apply(portMap, generation, ready);
    } catch (error) {
      control.activeTable = active;
      void this.#settle(soleBefore);
      throw error;
    }
    this.#generation = generation;
    this.#rules = rules;
    const elapsedMs = roundMs(performance.now() - start);
    if (this.program.embedded) void this.#settle(soleRules(rules, slots, this.workers.count));
    return { generation, changes, elapsedMs };
  }

  /** Lets workers count without looking, once the last packets of the generation before are in their rings. */
  async #settle(sole: readonly number[]): Promise<void> {
    this.#sole = sole;
    await this.#portTable.settled;
    if (this.#sole === sole) this.workers.control.setSoleRules(sole);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.forwarding[Symbol.asyncDispose]();
    await this.#turn;
    await this.#portTable[Symbol.asyncDispose]();
  }
}
