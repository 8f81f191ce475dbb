/**
 * What an operator has done to backends by hand: no new sessions, or its sessions sent to others. It is no part of the
 * configuration: it outlives a reload of the file, and ends with the process, or when the backend is gone.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import type { Backend as ConfiguredBackend } from "../steering/forward.ts";
import { firstOf, plural } from "../text.ts";
import type { Forwards } from "./forward_writer.ts";
import type { NameStatus } from "./names/names.ts";

/** What can be done to a backend. */
export const HOLD_ACTIONS = ["drain", "undrain", "move"] as const;
export type HoldAction = typeof HOLD_ACTIONS[number];

/** What was done to a backend, as it stands. */
export interface Hold {
  /**
   * drain: it gets no new sessions. move: besides, those it has go to others with their next packets. keep: it gets new
   * ones although the file says that it drains.
   */
  readonly kind: "drain" | "move" | "keep";
  /** Where its sessions go; null: where a new session of the same client would. */
  readonly to: string | null;
  /** ISO 8601, UTC. */
  readonly since: string;
}

export interface HoldOrder {
  readonly name: string;
  readonly action: HoldAction;
  /** With `move`: the backend that gets the sessions. */
  readonly to?: string | undefined;
}

export type Holds = ReadonlyMap<string, Hold>;

/** Whether a rule's new sessions may go to one of its backends, as far as anybody has said. */
export function takesNew({ name, weight, drain }: ConfiguredBackend, holds: Holds): boolean {
  if (weight === 0) return false;
  const hold = holds.get(name);
  return hold === undefined ? drain !== true : hold.kind === "keep";
}

/** In force, and what names mean. */
type Known = Pick<Forwards, "backends" | "rules" | "holds"> & { readonly names: readonly NameStatus[] };

/** The holds after an order. @throws {SteerError} where it cannot be followed. */
export function orderHold(known: Known, order: HoldOrder, since: string): Holds {
  const { rules, holds } = known;
  const { name, action, to } = order;
  requireKnown(known, name);
  if (to !== undefined) requireTarget(known, name, to);
  const next = new Map(holds);
  next.delete(name);
  const isDrainedInFile = rules.some(({ spec }) => spec.to.some((each) => each.name === name && each.drain === true));
  if (action === "move") next.set(name, { kind: "move", to: to ?? null, since });
  else if (action === "drain" && !isDrainedInFile) next.set(name, { kind: "drain", to: null, since });
  else if (action === "undrain" && isDrainedInFile) next.set(name, { kind: "keep", to: null, since });
  return next;
}

/** What an order means for rules that have nobody else: they refuse new clients. */
export function holdWarnings({ rules }: Pick<Forwards, "rules">, holds: Holds, name: string): string[] {
  return rules.filter(({ spec }) =>
    spec.to.some((each) => each.name === name) && !spec.to.some((each) => takesNew(each, holds))
  ).map(({ name: rule }) =>
    `rule ${rule} has no backend left that takes new sessions: packets of new clients are lost`
  );
}

/** In words, for whoever puts another configuration in force: what goes on as before. */
export function holdWords(holds: Holds): string[] {
  return [...holds].map(([name, { kind, to, since }]) => {
    const what = kind === "keep"
      ? "takes new sessions"
      : kind === "drain"
      ? "is drained"
      : `is drained, its sessions moved${to === null ? "" : ` to ${to}`}`;
    return `backend ${name} ${what}, by hand since ${since}`;
  });
}

function requireKnown({ backends, names }: Known, name: string): void {
  if (backends.has(name)) return;
  const meaning = names.find((each) => each.name === name);
  if (meaning !== undefined) throw new SteerError(`"${name}" is a name, and no backend`, { hint: whichOf(meaning) });
  const count = backends.size === 0 ? "no rule forwards" : `${plural(backends.size, "backend")} known`;
  throw new SteerError(`There is no backend "${name}" (${count})`, { hint: "xdpsteer backends list shows them" });
}

/** Which backends to give instead of a name. */
function whichOf({ backends, error }: NameStatus): string {
  if (backends.length === 0) return `it means no backend now${error === null ? "" : `: ${error}`}`;
  const all = firstOf(backends, 400);
  return backends.length === 1 ? `it means ${all} now: give that` : `it means ${all} now: give one of these`;
}

function requireTarget(known: Known, name: string, to: string): void {
  const { backends, rules } = known;
  requireKnown(known, to);
  if (to === name) throw new SteerError(`Sessions of "${name}" cannot be moved to itself`);
  const isIpv6 = (which: string): boolean => backends.get(which)!.address.length === 16;
  if (isIpv6(name) !== isIpv6(to)) {
    throw new SteerError(`Sessions of "${name}" cannot be moved to "${to}": they are of another IP version`);
  }
  const naming = rules.filter(({ spec }) => spec.to.some((each) => each.name === name));
  const without = naming.find(({ spec }) => !spec.to.some((each) => each.name === to));
  const isNamed = rules.some(({ spec }) => spec.to.some((each) => each.name === to));
  if (without === undefined && isNamed) return;
  throw new SteerError(
    without === undefined
      ? `Sessions of "${name}" cannot be moved to "${to}": no rule names that any more`
      : `Sessions of "${name}" cannot be moved to "${to}": rule "${without.name}" does not name that`,
    { hint: `add ${to} to the rule first, or leave --to out` },
  );
}
