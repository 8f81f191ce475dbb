/**
 * The rules in force: puts a new set in force in the workers and in the kernel, as one flip.
 *
 * @module
 */
import { PortTable } from "../bpf/port_table.ts";
import type { SteeringProgram } from "../bpf/program.ts";
import { compilePortMap, compileWorkerTable } from "../steering/compile.ts";
import { diffRules } from "../steering/diff.ts";
import type { Rule } from "../steering/rule.ts";
import type { RuleSlots } from "../steering/slots.ts";
import { viewWorkerTables, type WorkerTable } from "../steering/worker_table.ts";
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
  readonly #portTable: PortTable;
  readonly #tables: readonly WorkerTable[];

  constructor(
    program: SteeringProgram,
    tables: SharedArrayBuffer,
    private readonly slots: RuleSlots,
    private readonly workers: WorkerPool,
    /** Told each slot that passes from a rule long gone to a new one, before it does. */
    private readonly onSlotReuse: (slot: number) => void,
  ) {
    this.#portTable = new PortTable(program);
    this.#tables = viewWorkerTables(tables);
  }

  get rules(): readonly Rule[] {
    return this.#rules;
  }

  get generation(): number {
    return this.#generation;
  }

  /**
   * Puts `rules` in force. Calls must not overlap.
   *
   * The workers learn of new ports before the kernel steers any of them, and remember old ports after it has stopped, so that a
   * packet steered under one generation can be processed under the next.
   */
  async apply(rules: readonly Rule[]): Promise<Applied> {
    const changes = diffRules(this.#rules, rules);
    if (changes.length === 0 && this.#generation > 0) {
      return { generation: this.#generation, changes, elapsedMs: 0 };
    }
    const generation = this.#generation + 1;
    // The idle worker table may be written only once no worker reads it any more.
    await this.workers.tableAcknowledged();
    const reused = new Set<number>();
    const slots = this.slots.assign(rules.map(({ name }) => name), generation, (slot) => {
      this.onSlotReuse(slot);
      reused.add(slot);
    });
    const { control } = this.workers;
    const active = control.activeTable;
    const idle = 1 - active;
    compileWorkerTable(this.#tables[idle]!, this.#tables[active]!, rules, slots, reused);
    const portMap = compilePortMap(rules, slots);

    control.activeTable = idle;
    const start = performance.now();
    try {
      await this.#portTable.apply(portMap, generation);
    } catch (error) {
      control.activeTable = active;
      throw error;
    }
    this.#generation = generation;
    this.#rules = rules;
    return { generation, changes, elapsedMs: performance.now() - start };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#portTable[Symbol.asyncDispose]();
  }
}
