/**
 * What rules with `action: deliver` need besides the port table: the memory of deliveries, and the program that gives
 * answers their port back on every steered interface. Both are there only while a rule delivers, and a little longer.
 *
 * @module
 */
import type { AnswerProgram } from "../bpf/answer_program.ts";
import { messageOf } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import type { Rule } from "../steering/rule.ts";
import type { SteeredInterface } from "./interface.ts";

export interface DeliveryOptions {
  readonly interfaces: readonly Pick<SteeredInterface, "answerBy">[];
  readonly load: () => Promise<AnswerProgram>;
  readonly timers?: Timers;
}

/** How long answers are still expected after the last rule that delivers is gone. */
const LATE_ANSWERS_MS = 60_000;

const log = logger("delivery");

export class Delivery implements Disposable {
  #program: AnswerProgram | undefined;
  #ending: Disposable | undefined;
  readonly #timers: Timers;

  constructor(private readonly options: DeliveryOptions) {
    this.#timers = options.timers ?? SYSTEM_TIMERS;
  }

  /**
   * Makes everything ready for these rules. In a turn of the queue, before they are in force.
   *
   * @throws {UnsupportedError} where a rule delivers and the kernel has no tc.
   */
  async prepare(rules: readonly Rule[]): Promise<void> {
    const ports = rules.flatMap(({ action }) => action.kind === "deliver" ? [action.port] : []);
    if (ports.length === 0) return;
    this.#keep();
    this.#program ??= await this.#open();
    this.#program.addPorts(ports);
  }

  /** Ends what no rule needs any more, when late answers have had their time. In a turn of the queue. */
  release(rules: readonly Rule[]): void {
    if (this.#program === undefined || rules.some(({ action }) => action.kind === "deliver")) return;
    this.#ending ??= this.#timers.after(LATE_ANSWERS_MS, () => this.#close());
  }

  [Symbol.dispose](): void {
    this.#keep();
    this.#close();
  }

  async #open(): Promise<AnswerProgram> {
    const program = await this.options.load();
    try {
      for (const steered of this.options.interfaces) steered.answerBy(program);
    } catch (error) {
      this.#end(program);
      throw error;
    }
    return program;
  }

  #keep(): void {
    this.#ending?.[Symbol.dispose]();
    this.#ending = undefined;
  }

  #close(): void {
    this.#ending = undefined;
    const program = this.#program;
    this.#program = undefined;
    if (program !== undefined) this.#end(program);
  }

  #end(program: AnswerProgram): void {
    for (const steered of this.options.interfaces) {
      try {
        steered.answerBy(undefined);
      } catch (error) {
        log.warn("Cannot detach from what leaves by an interface: {reason}", { reason: messageOf(error) });
      }
    }
    program[Symbol.dispose]();
  }
}
