import assert from "node:assert/strict";
import {
  type Attribute,
  encodeAttributes,
  encodeMessage,
  messagesIn,
  type NetlinkMessage,
} from "../ffi/netlink_message.ts";
import { IFINFOMSG, NETLINK } from "../ffi/netlink_uapi.ts";
import { DeviceTable, listDevices } from "./devices.ts";

const name = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);

/** What the kernel says of a device that came, changed or went. */
function told(ifindex: number, called: string, altNames: readonly string[] = [], isGone = false): NetlinkMessage {
  const header = new Uint8Array(IFINFOMSG.size);
  new DataView(header.buffer).setInt32(IFINFOMSG.ifi_index, ifindex, true);
  const properties = encodeAttributes(altNames.map((each): Attribute => [NETLINK.IFLA_ALT_IFNAME, name(each)]));
  const attributes: Attribute[] = [
    [NETLINK.IFLA_IFNAME, name(called)],
    [NETLINK.IFLA_MTU, Uint8Array.of(220, 5, 0, 0)],
    [NETLINK.IFLA_PROP_LIST | NETLINK.NLA_F_NESTED, properties],
  ];
  const type = isGone ? NETLINK.RTM_DELLINK : NETLINK.RTM_NEWLINK;
  return [...messagesIn(encodeMessage(type, 0, header, attributes))][0]!;
}

Deno.test("DeviceTable finds a device by its name, or by one of its alternative names", () => {
  const table = new DeviceTable();
  const alias = "a-name-that-is-longer-than-fifteen-bytes";
  table.apply(told(2, "eth0", ["wan", alias]));
  table.apply(told(3, "lan", ["spare"]));
  for (const [asked, ifindex] of [["eth0", 2], ["wan", 2], [alias, 2], ["lan", 3], ["spare", 3]] as const) {
    assert.equal(table.byName(asked)?.ifindex, ifindex, asked);
  }
  table.apply(told(3, "wan"));
  assert.equal(table.byName("wan")?.ifindex, 3, "a name goes before an alternative one");
  assert.equal(table.byName("lan"), undefined);
});

Deno.test("DeviceTable tells a renamed device from another one of the same index", () => {
  const table = new DeviceTable();
  table.apply(told(2, "eth0"));
  const { arrival } = table.byIndex(2)!;
  table.apply(told(2, "wan0"));
  assert.deepEqual([table.byIndex(2)?.name, table.byIndex(2)?.arrival], ["wan0", arrival]);
  assert.ok(table.apply(told(2, "wan0", [], true)));
  assert.equal(table.byIndex(2), undefined);
  table.apply(told(2, "wan0"));
  assert.notEqual(table.byIndex(2)?.arrival, arrival);
});

Deno.test("listDevices() has the devices of this namespace", () => {
  assert.equal(listDevices().byName("lo")?.ifindex, 1);
});
