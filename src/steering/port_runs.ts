/**
 * Ports that the same rules have, where one port may be in several rules with different addresses.
 *
 * @module
 */
import type { Addresses } from "./addresses.ts";
import type { PortRange } from "./rule.ts";

/** A range of ports that somebody has for some destination addresses. */
export interface Claim extends PortRange {
  readonly addresses: Addresses;
}

/** Ports of the same owners. */
export interface PortRun<Owner> extends PortRange {
  /** In the order in which an address is looked for: those with a list come before `own`. */
  readonly owners: readonly Owner[];
}

/** The ports of all claims, each port once. */
export function portRuns<Owner extends Claim>(claims: readonly Owner[]): readonly PortRun<Owner>[] {
  const ordered = claims.toSorted((one, other) => one.first - other.first);
  const isShared = ordered.some(({ first }, index) => index > 0 && first <= ordered[index - 1]!.last);
  if (!isShared) return claims.map((owner) => ({ first: owner.first, last: owner.last, owners: [owner] }));
  const starts = [...new Set(claims.flatMap(({ first, last }) => [first, last + 1]))].sort((one, other) => one - other);
  const runs: PortRun<Owner>[] = [];
  let active: Owner[] = [];
  let next = 0;
  for (const [index, first] of starts.entries()) {
    active = active.filter(({ last }) => last >= first);
    while (next < ordered.length && ordered[next]!.first === first) active.push(ordered[next++]!);
    if (active.length === 0) continue;
    const owners = active.toSorted((one, other) => orderOf(one) - orderOf(other));
    runs.push({ first, last: starts[index + 1]! - 1, owners });
  }
  return runs;
}

function orderOf({ addresses }: Claim): number {
  return addresses === "any" ? 2 : addresses === "own" ? 1 : 0;
}
