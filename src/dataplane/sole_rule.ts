/**
 * The rule of all of a worker's packets, where there is such a rule and it only counts them: they need not be looked at then.
 *
 * @module
 */
import { NO_RULE } from "../steering/slots.ts";
import type { QueuePort } from "./queue_port.ts";

type Port = Pick<QueuePort, "markReceived" | "isPastMark">;

export class SoleRule {
  /** Its slot; {@linkcode NO_RULE} while packets have to be looked at. */
  slot: number = NO_RULE;
  #next: number = NO_RULE;

  /**
   * Takes what the control thread says. Another rule than before is in force only when every rx ring is past what it holds now: that was
   * steered under an earlier generation, and may be of other rules.
   */
  note(next: number, ports: readonly Port[]): void {
    if (next === this.#next) return;
    this.#next = next;
    this.slot = NO_RULE;
    for (const port of ports) port.markReceived();
  }

  /** True between {@linkcode note} and {@linkcode settle}'s success. Hot path. */
  get settling(): boolean {
    return this.#next !== this.slot;
  }

  /** Puts the rule in force where the rings are so far. To be called when all that was received has been processed. */
  settle(ports: readonly Port[]): void {
    if (ports.every((port) => port.isPastMark)) this.slot = this.#next;
  }
}
