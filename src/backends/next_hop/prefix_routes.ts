/**
 * The kernel's routes with their prefixes, of which only the MTUs are of interest: by a dump of the main table.
 *
 * @module
 */
import { attributesIn, encodeMessage, type NetlinkMessage, u32Of } from "../../ffi/netlink_message.ts";
import { NETLINK, RTMSG } from "../../ffi/netlink_uapi.ts";
import { mtuOfRoute } from "./rtnetlink.ts";

/** A unicast route of the main table. */
export interface PrefixRoute {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly prefixLength: number;
  /** The device that it names; 0: several. */
  readonly ifindex: number;
  /** 0 where that of the device counts. */
  readonly mtu: number;
}

/** With more, as on a router with all routes of the Internet, none is told: to list them takes too long. */
export const MAX_ROUTES = 4096;

const ADDRESS_BYTES: Readonly<Record<number, number>> = { [NETLINK.AF_INET]: 4, [NETLINK.AF_INET6]: 16 };

/** Asks for all routes of an IP version. */
export function routesRequest(family: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(RTMSG.size);
  header[RTMSG.rtm_family] = family;
  return encodeMessage(NETLINK.RTM_GETROUTE, NETLINK.NLM_F_REQUEST | NETLINK.NLM_F_DUMP, header);
}

/** What the answers to {@linkcode routesRequest} say. */
export class PrefixRoutes {
  /** By prefix: the one that the kernel prefers. */
  readonly #routes = new Map<string, PrefixRoute & { readonly priority: number }>();
  #tooMany = false;

  /** Undefined where there are more than {@linkcode MAX_ROUTES}. */
  get all(): readonly PrefixRoute[] | undefined {
    return this.#tooMany ? undefined : [...this.#routes.values()];
  }

  apply({ type, body }: NetlinkMessage): void {
    if (this.#tooMany || type !== NETLINK.RTM_NEWROUTE || body.length < RTMSG.size) return;
    const bytes = ADDRESS_BYTES[body[RTMSG.rtm_family]!];
    if (bytes === undefined || body[RTMSG.rtm_type] !== NETLINK.RTN_UNICAST) return;
    const attributes = attributesIn(body, RTMSG.size);
    const table = attributes.get(NETLINK.RTA_TABLE);
    if ((table === undefined ? body[RTMSG.rtm_table] : u32Of(table)) !== NETLINK.RT_TABLE_MAIN) return;
    if (((body[RTMSG.rtm_flags]! | 0) & NETLINK.RTNH_F_DEAD) !== 0) return;
    const address = attributes.get(NETLINK.RTA_DST)?.slice() ?? new Uint8Array(bytes);
    const prefixLength = body[RTMSG.rtm_dst_len]!;
    const priority = u32Of(attributes.get(NETLINK.RTA_PRIORITY));
    const key = `${prefixLength} ${address.join(".")}`;
    const known = this.#routes.get(key);
    if (known !== undefined && known.priority <= priority) return;
    const ifindex = attributes.has(NETLINK.RTA_MULTIPATH) ? 0 : u32Of(attributes.get(NETLINK.RTA_OIF));
    this.#routes.set(key, { address, prefixLength, ifindex, mtu: mtuOfRoute(attributes), priority });
    this.#tooMany = this.#routes.size > MAX_ROUTES;
  }
}
