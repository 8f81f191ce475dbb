/**
 * All counts of a rule in one row of numbers, wherever they are kept: the XDP program of each interface and each worker. Rows
 * can be subtracted and added, which is how a slot changes hands without a counter ever going back.
 *
 * @module
 */
import { RULE_COUNTER_FIELDS } from "../bpf/program.ts";
import { FATES } from "../dataplane/words.ts";
import type { WorkerCounters } from "../dataplane/words.ts";
import { NO_RULE, RETIRED, type RuleSlots } from "../steering/slots.ts";
import type { SteeredInterface } from "./interface.ts";

export interface PacketsBytes {
  readonly packets: number;
  readonly bytes: number;
}

/** What one rule's packets met with, since the process started. */
export interface RuleCounts {
  /** "" for packets that reached a worker and belong to no rule. */
  readonly name: string;
  /** In the XDP programs of all interfaces. */
  readonly redirected: PacketsBytes;
  readonly dropped: PacketsBytes;
  readonly passed: PacketsBytes;
  readonly workers: readonly WorkerRuleCounts[];
}

export interface WorkerRuleCounts {
  /** By fate, in the order of FATES. */
  readonly fates: readonly PacketsBytes[];
  /** Packets received, by queue port: queues in order, interface after interface. */
  readonly received: readonly number[];
}

const KERNEL_NUMBERS = RULE_COUNTER_FIELDS.length;

export class RuleTotals {
  readonly #base = new Map<number, Float64Array>();
  #retired: Float64Array | undefined;

  constructor(
    private readonly interfaces: readonly SteeredInterface[],
    private readonly workers: readonly WorkerCounters[],
    private readonly slots: RuleSlots,
  ) {}

  /** Moves a slot's counts to the retired ones: the slot starts again from zero for another rule. */
  retire(slot: number): void {
    const row = this.#row(slot);
    this.#retired = this.#retired === undefined ? row : this.#retired.map((value, index) => value + row[index]!);
    const base = this.#base.get(slot);
    this.#base.set(slot, base === undefined ? row : base.map((value, index) => value + row[index]!));
  }

  /** Every rule this process has had, packets of no rule (name ""), and what is retired. */
  read(): RuleCounts[] {
    const rules = this.slots.entries().map(([slot, name]) => this.#counts(name, this.#row(slot)));
    if (this.#retired !== undefined) rules.push(this.#counts(RETIRED, this.#retired));
    const none = this.#counts("", this.#row(NO_RULE));
    if (none.workers.some(({ received }) => received.some((packets) => packets > 0))) rules.push(none);
    return rules;
  }

  get #queuePorts(): number {
    return this.interfaces.reduce((sum, { queues }) => sum + queues.length, 0);
  }

  /** Workers first: what a worker has counted was redirected before, so no sum looks larger than what it came from. */
  #row(slot: number): Float64Array {
    const row: number[] = [];
    const queuePorts = this.#queuePorts;
    for (const counters of this.workers) {
      for (let fate = 0; fate < FATES.length; fate++) {
        row.push(counters.packets(slot, fate), counters.bytes(slot, fate));
      }
      for (let port = 0; port < queuePorts; port++) row.push(counters.received(port, slot));
    }
    const kernel = new Array<number>(KERNEL_NUMBERS).fill(0);
    for (const { program } of this.interfaces) {
      program.readRuleCounters(slot).forEach((value, index) => kernel[index] = kernel[index]! + value);
    }
    row.push(...kernel);
    const base = this.#base.get(slot);
    return Float64Array.from(row, (value, index) => value - (base?.[index] ?? 0));
  }

  #counts(name: string, row: Float64Array): RuleCounts {
    const queuePorts = this.#queuePorts;
    let at = 0;
    const pair = (): PacketsBytes => ({ packets: row[at++]!, bytes: row[at++]! });
    const workers = this.workers.map(() => ({
      fates: FATES.map(pair),
      received: Array.from({ length: queuePorts }, () => row[at++]!),
    }));
    return { name, workers, redirected: pair(), dropped: pair(), passed: pair() };
  }
}
