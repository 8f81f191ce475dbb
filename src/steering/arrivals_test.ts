import assert from "node:assert/strict";
import fc from "fast-check";
import { readUdp, UdpPacket } from "../packet/udp.ts";
import { buildFrame } from "../traffic/frames.ts";
import {
  ARRIVAL_WORDS,
  arrivalBy,
  arrivalOf,
  cameBy,
  hasBackends,
  interfaceOf,
  mtuOf,
  writeArrivals,
} from "./arrivals.ts";

const MAX = 0x7fffffff;
const vlan = (...ids: number[]): { id: number }[] => ids.map((id) => ({ id }));

Deno.test("arrivalOf() reads of a packet what arrivalBy() makes of its interface and tags", () => {
  const tags = fc.array(fc.record({ type: fc.constantFrom(0x8100, 0x88a8), id: fc.nat(0xffff) }), { maxLength: 2 });
  fc.assert(fc.property(tags, fc.nat(254), (vlans, from) => {
    const { bytes } = buildFrame({
      source: { mac: "02:00:00:00:00:01", address: "10.0.0.1", port: 1 },
      destination: { mac: "02:00:00:00:00:02", address: "10.0.0.2", port: 2 },
      vlans,
    });
    const packet = new UdpPacket();
    const view = new DataView(bytes.buffer);
    assert.ok(readUdp(view, 0, bytes.length, packet));
    const arrival = arrivalOf(view, packet, from);
    assert.equal(arrival, arrivalBy(from, vlans));
    assert.equal(interfaceOf(arrival), from);
  }));
});

Deno.test("arrivals differ by interface and VLANs; a tag with id 0 gives a priority only", () => {
  const all = [vlan(), vlan(1), vlan(2), vlan(1, 2), vlan(2, 1), vlan(4095, 4095)].flatMap((tags) =>
    [0, 1, 254].map((from) => arrivalBy(from, tags))
  );
  assert.equal(new Set(all).size, all.length);
  assert.equal(arrivalBy(3, vlan(0)), arrivalBy(3, []));
  assert.equal(arrivalBy(3, vlan(0, 7)), arrivalBy(3, vlan(7)));
  assert.equal(arrivalBy(3, vlan(0xe007)), arrivalBy(3, vlan(7)));
});

Deno.test("cameBy() takes a packet without tags for one whose tag the NIC has taken off", () => {
  const expected = arrivalBy(1, vlan(7));
  assert.ok(cameBy(expected, expected));
  assert.ok(cameBy(arrivalBy(1, []), expected));
  assert.ok(!cameBy(arrivalBy(1, vlan(8)), expected));
  assert.ok(!cameBy(arrivalBy(2, []), expected));
  assert.ok(!cameBy(expected, arrivalBy(1, [])));
});

Deno.test("mtuOf() is the VLAN's, else its interface's, else without a limit", () => {
  const rows = new Int32Array(ARRIVAL_WORDS);
  assert.equal(mtuOf(rows, arrivalBy(0, [])), MAX);
  writeArrivals(rows, [
    { arrival: arrivalBy(0, vlan(7)), mtu: 1400 },
    { arrival: arrivalBy(0, []), mtu: 1500 },
    { arrival: arrivalBy(1, []), mtu: 9000 },
    { arrival: arrivalBy(254, vlan(7, 8)), mtu: 1300 },
  ], [arrivalBy(0, vlan(9)), arrivalBy(1, [])]);
  const mtus = [[0], [0, 7], [0, 8], [0, 9], [0, 7, 8], [1], [1, 7], [2], [254], [254, 7, 8]].map(([from, ...ids]) =>
    mtuOf(rows, arrivalBy(from!, vlan(...ids)))
  );
  assert.deepEqual(mtus, [1500, 1400, 1500, 1500, 1500, 9000, 9000, MAX, MAX, 1300]);
  writeArrivals(rows, [], []);
  assert.equal(mtuOf(rows, arrivalBy(0, vlan(7))), MAX, "all is written anew");
});

Deno.test("hasBackends() is true of the VLAN that backends are in, and of its interface without tags", () => {
  const rows = new Int32Array(ARRIVAL_WORDS);
  writeArrivals(rows, [{ arrival: arrivalBy(0, vlan(8)), mtu: 1400 }], [arrivalBy(0, vlan(9)), arrivalBy(1, []), -1]);
  const expected: readonly [readonly number[], boolean][] = [
    [[0], true],
    [[0, 9], true],
    [[0, 8], false],
    [[0, 10], false],
    [[1], true],
    [[1, 8], false],
    [[2], false],
    [[255], false],
  ];
  for (const [[from, ...ids], has] of expected) assert.equal(hasBackends(rows, arrivalBy(from!, vlan(...ids))), has);
});

Deno.test("writeArrivals() finds what it has room for, and takes the interface's MTU for the rest", () => {
  const rows = new Int32Array(ARRIVAL_WORDS);
  const vlans = [...Array(4094).keys()].map((id) => ({ arrival: arrivalBy(3, vlan(id + 1)), mtu: 1000 + id }));
  writeArrivals(rows, [...vlans, { arrival: arrivalBy(3, []), mtu: 900 }], vlans.map(({ arrival }) => arrival));
  const found = vlans.filter(({ arrival, mtu }) => mtuOf(rows, arrival) === mtu && hasBackends(rows, arrival));
  const others = vlans.filter(({ arrival }) => mtuOf(rows, arrival) === 900 && !hasBackends(rows, arrival));
  assert.equal(found.length, 2048);
  assert.equal(found.length + others.length, vlans.length);
});
