import assert from "node:assert/strict";
import type { Link } from "./link_messages.ts";
import { ownMacs } from "./own_macs.ts";

function link(ifindex: number, more: Partial<Link> = {}): Link {
  const usual = {
    altNames: [],
    mtu: 1500,
    up: true,
    isLoopback: false,
    kind: "",
    lower: 0,
    master: 0,
    vlan: undefined,
  };
  return { ifindex, name: `dev${ifindex}`, mac: Uint8Array.of(2, 0, 0, 0, 0, ifindex), ...usual, ...more };
}

const numbersOf = (macs: readonly Uint8Array[]): number[] => macs.map((mac) => mac[5]!);

Deno.test("ownMacs() has a device's own address and those of what is on top of it", () => {
  const eth = link(1, { master: 5 });
  const links = [
    eth,
    link(2, { kind: "vlan", lower: 1 }),
    link(3, { kind: "macvlan", lower: 1 }),
    link(4, { kind: "macvlan", lower: 2 }), // on the VLAN
    link(5, { kind: "bridge" }),
    link(6, { kind: "vlan", lower: 5 }), // on the bridge
    link(7, { kind: "macvtap", lower: 1 }), // a virtual machine's
    link(8, { kind: "veth", lower: 1 }), // its other end
    link(9, { kind: "veth", master: 5 }), // another port of the bridge
    link(10, { kind: "macvlan", lower: 9 }),
  ];
  assert.deepEqual(numbersOf(ownMacs(eth, links)), [1, 2, 3, 5, 4, 6]);
  assert.deepEqual(numbersOf(ownMacs(link(11, { master: 12 }), [link(12, { kind: "vrf" })])), [11]);
  assert.deepEqual(ownMacs(link(13, { mac: undefined }), links), []);
  const same = link(1);
  assert.deepEqual(
    numbersOf(ownMacs(same, [same, link(2, { kind: "vlan", lower: 1, mac: same.mac })])),
    [1],
    "each once",
  );
});
