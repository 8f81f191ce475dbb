/**
 * Whether packets would get to the backends of a configuration that is not in force, from this machine as it is now.
 *
 * @module
 */
import type { InterfaceConfig } from "../config/schema.ts";
import { interfaceIndex } from "../ffi/libc.ts";
import { formatAddress, parseAddress } from "../packet/address.ts";
import type { Rule } from "../steering/rule.ts";
import { NextHops } from "./next_hop/next_hops.ts";
import { type NoWay, noWayTo, type WayOut } from "./way.ts";

/** A backend that no packet would get to. */
export interface LostBackend {
  readonly rule: string;
  /** Address and port. */
  readonly name: string;
  /** Where the configuration names it. */
  readonly path: readonly (string | number)[];
  readonly noWay: NoWay;
}

/**
 * Backends that no packet would get to while `run` has this configuration: the judgement is that of the running
 * program. A neighbour that nobody has asked for yet is none. Takes no privilege and sends nothing.
 *
 * @throws {SyscallError}
 */
export function lostBackends(
  { interfaces, steering }: { readonly interfaces: readonly InterfaceConfig[]; readonly steering: readonly Rule[] },
): LostBackend[] {
  if (steering.every(({ action }) => action.kind !== "forward")) return [];
  const ways: WayOut[] = interfaces.map(({ name }) => ({
    name,
    currentName: name,
    ifindex: interfaceIndex(name) || undefined,
    condition: { state: "attached", why: "" },
  }));
  using nextHops = NextHops.open({ onChange: () => {} });
  return steering.flatMap(({ name: rule, action }, index): LostBackend[] => {
    if (action.kind !== "forward") return [];
    return action.to.flatMap(({ name, address }, backend): LostBackend[] => {
      const noWay = noWayTo(nextHops.lookup(parseAddress(address)), ways, nextHops.noRoute);
      if (noWay === null || noWay.kind === "no_neighbour") return [];
      // Between names, the file's numbers are others.
      const at = action.names.length === 0 ? [backend] : [];
      return [{ rule, name, path: ["steering", index, "action", "forward", "to", ...at], noWay }];
    });
  });
}

/** Backends that see their clients' own addresses, and so have to answer by this box. */
export interface AnswerRoute {
  /** Their addresses. */
  readonly backends: readonly string[];
  /** The box's address that their route to clients has to lead to; null: a router is between, whose route has to. */
  readonly gateway: string | null;
}

/**
 * Which routes the backends of rules with `source: client` need, as far as this machine has a route to them.
 *
 * @throws {SyscallError}
 */
export function answerRoutes(steering: readonly Rule[]): AnswerRoute[] {
  const addresses = new Set(
    steering.flatMap(({ action }) =>
      action.kind === "forward" && action.source === "client" ? action.to.map(({ address }) => address) : []
    ),
  );
  if (addresses.size === 0) return [];
  using nextHops = NextHops.open({ onChange: () => {} });
  const routes = new Map<string | null, string[]>();
  for (const address of addresses) {
    const nextHop = nextHops.lookup(parseAddress(address));
    if (nextHop === undefined) continue;
    const gateway = nextHop.gateway === null ? formatAddress(nextHop.source) : null;
    routes.set(gateway, [...routes.get(gateway) ?? [], address]);
  }
  return [...routes].map(([gateway, backends]) => ({ gateway, backends }));
}
