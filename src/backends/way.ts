/**
 * Whether packets get to a backend, and if not, why: in words for operators.
 *
 * @module
 */
import { MAX_VLAN_TAGS } from "../packet/udp.ts";
import type { NextHop, NoRoute } from "./next_hop/next_hops.ts";

/** What has to be known of a steered interface. */
export interface WayOut {
  /** As the configuration calls it. */
  readonly name: string;
  /** Of the device that it is attached to. */
  readonly ifindex: number | undefined;
  readonly currentName: string;
  readonly condition: { readonly state: string; readonly why: string };
}

/** Why no packet gets to a backend. */
export interface NoWay {
  readonly kind: "no_route" | "not_steered" | "not_attached" | "down" | "no_neighbour";
  /** The interface that the route leads out of; null where there is no route. */
  readonly interface: string | null;
  /** What the kernel says instead of a route. */
  readonly noRoute?: NoRoute;
  /** In words; begins small and ends without a full stop. */
  readonly text: string;
}

/** The number of the steered interface that a next hop is behind, as workers number them; -1: it is behind none. */
export function wayOutOf({ ifindex }: Pick<NextHop, "ifindex">, interfaces: readonly WayOut[]): number {
  return interfaces.findIndex((each) => each.ifindex === ifindex && each.condition.state === "attached");
}

const NO_ROUTE_WORDS: Readonly<Record<NoRoute, string>> = {
  none: "no route",
  own: "it is an address of this box",
  group: "it is a broadcast or multicast address",
  refused: "a route refuses its packets (unreachable, blackhole or prohibit)",
  no_ethernet: "its route leads out of no Ethernet interface, or wraps its packets",
};

/** Why packets do not get to a next hop; null where they do. @param noRoute Why there is none. */
export function noWayTo(
  nextHop: NextHop | undefined,
  interfaces: readonly WayOut[],
  noRoute: NoRoute = "none",
): NoWay | null {
  if (nextHop === undefined) return { kind: "no_route", interface: null, noRoute, text: NO_ROUTE_WORDS[noRoute] };
  const { interfaceName: name } = nextHop;
  const no = (kind: NoWay["kind"], text: string): NoWay => ({ kind, interface: name, text });
  if (wayOutOf(nextHop, interfaces) < 0) {
    const listed = interfaces.find(({ currentName, name: configured }) => currentName === name || configured === name);
    if (listed === undefined) {
      return no("not_steered", `no route by a steered interface: ${name} is not listed under interfaces`);
    }
    return no("not_attached", `${name} is not attached: ${listed.condition.why}`);
  }
  const tags = nextHop.vlan.length;
  if (tags > MAX_VLAN_TAGS) return no("not_steered", `it is behind ${tags} VLAN tags: ${MAX_VLAN_TAGS} can be read`);
  if (!nextHop.up) return no("down", `${name} is down or has no carrier`);
  if (nextHop.mac === null) return no("no_neighbour", `the next hop behind ${name} does not answer`);
  return null;
}
