/**
 * What backends are doing, and what rules find of theirs: for the status, the metrics and the list of problems.
 *
 * @module
 */
import { formatMac } from "../packet/address.ts";
import { type Forwards, type Health, isHealthy } from "./forward_writer.ts";
import type { BackendHealth } from "./health/checks.ts";
import { type NoWay, noWayTo, type WayOut, wayOutOf } from "./way.ts";

export interface BackendStatus {
  readonly name: string;
  /** Rules that name it; none: it is only kept for the sessions it has. */
  readonly rules: readonly string[];
  /** Forwarding sessions with it. */
  readonly sessions: number;
  /** Seconds since the rules stopped naming it; null while they do. */
  readonly leavingSeconds: number | null;
  /** Of several checks, for several rules, that of one that fails; null where it is not checked. */
  readonly health: BackendHealth | null;
  /** How it is reached; null where there is no route by a steered interface. */
  readonly nextHop: { readonly interface: string; readonly mac: string | null; readonly mtu: number } | null;
  /** Why no packet gets to it; null where packets do. */
  readonly noWay: NoWay | null;
}

/** A rule that forwards, with its backends. */
export interface RuleBackends {
  readonly rule: string;
  /** What becomes of its packets where no backend is healthy. */
  readonly noneLeft: "drop" | "pass";
  readonly backends: readonly RuleBackend[];
}

/** A backend as one of its rules takes it. */
export interface RuleBackend {
  readonly name: string;
  readonly isIpv6: boolean;
  /** By this rule's own check. */
  readonly healthy: boolean;
  readonly noWay: NoWay | null;
}

export interface StatusOptions {
  readonly now: number;
  /** Those that are steered. */
  readonly interfaces: readonly WayOut[];
  /** Sessions there are with the backend in a row. */
  readonly sessionsWith: (row: number) => number;
}

export function backendStatuses(
  { backends, rules }: Forwards,
  health: ReadonlyMap<string, BackendHealth>,
  { now, interfaces, sessionsWith }: StatusOptions,
): BackendStatus[] {
  const naming = new Map<string, string[]>([...backends.keys()].map((name) => [name, []]));
  for (const { name: rule, spec } of rules) for (const { name } of spec.to) naming.get(name)?.push(rule);
  return [...backends.values()].map(({ spec: { name }, row, leftMs, checks, nextHop, noRoute }) => {
    const checked = checks.flatMap(({ key }) => health.get(key) ?? []);
    return {
      name,
      rules: naming.get(name)!,
      sessions: sessionsWith(row),
      leavingSeconds: leftMs === undefined ? null : Math.round((now - leftMs) / 1000),
      health: checked.find(({ healthy }) => !healthy) ?? checked.find(({ hindered }) => hindered !== null) ??
        checked[0] ?? null,
      nextHop: nextHop === undefined || wayOutOf(nextHop, interfaces) < 0 ? null : {
        interface: nextHop.interfaceName,
        mac: nextHop.mac === null ? null : formatMac(nextHop.mac),
        mtu: nextHop.mtu,
      },
      noWay: noWayTo(nextHop, interfaces, noRoute),
    };
  });
}

export function ruleBackends(
  { backends, rules }: Forwards,
  health: Health,
  interfaces: readonly WayOut[],
): RuleBackends[] {
  return rules.map(({ name: rule, spec }) => ({
    rule,
    noneLeft: spec.noneLeft,
    backends: spec.to.map((backend) => {
      const { address, nextHop, noRoute } = backends.get(backend.name)!;
      return {
        name: backend.name,
        isIpv6: address.length === 16,
        healthy: isHealthy(spec, backend, health),
        noWay: noWayTo(nextHop, interfaces, noRoute),
      };
    }),
  }));
}
