/** By which interfaces packets may come. */
import assert from "node:assert/strict";
import {
  BACKEND_MAC,
  Bench,
  type BenchOptions,
  bytesOf,
  CLIENT_MAC,
  fromBackend,
  fromClient,
} from "../../tests/support/forward_packets.ts";
import { BACKENDS, BOTH, CLIENTS, Way } from "../../tests/support/forward_way.ts";
import type { VlanTag } from "../traffic/frames.ts";

for (const family of BOTH) {
  Deno.test(`answers come by what leads to the backend only, unless arrival is loose: ${family}`, () => {
    const backendVlan = [{ protocol: 0x8100, id: 20 }];
    for (const anyArrival of [false, true]) {
      const fates = (options: BenchOptions, arrivals: readonly [number, readonly VlanTag[]][]): string[] => {
        const { bench } = new Way(family, "toClient", { anyArrival, ...options });
        return arrivals.map(([from, vlans]) =>
          bench.pass("toClient", bytesOf(fromBackend(family, bench, { vlans })), from).fate
        );
      };
      const forged = anyArrival ? "returned" : "wrong_interface";
      assert.deepEqual(fates({}, [[CLIENTS, []], [BACKENDS, []], [2, []]]), [forged, "returned", forged]);
      // On one interface with both: VLAN 10 is the clients', 20 the backends'. A NIC may have taken the tag off.
      assert.deepEqual(
        fates({ vlans: backendVlan, interface: CLIENTS }, [
          [CLIENTS, [{ id: 10 }]],
          [CLIENTS, [{ id: 20 }, { id: 10 }]],
          [CLIENTS, [{ id: 20 }]],
          [CLIENTS, [{ id: 0xe014 }]],
          [CLIENTS, []],
        ]),
        [forged, forged, "returned", "returned", "returned"],
      );
    }
  });

  Deno.test(`nobody on the backends' side diverts a client's session, unless arrival is loose: ${family}`, () => {
    for (const anyArrival of [false, true]) {
      const way = new Way(family, "toClient", { anyArrival });
      const { bench } = way;
      const forged = { source: { ...fromClient(family).source, mac: BACKEND_MAC }, vlans: [{ id: 9 }] };
      for (const vlans of [[], [{ id: 9 }]]) {
        const { fate } = bench.pass("toBackend", bytesOf(fromClient(family, { ...forged, vlans })), BACKENDS);
        // Nothing is known of VLAN 9: no backend is there.
        assert.equal(fate, anyArrival || vlans.length > 0 ? "forwarded" : "wrong_interface");
        if (vlans.length > 0) break;
        bench.elsewhere.length = 0;
        const back = way.pass();
        assert.equal(back.fate, "returned");
        assert.deepEqual(bench.elsewhere.map(({ networkInterface }) => networkInterface), anyArrival ? [] : [CLIENTS]);
      }
    }
  });

  Deno.test(`a client that the backends' side was ahead of gets its answers: ${family}`, () => {
    const bench = new Bench({ interface: BACKENDS });
    const pass = (mac: string, from: number): string =>
      bench.pass("toBackend", bytesOf(fromClient(family, { source: { ...fromClient(family).source, mac } })), from)
        .fate;
    assert.equal(pass(BACKEND_MAC, BACKENDS), "forwarded");
    assert.equal(pass(CLIENT_MAC, CLIENTS), "forwarded");
    assert.equal(pass(BACKEND_MAC, BACKENDS), "wrong_interface");
    bench.elsewhere.length = 0;
    assert.equal(bench.pass("toClient", bytesOf(fromBackend(family, bench)), BACKENDS).fate, "returned");
    assert.deepEqual(bench.elsewhere.map(({ networkInterface }) => networkInterface), [CLIENTS]);
    assert.deepEqual([...bench.elsewhere[0]!.bytes.subarray(0, 6)], [2, 0, 0, 0, 0, 1]);
  });

  Deno.test(`a client behind the backends' interface is served, and one that comes by two interfaces: ${family}`, () => {
    const hairpin = new Bench({ interface: BACKENDS });
    for (let round = 0; round < 3; round++) {
      assert.equal(hairpin.pass("toBackend", bytesOf(fromClient(family)), BACKENDS).fate, "forwarded");
      const { fate, bytes } = hairpin.pass("toClient", bytesOf(fromBackend(family, hairpin)), BACKENDS);
      assert.equal(fate, "returned");
      assert.deepEqual([...bytes!.subarray(0, 6)], [2, 0, 0, 0, 0, 1]);
    }
    const bench = new Bench({ interface: BACKENDS });
    for (const from of [CLIENTS, 2, CLIENTS, 2]) {
      assert.equal(bench.pass("toBackend", bytesOf(fromClient(family)), from).fate, "forwarded");
      bench.elsewhere.length = 0;
      assert.equal(bench.pass("toClient", bytesOf(fromBackend(family, bench)), BACKENDS).fate, "returned");
      assert.deepEqual(bench.elsewhere.map(({ networkInterface }) => networkInterface), [from]);
    }
  });
}
