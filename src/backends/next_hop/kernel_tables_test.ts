import assert from "node:assert/strict";
import {
  type Attribute,
  attributesIn,
  encodeAttributes,
  encodeMessage,
  messagesIn,
  type NetlinkMessage,
} from "../../ffi/netlink_message.ts";
import { IFINFOMSG, NDMSG, NETLINK, RTMSG } from "../../ffi/netlink_uapi.ts";
import { hasFailed, KernelTables } from "./kernel_tables.ts";
import { parseRoute, type Route } from "./rtnetlink.ts";

const UP = NETLINK.IFF_UP | NETLINK.IFF_LOWER_UP;
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const PEER = Uint8Array.of(192, 0, 2, 1);

const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);
const name = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);

/** A message as the socket hands it over. */
function message(type: number, header: Uint8Array, attributes: readonly Attribute[] = []): NetlinkMessage {
  const [received] = messagesIn(encodeMessage(type, 0, header, attributes));
  return received!;
}

interface LinkFacts {
  readonly family?: number;
  readonly flags?: number;
  readonly mac?: Uint8Array;
  readonly mtu?: number;
  readonly type?: number;
  readonly more?: readonly Attribute[];
}

function link(ifindex: number, facts: LinkFacts = {}): NetlinkMessage {
  const { family = 0, flags = UP, mac = MAC, mtu = 1500, type = NETLINK.RTM_NEWLINK, more = [] } = facts;
  const header = new Uint8Array(IFINFOMSG.size);
  header[IFINFOMSG.ifi_family] = family;
  new DataView(header.buffer).setInt32(IFINFOMSG.ifi_index, ifindex, true);
  new DataView(header.buffer).setUint32(IFINFOMSG.ifi_flags, flags, true);
  return message(type, header, [
    [NETLINK.IFLA_IFNAME, name(`dev${ifindex}`)],
    [NETLINK.IFLA_MTU, u32(mtu)],
    [NETLINK.IFLA_ADDRESS, mac],
    ...more,
  ]);
}

/** What the kernel says of a VLAN device (vlan_fill_info): the id in host order, the protocol in network order. */
function vlanOf(parent: number, id: number, protocol: number): Attribute[] {
  const data = encodeAttributes([
    [NETLINK.IFLA_VLAN_ID, Uint8Array.of(id & 255, id >> 8)],
    [NETLINK.IFLA_VLAN_PROTOCOL, Uint8Array.of(protocol >> 8, protocol & 255)],
  ]);
  const info = encodeAttributes([
    [NETLINK.IFLA_INFO_KIND, name("vlan")],
    [NETLINK.IFLA_INFO_DATA | NETLINK.NLA_F_NESTED, data],
  ]);
  return [[NETLINK.IFLA_LINK, u32(parent)], [NETLINK.IFLA_LINKINFO, info]];
}

function neighbour(ifindex: number, state: number, facts: { flags?: number; family?: number } = {}): NetlinkMessage {
  const header = new Uint8Array(NDMSG.size);
  header[NDMSG.ndm_family] = facts.family ?? NETLINK.AF_INET;
  header[NDMSG.ndm_flags] = facts.flags ?? 0;
  new DataView(header.buffer).setInt32(NDMSG.ndm_ifindex, ifindex, true);
  new DataView(header.buffer).setUint16(NDMSG.ndm_state, state, true);
  return message(NETLINK.RTM_NEWNEIGH, header, [[NETLINK.NDA_DST, PEER], [NETLINK.NDA_LLADDR, PEER_MAC]]);
}

function routeVia(ifindex: number, more: readonly Attribute[] = []): Route {
  const header = new Uint8Array(RTMSG.size);
  header[RTMSG.rtm_type] = NETLINK.RTN_UNICAST;
  return parseRoute(message(NETLINK.RTM_NEWROUTE, header, [[NETLINK.RTA_OIF, u32(ifindex)], ...more]).body);
}

function tablesOf(...messages: NetlinkMessage[]): KernelTables {
  const tables = new KernelTables();
  for (const each of messages) tables.apply(each);
  return tables;
}

Deno.test("KernelTables.nextHop() carries frames of a VLAN device by its parent", () => {
  const vlanMac = Uint8Array.of(2, 0, 0, 0, 0, 9);
  const tables = tablesOf(
    link(2, { mtu: 9000 }),
    link(5, { mac: vlanMac, mtu: 1496, more: vlanOf(2, 4094, 0x8100) }),
    neighbour(5, NETLINK.NUD_REACHABLE),
  );
  const nextHop = tables.nextHop(routeVia(5, [[NETLINK.RTA_PREFSRC, Uint8Array.of(192, 0, 2, 9)]]), PEER);
  assert.deepEqual(nextHop, {
    ifindex: 2,
    interfaceName: "dev2",
    routeIfindex: 5,
    vlan: [{ protocol: 0x8100, id: 4094 }],
    source: Uint8Array.of(192, 0, 2, 9),
    sourceMac: vlanMac,
    gateway: null,
    mtu: 1496,
    mac: PEER_MAC,
    up: true,
  });
  assert.equal(tables.nextHop(routeVia(2), PEER)?.mac, null, "the parent has neighbours of its own");
});

Deno.test("KernelTables.nextHop() stacks tags, the outer first, and is up where all devices are", () => {
  const inner = link(6, { more: vlanOf(5, 20, 0x8100) });
  const outer = link(5, { more: vlanOf(2, 10, 0x88a8) });
  const tables = tablesOf(inner, outer, link(2));
  const nextHop = tables.nextHop(routeVia(6), PEER);
  assert.deepEqual(nextHop?.vlan, [{ protocol: 0x88a8, id: 10 }, { protocol: 0x8100, id: 20 }]);
  assert.deepEqual([nextHop?.ifindex, nextHop?.up], [2, true]);
  assert.ok(tables.apply(link(2, { flags: NETLINK.IFF_UP })));
  assert.equal(tables.nextHop(routeVia(6), PEER)?.up, false);
});

