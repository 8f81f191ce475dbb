/**
 * A worker's counters by the names of fates.
 *
 * @module
 */
import { answerRow, type WorkerCounters } from "../../src/dataplane/counters.ts";
import { FATE, FATES } from "../../src/steering/fate.ts";

export type { Fate } from "../../src/steering/fate.ts";
export { FATE, FATES };

/** Packets by fate over these rule slots, in both directions; fates without packets are left out. */
export function packetsByFate(counters: WorkerCounters, slots: readonly number[]): Record<string, number> {
  const sums = FATES.map((name, fate) =>
    [
      name,
      slots.reduce(
        (sum, slot) => sum + counters.packets(slot, fate) + counters.packets(answerRow(slot, counters.ruleSlots), fate),
        0,
      ),
    ] as const
  );
  return Object.fromEntries(sums.filter(([, packets]) => packets > 0));
}
