/**
 * How long sessions last, by the forward table in force: until they were silent for as long as their rule allows, or
 * their backend's row has gone to another.
 *
 * @module
 */
import { BACKEND, backendAt, FORWARD, forwardAt, type ForwardTable } from "./forward_table.ts";
import { SESSION, ticksOf } from "./session_row.ts";

// An import is looked up at each use, a module's own constant is part of the code.
const {
  backend: BACKEND_ROW,
  backendGeneration: BACKEND_GENERATION,
  rule: RULE,
  lastSeen: LAST_SEEN,
} = SESSION;

export class SessionLife {
  readonly #words: Int32Array;
  /** Ticks of silence by rule slot. */
  readonly #idle: Int32Array;
  #backends: Int32Array = new Int32Array(0);

  /** @param words Those of the sessions' rows. */
  constructor(words: Int32Array, ruleSlots: number) {
    this.#words = words;
    this.#idle = new Int32Array(ruleSlots);
  }

  /** Takes what decides from a forward table that is now in force. */
  follow({ forwardOfRule, forwards, backends }: ForwardTable): void {
    this.#backends = backends;
    for (let rule = 0; rule < this.#idle.length; rule++) {
      const forward = forwardOfRule[rule]!;
      // The sessions of a rule that is gone keep the time that it had last.
      if (forward !== 0) this.#idle[rule] = ticksOf(forwards[forwardAt(forward - 1) + FORWARD.idle]! * 1000);
    }
  }

  /** Whether a session was silent for too long, or its backend is gone. Hot path: no allocation. */
  isOver(at: number, now: number): boolean {
    const words = this.#words;
    return now - words[at + LAST_SEEN]! > this.#idle[words[at + RULE]!]! || !this.#isWithBackend(at);
  }

  /** Whether a session's backend is there, and it would not have been silent for too long if it was heard of then. */
  wouldLast(at: number, seen: number, now: number): boolean {
    return now - seen <= this.#idle[this.#words[at + RULE]!]! && this.#isWithBackend(at);
  }

  /** The generation that a backend's row has now. Hot path: no allocation. */
  generationOf(backendRow: number): number {
    return this.#backends[backendAt(backendRow) + BACKEND.generation]!;
  }

  /** Whether the backend that a session was given is still the one in its row. */
  #isWithBackend(at: number): boolean {
    const words = this.#words;
    const generation = this.generationOf(words[at + BACKEND_ROW]!);
    return generation === words[at + BACKEND_GENERATION] && generation !== 0;
  }
}
