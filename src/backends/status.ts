/**
 * What backends are doing, and what rules find of theirs: for the status, the metrics and the list of problems.
 *
 * @module
 */
import { formatMac } from "../packet/address.ts";
import type { BackendFlow } from "./flow.ts";
import type { Backend as ConfiguredBackend } from "../steering/forward.ts";
import { type Backend, type ForwardRule, type Forwards, type Health, isHealthy } from "./forward_writer.ts";
import { type Hold, takesNew } from "./holds.ts";
import { checkOf } from "./health/backend_checks.ts";
import type { BackendHealth } from "./health/checks.ts";
import { isIn, passiveKey } from "./passive.ts";
import type { NameStatus } from "./names/names.ts";
import { type NoWay, noWayTo, type WayOut, wayOutOf } from "./way.ts";

/** Why a backend gets no new sessions though it may be healthy. */
export interface Drain {
  /**
   * Who says so. A backend that no rule names any more drains by the file; "weight": a rule gives it a weight of 0,
   * which only the file changes.
   */
  readonly by: "hand" | "file" | "weight";
  /** ISO 8601, UTC; null where the file has always said so. */
  readonly since: string | null;
  /** When the sessions it still has are ended, ISO 8601, UTC; null: when they end by themselves. */
  readonly until: string | null;
  /** Its sessions go to others with their next packets: to this one, or, if it is "", as new ones would. */
  readonly movedTo: string | null;
}

export interface BackendStatus extends BackendFlow {
  readonly name: string;
  /** Rules that name it; none: it is only kept for the sessions it has. */
  readonly rules: readonly string[];
  /** Names of the configuration that mean it now. */
  readonly meantBy: readonly string[];
  /** Forwarding sessions with it. */
  readonly sessions: number;
  /** Null while it gets new sessions from all rules that name it. */
  readonly drain: Drain | null;
  /** Seconds since the rules stopped naming it; null while they do. */
  readonly leavingSeconds: number | null;
  /** Of several checks, for several rules, that of one that fails; null where it is not checked. */
  readonly health: BackendHealth | null;
  /** What each rule finds of it, where they find more than one thing; rules that find the same are together. */
  readonly findings: readonly Finding[];
  /** How it is reached; null where there is no route by a steered interface. */
  readonly nextHop: { readonly interface: string; readonly mac: string | null; readonly mtu: number } | null;
  /** Why no packet gets to it; null where packets do. */
  readonly noWay: NoWay | null;
}

/** What rules find of a backend. */
export interface Finding {
  readonly rules: readonly string[];
  readonly healthy: boolean;
  readonly reason: string;
}

/** A rule that forwards, with its backends. */
export interface RuleBackends {
  readonly rule: string;
  /** What becomes of its packets where no backend is healthy. */
  readonly noneLeft: "drop" | "pass";
  /** Packets of both IP versions can go to each of its backends, in a tunnel. */
  readonly hasTunnel?: boolean;
  readonly backends: readonly RuleBackend[];
}

/** A backend as one of its rules takes it. */
export interface RuleBackend {
  readonly name: string;
  readonly isIpv6: boolean;
  /** By this rule's own check. */
  readonly healthy: boolean;
  /** Clients' packets speak against it, and the rule goes by that. */
  readonly isOut?: boolean;
  /** Whether new sessions may go to it, as far as anybody has said. */
  readonly takesNew: boolean;
  readonly noWay: NoWay | null;
}

export interface StatusOptions {
  readonly now: number;
  /** The same moment. */
  readonly date: Date;
  /** Those that clients' packets speak against, by the keys of passive health. */
  readonly passive: ReadonlyMap<string, BackendHealth>;
  readonly names: readonly NameStatus[];
  readonly flowOf: (name: string) => BackendFlow;
  /** Those that are steered. */
  readonly interfaces: readonly WayOut[];
  /** Sessions there are with the backend in a row. */
  readonly sessionsWith: (row: number) => number;
}

/** A rule, and one of its backends as it has it. */
interface Naming {
  readonly rule: ForwardRule;
  readonly backend: ConfiguredBackend;
}

