/**
 * What rtnetlink says of neighbours and routes, read from its messages, and the requests for it. No socket here.
 *
 * @module
 */
import { attributesIn, encodeMessage, u32Of, viewOf } from "../../ffi/netlink_message.ts";
import { NDMSG, NETLINK, RTMSG, RTVIA } from "../../ffi/netlink_uapi.ts";

/** An entry of a neighbour table (ARP or ND). */
export interface Neighbour {
  readonly ifindex: number;
  readonly address: Uint8Array;
  /** `NUD_*` */
  readonly state: number;
  /** Null where the kernel has none that it would use. */
  readonly mac: Uint8Array | null;
}

/** What the kernel answered about the way to a destination. */
export interface Route {
  readonly type: number;
  /** The device that the route names, 0 for none. */
  readonly ifindex: number;
  /** 16 bytes for an IPv6 gateway, also of an IPv4 route; null where the destination is a neighbour itself. */
  readonly gateway: Uint8Array | null;
  /** Undefined where the box has no address of that family. */
  readonly source: Uint8Array | undefined;
  /** The route's or the path's, 0 where that of the device counts. */
  readonly mtu: number;
  /** True where packets are wrapped in something (MPLS, SRv6). */
  readonly encapsulated: boolean;
}

const MAC_BYTES = 6;
const IPV6_BYTES = 16;
/** States in which the kernel itself would send to the neighbour's address. */
const VALID = NETLINK.NUD_PERMANENT | NETLINK.NUD_NOARP | NETLINK.NUD_REACHABLE | NETLINK.NUD_PROBE |
  NETLINK.NUD_STALE | NETLINK.NUD_DELAY;

const family = (address: Uint8Array): number => address.length === IPV6_BYTES ? NETLINK.AF_INET6 : NETLINK.AF_INET;

/** The body of RTM_NEWNEIGH or RTM_DELNEIGH; undefined where it is about something else than IP, or about a proxy. */
export function parseNeighbour(body: Uint8Array): Neighbour | undefined {
  if (body.length < NDMSG.size) return undefined;
  const tables: number[] = [NETLINK.AF_INET, NETLINK.AF_INET6];
  if (!tables.includes(body[NDMSG.ndm_family]!) || (body[NDMSG.ndm_flags]! & NETLINK.NTF_PROXY) !== 0) return undefined;
  const attributes = attributesIn(body, NDMSG.size);
  const address = attributes.get(NETLINK.NDA_DST);
  if (address === undefined) return undefined;
  const view = viewOf(body);
  const state = view.getUint16(NDMSG.ndm_state, true);
  const mac = attributes.get(NETLINK.NDA_LLADDR);
  const usable = (state & VALID) !== 0 && mac?.length === MAC_BYTES;
  return {
    ifindex: view.getInt32(NDMSG.ndm_ifindex, true),
    address: address.slice(),
    state,
    mac: usable ? mac.slice() : null,
  };
}

/** The body of the kernel's answer to {@linkcode routeRequest}. */
export function parseRoute(body: Uint8Array): Route {
  const attributes = attributesIn(body, RTMSG.size);
  const via = attributes.get(NETLINK.RTA_VIA)?.slice(RTVIA.rtvia_addr);
  return {
    type: body[RTMSG.rtm_type]!,
    ifindex: u32Of(attributes.get(NETLINK.RTA_OIF)),
    gateway: attributes.get(NETLINK.RTA_GATEWAY)?.slice() ?? via ?? null,
    source: attributes.get(NETLINK.RTA_PREFSRC)?.slice(),
    mtu: mtuOfRoute(attributes),
    encapsulated: attributes.has(NETLINK.RTA_ENCAP_TYPE),
  };
}

/** 0 where that of the device counts. */
export function mtuOfRoute(attributes: ReadonlyMap<number, Uint8Array>): number {
  const metrics = attributes.get(NETLINK.RTA_METRICS);
  return metrics === undefined ? 0 : u32Of(attributesIn(metrics).get(NETLINK.RTAX_MTU));
}

/** Asks which way a packet to `destination` would go. */
export function routeRequest(destination: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(RTMSG.size);
  header[RTMSG.rtm_family] = family(destination);
  header[RTMSG.rtm_dst_len] = destination.length * 8;
  return encodeMessage(NETLINK.RTM_GETROUTE, NETLINK.NLM_F_REQUEST, header, [[NETLINK.RTA_DST, destination]]);
}

/** Asks for all entries of the neighbour tables. */
export function neighboursRequest(): Uint8Array<ArrayBuffer> {
  const flags = NETLINK.NLM_F_REQUEST | NETLINK.NLM_F_DUMP;
  return encodeMessage(NETLINK.RTM_GETNEIGH, flags, new Uint8Array(NDMSG.size));
}

/** Has the kernel act as if it had a packet for a neighbour: look for one that is missing, confirm a stale one. */
export function useNeighbourRequest(ifindex: number, address: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(NDMSG.size);
  const view = viewOf(header);
  header[NDMSG.ndm_family] = family(address);
  view.setInt32(NDMSG.ndm_ifindex, ifindex, true);
  view.setUint16(NDMSG.ndm_state, NETLINK.NUD_NONE, true);
  header[NDMSG.ndm_flags] = NETLINK.NTF_USE;
  const flags = NETLINK.NLM_F_REQUEST | NETLINK.NLM_F_ACK | NETLINK.NLM_F_CREATE;
  return encodeMessage(NETLINK.RTM_NEWNEIGH, flags, header, [[NETLINK.NDA_DST, address]]);
}
