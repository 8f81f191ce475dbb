/**
 * What rtnetlink says of network devices, read from its messages, and the request for it. No socket here.
 *
 * @module
 */
import { attributesIn, encodeMessage, textOf, u32Of, valuesIn, viewOf } from "../ffi/netlink_message.ts";
import { IFINFOMSG, NETLINK } from "../ffi/netlink_uapi.ts";

export interface VlanTag {
  readonly protocol: 0x8100 | 0x88a8;
  readonly id: number;
}

/** A network device. */
export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** Other names it has (`ip link property add … altname`). */
  readonly altNames: readonly string[];
  /** Undefined where it has no Ethernet address. */
  readonly mac: Uint8Array | undefined;
  readonly mtu: number;
  /** Set up, with a carrier, and not waiting for something else (802.1X). */
  readonly up: boolean;
  /** For packets of the box to itself. */
  readonly isLoopback: boolean;
  /** `vlan`, `bridge`; "" for a device of a driver. */
  readonly kind: string;
  /** Index of the device that it is on top of, in this namespace; 0 for none. */
  readonly lower: number;
  /** Index of the bridge or bond that it is a member of; 0 for none. */
  readonly master: number;
  /** Of a VLAN device whose parent is in this namespace: the parent, and the tag that is put on. */
  readonly vlan: { readonly parent: number; readonly tag: VlanTag } | undefined;
}

const MAC_BYTES = 6;
/**
 * Set up and with a carrier. Not IFF_RUNNING: the kernel may set that a second late, as it takes note of carriers once
 * a second.
 */
const UP = NETLINK.IFF_UP | NETLINK.IFF_LOWER_UP;

/** The body of RTM_NEWLINK; undefined where it tells of a part of a device only, as a bridge's messages do. */
export function parseLink(body: Uint8Array): Link | undefined {
  const ifindex = linkIndex(body);
  const attributes = attributesIn(body, IFINFOMSG.size);
  const mtu = attributes.get(NETLINK.IFLA_MTU);
  if (ifindex === undefined || mtu === undefined) return undefined;
  const mac = attributes.get(NETLINK.IFLA_ADDRESS);
  const properties = attributes.get(NETLINK.IFLA_PROP_LIST);
  const flags = viewOf(body).getUint32(IFINFOMSG.ifi_flags, true);
  const linkInfo = attributes.get(NETLINK.IFLA_LINKINFO);
  return {
    ifindex,
    name: textOf(attributes.get(NETLINK.IFLA_IFNAME)),
    altNames: properties === undefined ? [] : valuesIn(properties, NETLINK.IFLA_ALT_IFNAME).map(textOf),
    mac: mac?.length === MAC_BYTES ? mac.slice() : undefined,
    mtu: u32Of(mtu),
    up: (flags & (UP | NETLINK.IFF_DORMANT)) === UP,
    isLoopback: (flags & NETLINK.IFF_LOOPBACK) !== 0,
    kind: linkInfo === undefined ? "" : textOf(attributesIn(linkInfo).get(NETLINK.IFLA_INFO_KIND)),
    // With an id of a namespace, that device is in that one.
    lower: attributes.has(NETLINK.IFLA_LINK_NETNSID) ? 0 : u32Of(attributes.get(NETLINK.IFLA_LINK)),
    master: u32Of(attributes.get(NETLINK.IFLA_MASTER)),
    vlan: parseVlan(attributes),
  };
}

/** Which device RTM_NEWLINK or RTM_DELLINK is about; undefined where it is about its part in a bridge. */
export function linkIndex(body: Uint8Array): number | undefined {
  if (body.length < IFINFOMSG.size || body[IFINFOMSG.ifi_family] !== 0) return undefined;
  return viewOf(body).getInt32(IFINFOMSG.ifi_index, true);
}

function parseVlan(attributes: Map<number, Uint8Array>): Link["vlan"] {
  const linkInfo = attributes.get(NETLINK.IFLA_LINKINFO);
  // With an id of a namespace, the parent is in that one.
  if (linkInfo === undefined || attributes.has(NETLINK.IFLA_LINK_NETNSID)) return undefined;
  const info = attributesIn(linkInfo);
  if (textOf(info.get(NETLINK.IFLA_INFO_KIND)) !== "vlan") return undefined;
  const data = attributesIn(info.get(NETLINK.IFLA_INFO_DATA) ?? new Uint8Array());
  const id = data.get(NETLINK.IFLA_VLAN_ID);
  const protocol = data.get(NETLINK.IFLA_VLAN_PROTOCOL);
  if (id === undefined) return undefined;
  return {
    parent: u32Of(attributes.get(NETLINK.IFLA_LINK)),
    tag: {
      // In network byte order, unlike the id.
      protocol: protocol !== undefined && viewOf(protocol).getUint16(0) === 0x88a8 ? 0x88a8 : 0x8100,
      id: viewOf(id).getUint16(0, true),
    },
  };
}

/** Asks for all devices. */
export function linksRequest(): Uint8Array<ArrayBuffer> {
  const flags = NETLINK.NLM_F_REQUEST | NETLINK.NLM_F_DUMP;
  return encodeMessage(NETLINK.RTM_GETLINK, flags, new Uint8Array(IFINFOMSG.size));
}
