/**
 * Where a process that takes over has other workers, rings or interfaces than the one before: what becomes of what.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { ownerOfPort } from "../../backends/translation.ts";
import type { ForwardingStanding } from "../../backends/forwarding.ts";
import type { Config } from "../../config/schema.ts";
import type { FormerShape } from "../../engine/inheritance.ts";
import { type HandedInterface, heldDescriptors } from "../../engine/interface.ts";
import type { FoundInterface } from "../../host/found_interfaces.ts";
import { interfaceOf, onInterface } from "../../steering/arrivals.ts";
import type { Homes } from "../../steering/rehome.ts";
import type { Rule } from "../../steering/rule.ts";

/**
 * Whether workers cannot go on with what those of another configuration have, one after the other: all of those have to
 * give up before the first of these begins.
 */
export function areOthers(next: Config, inForce: Config): boolean {
  return !isDeepStrictEqual(shapeOf(next), shapeOf(inForce));
}

function shapeOf({ workers, forwarding: { ports, sessions }, interfaces }: Config): unknown {
  return [workers.count, ports, sessions, interfaces.map(({ name, rings: { rx, tx } }) => [name, rx, tx])];
}

/** By interface of the process before: which it is now; -1: none. */
function interfacesNow(handed: readonly HandedInterface[], found: readonly FoundInterface[]): number[] {
  return handed.map(({ ifindex }) => found.findIndex(({ device }) => device.ifindex === ifindex));
}

/** @param sessions Of each worker before. */
export function formerShape(
  handed: readonly HandedInterface[],
  found: readonly FoundInterface[],
  { ruleSlots, sessions }: Pick<FormerShape, "ruleSlots" | "sessions">,
): FormerShape {
  const places = found.flatMap(({ queues }, index) => queues.map((queue) => `${index} ${queue}`));
  const now = interfacesNow(handed, found);
  const ends = handed.flatMap(({ queues }, index) => queues.map(({ id }) => places.indexOf(`${now[index]} ${id}`)));
  return { ruleSlots, ends, sessions };
}

/** By which arrival a client's packets come now that came by another. */
export function arrivalsNow(
  handed: readonly HandedInterface[],
  found: readonly FoundInterface[],
): (arrival: number) => number {
  const now = interfacesNow(handed, found);
  return (arrival) =>
    arrival < 0 && now[interfaceOf(arrival)] === undefined
      ? arrival
      : onInterface(arrival, now[interfaceOf(arrival)] ?? -1);
}

/** Those of interfaces that are not steered any more. */
export function descriptorsOfOthers(
  handed: readonly HandedInterface[],
  found: readonly FoundInterface[],
): number[] {
  const now = interfacesNow(handed, found);
  const others = handed.filter((_, index) => now[index]! < 0);
  return others.flatMap((each) => [...heldDescriptors(each), ...each.program.maps]).filter((fd) => fd >= 0);
}

/** What is known of backends, where their packets come by others. */
export function withArrivals(
  standing: ForwardingStanding,
  arrivalOf: (arrival: number) => number,
): ForwardingStanding {
  const backends = standing.backends.map(([name, backend]) =>
    [name, { ...backend, arrival: arrivalOf(backend.arrival) }] as const
  );
  return { ...standing, backends };
}

export function homesOf(
  { workers, forwarding: { ports, sessions } }: Config,
  rules: readonly Rule[],
  slotOf: (rule: string) => number | undefined,
  arrivalOf: Homes["arrivalOf"],
): Homes {
  const bySlot = new Map(
    rules.filter(({ action }) => action.kind === "forward").map(({ name, worker }) => [slotOf(name), worker]),
  );
  return {
    workers: workers.count,
    capacity: sessions,
    workerOf: (rule) => bySlot.get(rule),
    ownerOf: (port) => ownerOfPort(ports, port, workers.count),
    arrivalOf,
  };
}
