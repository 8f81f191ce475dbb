/**
 * Which counter slot a rule has. A rule keeps its slot, and so its counters, for as long as its name stays in the
 * configuration; a slot is given to another rule only when nothing in flight can still be counted under it.
 *
 * @module
 */

/** Slot of packets that belong to no rule. */
export const NO_RULE = 0;
/** Name under which the counts of rules that are gone for good are kept, so that sums still add up. */
export const RETIRED = "(retired)";

/** Two generations after one another have more names than there are slots. */
export class SlotsExhausted extends Error {
  constructor(capacity: number) {
    super(`no more than ${capacity - 1} in two generations`);
  }
}

export class RuleSlots {
  /** Name by slot; undefined where free. A name stays after its rule is gone until the slot is needed. */
  readonly #names: (string | undefined)[] = [undefined];
  readonly #slots = new Map<string, number>();
  /** Generation that last had the rule, by slot. */
  readonly #lastSeen: number[] = [0];

  constructor(readonly capacity: number) {}

  /**
   * Gives every name a slot.
   *
   * @param onReuse Told each slot that passes from a rule long gone to a new one, before it does.
   * @returns Slots in the order of `names`.
   * @throws {SlotsExhausted}
   */
  assign(names: readonly string[], generation: number, onReuse: (slot: number) => void): number[] {
    for (const name of names) {
      const slot = this.#slots.get(name);
      if (slot !== undefined) this.#lastSeen[slot] = generation;
    }
    let search = NO_RULE + 1;
    return names.map((name) => {
      const known = this.#slots.get(name);
      if (known !== undefined) return known;
      // First the slots never used, so that counters of rules just gone can still be looked at.
      let slot = this.#slots.size + 1;
      if (slot >= this.capacity) {
        // Packets steered under the previous generation may still be on their way, so its slots are not free yet.
        while (search < this.capacity && this.#lastSeen[search]! >= generation - 1) search++;
        if (search >= this.capacity) throw new SlotsExhausted(this.capacity);
        slot = search++;
        onReuse(slot);
        this.#slots.delete(this.#names[slot]!);
      }
      this.#names[slot] = name;
      this.#slots.set(name, slot);
      this.#lastSeen[slot] = generation;
      return slot;
    });
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
