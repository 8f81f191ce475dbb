/**
 * What guards each rule, as the XDP program reads it: two halves, in force together with those of the port table.
 *
 * @module
 */
import { MappedMemory } from "../ffi/memory.ts";
import type { PortMap } from "../steering/port_map.ts";
import { GUARD_FLAG, LIMIT, RULE_GUARD } from "./layout.gen.ts";

const BYTES = LIMIT.TABLES * LIMIT.RULE_SLOTS * RULE_GUARD.size;

export class RuleGuards implements Disposable {
  readonly #memory: MappedMemory;
  readonly #view: DataView;
  /** By half: the slots that have a record. */
  readonly #used: ReadonlySet<number>[] = Array.from({ length: LIMIT.TABLES }, () => new Set());

  constructor(fd: number) {
    this.#memory = MappedMemory.shared(fd, BYTES, 0, "map rule_guards");
    this.#view = new DataView(this.#memory.view());
  }

  /** Writes the half that no packet reads. @param limits Numbers of the limits of rules, by slot. */
  write(half: number, ports: PortMap, limits: ReadonlyMap<number, number>): void {
    const bytes = new Uint8Array(this.#view.buffer);
    const at = (slot: number): number => (half * LIMIT.RULE_SLOTS + slot) * RULE_GUARD.size;
    for (const slot of this.#used[half]!) bytes.fill(0, at(slot), at(slot) + RULE_GUARD.size);
    const used = new Set<number>();
    for (const { rule, guard } of ports) {
      if (guard === undefined || used.has(rule)) continue;
      used.add(rule);
      this.#view.setBigUint64(at(rule) + RULE_GUARD.policies, guard.policies, true);
      this.#view.setUint16(at(rule) + RULE_GUARD.limit, limits.get(rule) ?? 0, true);
      this.#view.setUint16(at(rule) + RULE_GUARD.bans, guard.bans?.scope ?? 0, true);
      this.#view.setUint32(at(rule) + RULE_GUARD.flags, guard.bans?.forAll === true ? GUARD_FLAG.BANS : 0, true);
    }
    this.#used[half] = used;
  }

  [Symbol.dispose](): void {
    this.#memory.close();
  }
}
