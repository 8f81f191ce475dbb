/**
 * Which counter slot a rule has. A rule keeps its slot, and so its counters, for as long as its name stays in the
 * configuration; a slot is given to another rule only when nothing in flight can still be counted under it.
 *
 * @module
 */
import type { Change } from "./published.ts";

/** Slot of packets that belong to no rule. */
export const NO_RULE = 0;
/** Name under which the counts of rules that are gone for good are kept, so that sums still add up. */
export const RETIRED = "(retired)";
/**
 * Name under which is counted what comes to translation ports and is of no session. Answers of a session, and errors
 * about its packets, count with its rule.
 */
export const TRANSLATION_PORTS = "(translation ports)";

/** Slots for the names of a generation, not in force yet. */
export interface SlotPlan extends Change {
  /** In the order of the names. */
  readonly slots: readonly number[];
  /** Those that pass from a name long gone to a new one. */
  readonly reused: ReadonlySet<number>;
}

interface Holder {
  /** Undefined where the slot is free. A name stays after its rule is gone until the slot is needed. */
  readonly name: string | undefined;
  /** Generation that last had the name. */
  readonly lastSeen: number;
}

/** Names and generations, by slot. */
export type SlotsStanding = readonly (readonly [name: string, lastSeen: number])[];

const FREE: Holder = { name: undefined, lastSeen: 0 };

/** Two generations after one another have more names than there are slots. */
export class SlotsExhausted extends Error {
  constructor(capacity: number) {
    super(`no more than ${capacity - 1} in two generations`);
  }
}

export class RuleSlots {
  /** By slot. */
  readonly #holders: Holder[] = [FREE];
  readonly #slots = new Map<string, number>();

  /** @param before What {@linkcode standing} was in the process before. */
  constructor(readonly capacity: number, before: SlotsStanding = []) {
    before.forEach(([name, lastSeen], index) => this.#give(index + 1, { name, lastSeen }));
  }

  /** Who has the slots, from 1 on, and since which generation no more; for a process that comes after this one. */
  get standing(): SlotsStanding {
    return this.#holders.slice(1).map(({ name, lastSeen }) => [name!, lastSeen]);
  }

  /**
   * Finds a slot for every name. Nothing changes before the plan flips; one plan at a time.
   *
   * @param kept Names whose slots are given to no other, besides those of the generation before.
   * @throws {SlotsExhausted}
   */
  plan(names: readonly string[], generation: number, kept: ReadonlySet<string> = new Set()): SlotPlan {
    const wanted = new Set(names);
    const reused = new Set<number>();
    let fresh = this.#slots.size + 1;
    let search = NO_RULE + 1;
    const isTaken = ({ name, lastSeen }: Holder): boolean =>
      lastSeen >= generation - 1 || wanted.has(name!) || kept.has(name!);
    const given = new Map<string, number>();
    const slots = names.map((name) => {
      const known = this.#slots.get(name) ?? given.get(name);
      if (known !== undefined) return known;
      // First the slots never used, so that counters of rules just gone can still be looked at.
      if (fresh < this.capacity) {
        given.set(name, fresh);
        return fresh++;
      }
      // Packets steered under the previous generation may still be on their way, so its slots are not free yet.
      while (search < this.capacity && (search >= this.#holders.length || isTaken(this.#holders[search]!))) search++;
      if (search >= this.capacity) throw new SlotsExhausted(this.capacity);
      reused.add(search);
      given.set(name, search);
      return search++;
    });
    const before = slots.map((slot) => this.#holders[slot]);
    return {
      slots,
      reused,
      flip: () => slots.forEach((slot, index) => this.#give(slot, { name: names[index], lastSeen: generation })),
      back: () => {
        for (let index = slots.length - 1; index >= 0; index--) this.#give(slots[index]!, before[index]);
      },
    };
  }

  #give(slot: number, holder: Holder | undefined): void {
    const { name: gone } = this.#holders[slot] ?? FREE;
    if (gone !== undefined && gone !== holder?.name) this.#slots.delete(gone);
    if (holder === undefined) {
      this.#holders.length = Math.min(this.#holders.length, slot); // it was never used: the last ones first
      return;
    }
    this.#holders[slot] = holder;
    if (holder.name !== undefined) this.#slots.set(holder.name, slot);
  }

  /** The slot of a name that has one. */
  slotOf(name: string): number | undefined {
    return this.#slots.get(name);
  }

  /** Slots used so far, that of no rule among them: 0 to this number less one. */
  get used(): number {
    return this.#slots.size + 1;
  }

  /** Slots that have a name, with it. */
  entries(): readonly (readonly [slot: number, name: string])[] {
    return [...this.#slots].map(([name, slot]) => [slot, name] as const);
  }
}
