/**
 * Ports as an ascending list of runs that do not touch, and what is left of a rule's ports when some are taken away.
 *
 * @module
 */
import { type PortRange, rangeText } from "./rule.ts";

/** The same ports in ascending order, each once, runs that touch as one. */
export function merged(ranges: readonly PortRange[]): PortRange[] {
  const result: { first: number; last: number }[] = [];
  for (const { first, last } of ranges.toSorted((one, other) => one.first - other.first)) {
    const run = result.at(-1);
    if (run !== undefined && first <= run.last + 1) run.last = Math.max(run.last, last);
    else result.push({ first, last });
  }
  return result;
}

/** What is left of `ranges`, in their order, without the ports of `taken`. */
export function without(ranges: readonly PortRange[], taken: readonly PortRange[]): PortRange[] {
  const holes = merged(taken);
  return ranges.flatMap(({ first, last }) => {
    const left: PortRange[] = [];
    let next = first;
    for (const hole of holes) {
      if (hole.last < next || hole.first > last) continue;
      if (hole.first > next) left.push({ first: next, last: hole.first - 1 });
      next = hole.last + 1;
    }
    if (next <= last) left.push({ first: next, last });
    return left;
  });
}

/** The ports that both have, ascending. */
export function common(one: readonly PortRange[], other: readonly PortRange[]): PortRange[] {
  return merged(without(one, without(one, other)));
}

/** True when both hold the same ports, however they are written. */
export function samePorts(one: readonly PortRange[], other: readonly PortRange[]): boolean {
  return without(one, other).length === 0 && without(other, one).length === 0;
}

/** `7777, 27015-27030` */
export function portsText(ranges: readonly PortRange[]): string {
  return ranges.map(rangeText).join(", ");
}