Deno.test("KernelTables.devices() has interfaces and VLANs on them, each with its own MTU", () => {
  const tables = tablesOf(
    link(2, { mtu: 9000 }),
    link(5, { mtu: 1496, more: vlanOf(2, 10, 0x88a8) }),
    link(6, { mtu: 1400, more: vlanOf(5, 20, 0x8100) }),
    link(7, { more: vlanOf(99, 10, 0x8100) }), // its parent is not there
  );
  const [outer, inner] = [{ protocol: 0x88a8, id: 10 }, { protocol: 0x8100, id: 20 }];
  const on2 = { ifindex: 2, interfaceName: "dev2" };
  assert.deepEqual(tables.devices(), [
    { ...on2, routeIfindex: 2, vlan: [], mtu: 9000 },
    { ...on2, routeIfindex: 5, vlan: [outer], mtu: 1496 },
    { ...on2, routeIfindex: 6, vlan: [outer, inner], mtu: 1400 },
  ]);
  assert.ok(tables.apply(link(2, { mtu: 1300 })), "a next hop may be another");
  assert.equal(tables.devices()[0]!.mtu, 1300);
});

Deno.test("KernelTables.nextHop() has none where a parent is missing or its own parent, and keeps to this namespace", () => {
  assert.equal(tablesOf(link(5, { more: vlanOf(2, 10, 0x8100) })).nextHop(routeVia(5), PEER), undefined);
  assert.equal(tablesOf(link(5, { more: vlanOf(5, 10, 0x8100) })).nextHop(routeVia(5), PEER), undefined);
  assert.equal(tablesOf(link(5, { mac: new Uint8Array() })).nextHop(routeVia(5), PEER), undefined, "no Ethernet");
  // Index 2 is another device in the parent's namespace.
  const elsewhere = link(5, { more: [...vlanOf(2, 10, 0x8100), [NETLINK.IFLA_LINK_NETNSID, u32(0)]] });
  const nextHop = tablesOf(link(2), elsewhere).nextHop(routeVia(5), PEER);
  assert.deepEqual([nextHop?.ifindex, nextHop?.vlan], [5, []]);
});

Deno.test("KernelTables.apply() tells what may change a next hop from what does not", () => {
  const tables = tablesOf(link(2));
  assert.equal(tables.apply(link(2)), false, "the same again");
  assert.equal(tables.apply(link(2, { mtu: 1400 })), true);
  assert.equal(tables.apply(link(2, { mac: PEER_MAC, mtu: 1400 })), true);
  assert.equal(tables.apply(neighbour(2, NETLINK.NUD_INCOMPLETE)), false);
  assert.equal(tables.apply(neighbour(2, NETLINK.NUD_REACHABLE)), true);
  for (const state of [NETLINK.NUD_STALE, NETLINK.NUD_DELAY, NETLINK.NUD_PROBE, NETLINK.NUD_PERMANENT]) {
    assert.equal(tables.apply(neighbour(2, state)), false, `state ${state}`);
  }
  assert.equal(tables.apply(neighbour(2, NETLINK.NUD_FAILED)), true);
  assert.ok(hasFailed(tables.neighbour(2, PEER)));
  assert.equal(tables.apply(neighbour(2, NETLINK.NUD_INCOMPLETE)), true, "no longer failed");
  assert.equal(tables.apply(neighbour(2, NETLINK.NUD_REACHABLE, { flags: NETLINK.NTF_PROXY })), false);
  assert.equal(tables.apply(neighbour(2, NETLINK.NUD_REACHABLE, { family: 7 })), false, "a bridge's (AF_BRIDGE)");
  for (const type of [NETLINK.RTM_NEWROUTE, NETLINK.RTM_DELRULE, NETLINK.RTM_NEWADDR, NETLINK.RTM_DELNEXTHOP]) {
    assert.equal(tables.apply(message(type, new Uint8Array(RTMSG.size))), true, `message ${type}`);
  }
});

Deno.test("KernelTables.apply() keeps a device that only leaves a bridge", () => {
  const tables = tablesOf(link(2));
  assert.equal(tables.apply(link(2, { family: 7, mtu: 1000 })), false);
  assert.equal(tables.apply(link(2, { family: 7, type: NETLINK.RTM_DELLINK })), false);
  assert.equal(tables.nextHop(routeVia(2), PEER)?.mtu, 1500);
  assert.equal(tables.apply(link(2, { type: NETLINK.RTM_DELLINK })), true);
  assert.equal(tables.nextHop(routeVia(2), PEER), undefined);
});

Deno.test("messagesIn() and attributesIn() end where bytes are missing", () => {
  const whole = encodeMessage(NETLINK.RTM_NEWLINK, 0, new Uint8Array(IFINFOMSG.size), [[1, MAC], [2, PEER]]);
  assert.equal([...messagesIn(whole)].length, 1);
  for (let length = 0; length < whole.length; length++) {
    assert.equal([...messagesIn(whole.subarray(0, length))].length, 0, `${length} bytes`);
  }
  const attributes = encodeAttributes([[1, MAC], [2, PEER]]);
  assert.deepEqual([...attributesIn(attributes)], [[1, MAC], [2, PEER]]);
  assert.deepEqual([...attributesIn(attributes.subarray(0, attributes.length - 1))], [[1, MAC]]);
  assert.deepEqual([...attributesIn(new Uint8Array(8))], [], "an attribute of no length ends them");
});