export function backendStatuses(
  { backends, rules, holds }: Forwards,
  health: ReadonlyMap<string, BackendHealth>,
  { now, date, passive, names, flowOf, interfaces, sessionsWith }: StatusOptions,
): BackendStatus[] {
  const naming = new Map<string, Naming[]>([...backends.keys()].map((name) => [name, []]));
  for (const rule of rules) for (const backend of rule.spec.to) naming.get(backend.name)?.push({ rule, backend });
  return [...backends.values()].map((backend) => {
    const { spec: { name }, row, leftMs, checks, nextHop, noRoute } = backend;
    const checked = checks.flatMap(({ key }) => health.get(key) ?? []);
    const named = naming.get(name)!;
    const [out] = named.flatMap(({ rule: { spec } }) =>
      spec.passive === undefined ? [] : passive.get(passiveKey({ name }, spec.passive)) ?? []
    );
    return {
      name,
      rules: named.map(({ rule }) => rule.name),
      meantBy: names.filter(({ backends }) => backends.includes(name)).map(({ name }) => name),
      sessions: sessionsWith(row),
      ...flowOf(name),
      drain: drainOf(backend, named, holds.get(name), now, date),
      leavingSeconds: leftMs === undefined ? null : Math.round((now - leftMs) / 1000),
      health: out ?? checked.find(({ healthy }) => !healthy) ?? checked.find(({ hindered }) => hindered !== null) ??
        checked[0] ?? null,
      findings: findingsOf(named, health, passive),
      nextHop: nextHop === undefined || wayOutOf(nextHop, interfaces) < 0 ? null : {
        interface: nextHop.interfaceName,
        mac: nextHop.mac === null ? null : formatMac(nextHop.mac),
        mtu: nextHop.mtu,
      },
      noWay: noWayTo(nextHop, interfaces, noRoute),
    };
  });
}

/** @returns None where all rules find the same, or do not check. */
function findingsOf(
  named: readonly Naming[],
  health: ReadonlyMap<string, BackendHealth>,
  passive: ReadonlyMap<string, BackendHealth>,
): Finding[] {
  const found = new Map<string, { rules: string[]; healthy: boolean; reason: string }>();
  for (const { rule: { name, spec }, backend } of named) {
    const active = spec.health === null ? undefined : health.get(checkOf(backend, spec.health).key);
    const of = (spec.passive === undefined ? undefined : passive.get(passiveKey(backend, spec.passive))) ?? active;
    const healthy = of?.healthy ?? true;
    const reason = of === undefined ? "not checked" : of.hindered ?? of.reason;
    const key = `${healthy} ${reason}`;
    const same = found.get(key);
    if (same === undefined) found.set(key, { rules: [name], healthy, reason });
    else same.rules.push(name);
  }
  return found.size < 2 ? [] : [...found.values()];
}

function drainOf(
  { leftMs, drainMs }: Backend,
  named: readonly Naming[],
  hold: Hold | undefined,
  now: number,
  date: Date,
): Drain | null {
  const at = (ms: number): string => new Date(date.getTime() + ms - now).toISOString();
  const movedTo = hold?.kind === "move" ? hold.to ?? "" : null;
  if (leftMs !== undefined) return { by: "file", since: at(leftMs), until: at(leftMs + drainMs), movedTo };
  if (hold !== undefined && hold.kind !== "keep") return { by: "hand", since: hold.since, until: null, movedTo };
  const inFile = hold === undefined && named.some(({ backend: { drain } }) => drain === true);
  if (inFile) return { by: "file", since: null, until: null, movedTo };
  const hasNoWeight = named.some(({ backend: { weight } }) => weight === 0);
  return hasNoWeight ? { by: "weight", since: null, until: null, movedTo } : null;
}

export function ruleBackends(
  { backends, rules, holds }: Forwards,
  health: Health,
  interfaces: readonly WayOut[],
): RuleBackends[] {
  return rules.map(({ name: rule, spec }) => ({
    rule,
    noneLeft: spec.noneLeft,
    hasTunnel: spec.tunnel !== null,
    backends: spec.to.map((backend) => {
      const { address, nextHop, noRoute } = backends.get(backend.name)!;
      return {
        name: backend.name,
        isIpv6: address.length === 16,
        healthy: isHealthy(spec, backend, health),
        isOut: !isIn(spec.passive, backend, health),
        takesNew: takesNew(backend, holds),
        noWay: noWayTo(nextHop, interfaces, noRoute),
      };
    }),
  }));
}
