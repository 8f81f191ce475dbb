import assert from "node:assert/strict";
import { type Attribute, encodeMessage, messagesIn, type NetlinkMessage } from "../ffi/netlink_message.ts";
import { IFADDRMSG, NETLINK } from "../ffi/netlink_uapi.ts";
import { formatAddress, parseAddress } from "../packet/address.ts";
import { DeviceAddresses } from "./address_messages.ts";

interface Told {
  readonly address: string;
  readonly prefix: number;
  readonly ifindex?: number;
  /** The other end of a point-to-point link. */
  readonly peer?: string;
  readonly broadcast?: string;
  readonly flags?: number;
}

const { RTM_NEWADDR, RTM_DELADDR, IFA_F_DADFAILED, IFA_F_OPTIMISTIC, IFA_F_TENTATIVE } = NETLINK;

/** What the kernel says of an address that came or went. */
function told({ address, prefix, ifindex = 2, peer, broadcast, flags = 0 }: Told, type: number): NetlinkMessage {
  const header = new Uint8Array(IFADDRMSG.size);
  header[IFADDRMSG.ifa_prefixlen] = prefix;
  new DataView(header.buffer).setUint32(IFADDRMSG.ifa_index, ifindex, true);
  const attributes: Attribute[] = [
    [NETLINK.IFA_ADDRESS, parseAddress(peer ?? address)],
    ...address.includes(":") ? [] : [[NETLINK.IFA_LOCAL, parseAddress(address)] as const],
    ...broadcast === undefined ? [] : [[NETLINK.IFA_BROADCAST, parseAddress(broadcast)] as const],
    [NETLINK.IFA_FLAGS, new Uint8Array(new Uint32Array([flags]).buffer)],
  ];
  return [...messagesIn(encodeMessage(type, 0, header, attributes))][0]!;
}

function ownOf(addresses: DeviceAddresses): readonly [own: string[], broadcasts: string[]] {
  return [addresses.own.own.map(formatAddress), addresses.own.broadcasts.map(formatAddress)];
}

Deno.test("DeviceAddresses has each address once, and the broadcasts of its networks", () => {
  const addresses = new DeviceAddresses();
  const all: Told[] = [
    { address: "127.0.0.1", prefix: 8 },
    { address: "::1", prefix: 128 },
    { address: "192.0.2.10", prefix: 24 },
    { address: "192.0.2.10", prefix: 24, ifindex: 3 },
    { address: "10.0.0.5", prefix: 30, broadcast: "10.0.255.255" },
    { address: "10.1.0.0", prefix: 31 },
    { address: "10.2.0.1", prefix: 32, peer: "10.2.0.2" },
    { address: "172.16.0.1", prefix: 12 },
    { address: "2001:db8::10", prefix: 64 },
  ];
  for (const one of all) assert.ok(addresses.apply(told(one, RTM_NEWADDR)) !== undefined);
  const expected = [
    ["10.0.0.5", "10.1.0.0", "10.2.0.1", "2001:db8::10", "172.16.0.1", "192.0.2.10"],
    ["10.0.0.7", "10.0.255.255", "172.31.255.255", "192.0.2.255"],
  ];
  assert.deepEqual(ownOf(addresses), expected);

  addresses.apply(told({ address: "192.0.2.10", prefix: 24 }, RTM_DELADDR));
  assert.deepEqual(ownOf(addresses), expected, "another device has it too");
  addresses.apply(told({ address: "192.0.2.10", prefix: 24, ifindex: 3 }, RTM_DELADDR));
  assert.ok(!ownOf(addresses)[0].includes("192.0.2.10"));
  addresses.retain(new Set());
  assert.deepEqual(ownOf(addresses), [[], []]);
});

Deno.test("DeviceAddresses leaves out addresses that somebody else may have", () => {
  const addresses = new DeviceAddresses();
  const at = (flags: number): string[] => {
    addresses.apply(told({ address: "2001:db8::10", prefix: 64, flags }, RTM_NEWADDR));
    return ownOf(addresses)[0];
  };
  assert.deepEqual(at(IFA_F_TENTATIVE), []);
  assert.deepEqual(at(IFA_F_TENTATIVE | IFA_F_OPTIMISTIC), ["2001:db8::10"]);
  assert.deepEqual(at(IFA_F_TENTATIVE | IFA_F_DADFAILED), []);
  assert.deepEqual(at(0), ["2001:db8::10"]);
});

Deno.test("DeviceAddresses passes over what is no whole message about an address", () => {
  const addresses = new DeviceAddresses();
  const message = told({ address: "192.0.2.10", prefix: 24 }, RTM_NEWADDR);
  assert.equal(addresses.apply({ ...message, type: NETLINK.RTM_NEWLINK }), undefined);
  for (const length of [0, 7, 8, 11, 15]) {
    assert.equal(addresses.apply({ ...message, body: message.body.subarray(0, length) }), undefined, `${length} bytes`);
  }
});
