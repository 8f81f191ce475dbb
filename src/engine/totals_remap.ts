/**
 * Counts that were put aside, for workers and queues that are others than before.
 *
 * @module
 */
import { FATES } from "../steering/fate.ts";
import type { TotalsStanding } from "./counters.ts";

/** Of the process before. */
interface FormerEnds {
  readonly workers: number;
  /** By queue end there: which it is now; -1: none. */
  readonly ends: readonly number[];
}

const FATE_NUMBERS = FATES.length * 2;

/** The same counts in rows as they are now: what a worker has counted that is no more is another's. */
export function remapTotals(
  { base, retired, departed = [] }: TotalsStanding,
  former: FormerEnds,
  now: { readonly workers: number; readonly ends: number },
): TotalsStanding {
  const formerWidth = former.workers * (FATE_NUMBERS + former.ends.length);
  const width = now.workers * (FATE_NUMBERS + now.ends);
  const remap = (row: readonly number[]): number[] => {
    const next = new Array<number>(2 * width + row.length - 2 * formerWidth).fill(0);
    for (const half of [0, 1]) {
      for (let worker = 0; worker < former.workers; worker++) {
        const from = half * formerWidth + worker * (FATE_NUMBERS + former.ends.length);
        const to = half * width + (worker % now.workers) * (FATE_NUMBERS + now.ends);
        for (let index = 0; index < FATE_NUMBERS; index++) next[to + index] = next[to + index]! + row[from + index]!;
        former.ends.forEach((end, index) => {
          const at = to + FATE_NUMBERS + Math.max(0, end); // of a queue that is no more: see RuleTotals.depart()
          next[at] = next[at]! + row[from + FATE_NUMBERS + index]!;
        });
      }
    }
    for (let index = 2 * formerWidth; index < row.length; index++) {
      next[index - 2 * formerWidth + 2 * width] = row[index]!;
    }
    return next;
  };
  return {
    base: base.map(([slot, row]) => [slot, remap(row)]),
    retired: retired === null ? null : remap(retired),
    departed,
  };
}
