/**
 * The kernel's devices and neighbours as rtnetlink told of them, kept up to date message by message, and what a route
 * means in terms of them.
 *
 * @module
 */
import type { NetlinkMessage } from "../../ffi/netlink_message.ts";
import { NETLINK } from "../../ffi/netlink_uapi.ts";
import { type Link, linkIndex, parseLink, type VlanTag } from "../../host/link_messages.ts";
import { type Neighbour, parseNeighbour, type Route } from "./rtnetlink.ts";

/** How a frame gets on its way to a destination. */
export interface NextHop {
  /** The device that carries the frames: for a VLAN device its parent. */
  readonly ifindex: number;
  /** Name of that device. */
  readonly interfaceName: string;
  /** The device that the route names and that the neighbour is on: the VLAN device itself. */
  readonly routeIfindex: number;
  /** Outer first, none to two or more. */
  readonly vlan: readonly VlanTag[];
  /** The address that the box would send from, 4 or 16 bytes; all 0 where it has none. */
  readonly source: Uint8Array;
  /** Of the device that the route names. */
  readonly sourceMac: Uint8Array;
  /**
   * 16 bytes for an IPv6 gateway, also on the way to an IPv4 destination; null where the destination is a neighbour.
   */
  readonly gateway: Uint8Array | null;
  /** The largest IP packet that may go this way. */
  readonly mtu: number;
  /** Of the gateway, or of the destination; null: not resolved (yet), or failed. */
  readonly mac: Uint8Array | null;
  /** True while the devices are up and have a carrier. */
  readonly up: boolean;
}

/** A device by which frames can come: an interface, or a VLAN on one. */
export interface FrameDevice {
  /** The device that carries the frames, and its name. */
  readonly ifindex: number;
  readonly interfaceName: string;
  /** The device that routes name: the VLAN device itself. */
  readonly routeIfindex: number;
  /** Outer first; none for that device itself. */
  readonly vlan: readonly VlanTag[];
  /** The largest IP packet that may leave by it. */
  readonly mtu: number;
}

/** More devices on top of one another than the kernel allows. */
const MAX_DEVICES = 10;

/** Messages that change none of the tables and yet may change the kernel's answer about a route. */
const ROUTING: ReadonlySet<number> = new Set([
  NETLINK.RTM_NEWROUTE,
  NETLINK.RTM_DELROUTE,
  NETLINK.RTM_NEWADDR,
  NETLINK.RTM_DELADDR,
  NETLINK.RTM_NEWRULE,
  NETLINK.RTM_DELRULE,
  NETLINK.RTM_NEWNEXTHOP,
  NETLINK.RTM_DELNEXTHOP,
]);

export class KernelTables {
  readonly #links = new Map<number, Link>();
  readonly #neighbours = new Map<string, Neighbour>();

  /**
   * Takes note of a message.
   *
   * @returns True where a next hop may now be another than before. That a neighbour goes stale, or is confirmed, is no
   * change.
   */
  apply({ type, body }: NetlinkMessage): boolean {
    switch (type) {
      case NETLINK.RTM_NEWLINK: {
        const link = parseLink(body);
        if (link === undefined) return false;
        const before = this.#links.get(link.ifindex);
        this.#links.set(link.ifindex, link);
        return before === undefined || !sameLink(before, link);
      }
      case NETLINK.RTM_DELLINK: {
        const ifindex = linkIndex(body);
        return ifindex !== undefined && this.#links.delete(ifindex);
      }
      case NETLINK.RTM_NEWNEIGH:
      case NETLINK.RTM_DELNEIGH: {
        const neighbour = parseNeighbour(body);
        if (neighbour === undefined) return false;
        const key = neighbourKey(neighbour.ifindex, neighbour.address);
        const before = this.#neighbours.get(key);
        if (type === NETLINK.RTM_DELNEIGH) this.#neighbours.delete(key);
        else this.#neighbours.set(key, neighbour);
        const after = this.#neighbours.get(key);
        return !sameBytes(before?.mac, after?.mac) || hasFailed(before) !== hasFailed(after);
      }
      default:
        return ROUTING.has(type);
    }
  }

  /** The entry of the device's neighbour table, whatever its state. */
  neighbour(ifindex: number, address: Uint8Array): Neighbour | undefined {
    return this.#neighbours.get(neighbourKey(ifindex, address));
  }

  /**
   * What a route means for frames.
   *
   * @returns Undefined where no Ethernet frame can be made for it: the packet stays on this box, the device or a parent
   * of it is not known or has no Ethernet address, or the route wraps its packets in something.
   */
  nextHop(route: Route, destination: Uint8Array): NextHop | undefined {
    const device = this.#links.get(route.ifindex);
    if (route.type !== NETLINK.RTN_UNICAST || route.encapsulated || device?.mac === undefined) return undefined;
    const under = this.#under(device);
    if (under === undefined) return undefined;
    const { carrier, vlan, up } = under;
    let { mtu } = device;
    if (route.mtu !== 0) mtu = Math.min(mtu, route.mtu);
    return {
      ifindex: carrier.ifindex,
      interfaceName: carrier.name,
      routeIfindex: device.ifindex,
      vlan,
      source: route.source ?? new Uint8Array(destination.length),
      sourceMac: device.mac,
      gateway: route.gateway,
      mtu,
      mac: this.neighbour(device.ifindex, route.gateway ?? destination)?.mac ?? null,
      up,
    };
  }

  /** All devices by which frames can come. */
  devices(): FrameDevice[] {
    return [...this.#links.values()].flatMap((device) => {
      const under = this.#under(device);
      if (under === undefined) return [];
      const { carrier, vlan } = under;
      const { ifindex: routeIfindex, mtu } = device;
      return [{ ifindex: carrier.ifindex, interfaceName: carrier.name, routeIfindex, vlan, mtu }];
    });
  }

  /** What carries a device's frames, and the tags they have there; undefined where that is not known. */
  #under(device: Link): { carrier: Link; vlan: VlanTag[]; up: boolean } | undefined {
    const vlan: VlanTag[] = [];
    let carrier = device;
    let { up } = device;
    while (carrier.vlan !== undefined) {
      const parent = this.#links.get(carrier.vlan.parent);
      if (parent === undefined || vlan.length === MAX_DEVICES) return undefined;
      vlan.unshift(carrier.vlan.tag);
      carrier = parent;
      up &&= carrier.up;
    }
    return { carrier, vlan, up };
  }
}

/** True where the kernel has looked for the neighbour and nobody answered. */
export function hasFailed(neighbour: Neighbour | undefined): boolean {
  return neighbour !== undefined && (neighbour.state & NETLINK.NUD_FAILED) !== 0;
}

const neighbourKey = (ifindex: number, address: Uint8Array): string => `${ifindex} ${address.join(".")}`;

function sameLink(left: Link, right: Link): boolean {
  return left.name === right.name && left.mtu === right.mtu && left.up === right.up &&
    sameBytes(left.mac, right.mac) && left.vlan?.parent === right.vlan?.parent &&
    left.vlan?.tag.id === right.vlan?.tag.id && left.vlan?.tag.protocol === right.vlan?.tag.protocol;
}

function sameBytes(left: Uint8Array | null | undefined, right: Uint8Array | null | undefined): boolean {
  if (!left || !right) return !left && !right;
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
