/**
 * Whether packets would get to the backends of a configuration that is not in force, from this machine as it is now.
 *
 * @module
 */
import type { InterfaceConfig } from "../config/schema.ts";
import { interfaceIndex } from "../ffi/libc.ts";
import { parseAddress } from "../packet/address.ts";
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
