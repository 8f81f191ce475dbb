import assert from "node:assert/strict";
import type { NextHop } from "./next_hop/next_hops.ts";
import { noWayTo, type WayOut, wayOutOf } from "./way.ts";

const ATTACHED = { state: "attached", why: "" };
const HOP: NextHop = {
  ...{ ifindex: 7, interfaceName: "lan0", routeIfindex: 7, vlan: [], mtu: 1500, gateway: null, up: true },
  ...{ source: new Uint8Array(4), sourceMac: new Uint8Array(6), mac: new Uint8Array(6) },
};
/** Listed as eth1, and called lan0 now. */
const ETH1: WayOut = { name: "eth1", currentName: "lan0", ifindex: 7, condition: ATTACHED };
const ETH0: WayOut = { name: "eth0", currentName: "eth0", ifindex: 2, condition: ATTACHED };

Deno.test("wayOutOf() goes by the index, whatever the interface is called", () => {
  assert.equal(wayOutOf(HOP, [ETH0, ETH1]), 1);
  assert.equal(noWayTo(HOP, [ETH0, ETH1]), null);
  // Another device has the name that is listed.
  assert.equal(wayOutOf({ ...HOP, ifindex: 9, interfaceName: "eth1" } as NextHop, [ETH0, ETH1]), -1);
});

Deno.test("noWayTo() says why no packet gets to a backend", () => {
  const gone: WayOut = { ...ETH1, ifindex: undefined, condition: { state: "gone", why: '"lan0" was deleted' } };
  const detached: WayOut = { ...ETH1, condition: { state: "detached", why: "another program sits on it" } };
  for (
    const [hop, interfaces, kind, text] of [
      [undefined, [ETH0], "no_route", "no route"],
      [HOP, [ETH0], "not_steered", "no route by a steered interface: lan0 is not listed under interfaces"],
      [HOP, [ETH0, gone], "not_attached", 'lan0 is not attached: "lan0" was deleted'],
      [HOP, [ETH0, detached], "not_attached", "lan0 is not attached: another program sits on it"],
      [{ ...HOP, up: false }, [ETH1], "down", "lan0 is down or has no carrier"],
      [{ ...HOP, mac: null }, [ETH1], "no_neighbour", "the next hop behind lan0 does not answer"],
    ] as const
  ) {
    const expected = hop === undefined ? { interface: null, noRoute: "none" } : { interface: "lan0" };
    assert.deepEqual(noWayTo(hop, interfaces), { kind, ...expected, text });
  }
  assert.equal(noWayTo(undefined, [ETH0], "own")!.text, "it is an address of this box");
});
