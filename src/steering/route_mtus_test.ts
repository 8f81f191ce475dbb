import assert from "node:assert/strict";
import { parseAddress } from "../packet/address.ts";
import { arrivalBy, NO_ARRIVAL } from "./arrivals.ts";
import { MAX_ROUTE_MTUS, ROUTE_MTU_WORDS, type RouteMtu, routeMtuTo, writeRouteMtus } from "./route_mtus.ts";

const NONE = 0x7fffffff;
const [CLIENTS, OTHERS] = [arrivalBy(0, []), arrivalBy(1, [])];

function route(prefix: string, mtu: number, arrival = CLIENTS): RouteMtu {
  const [address, length] = prefix.split("/");
  return { address: parseAddress(address!), prefixLength: Number(length), arrival, mtu };
}

/** Asks about packets that are larger than any MTU. */
function asked(routes: readonly RouteMtu[]): (address: string, way?: number, ipBytes?: number) => number {
  const mtus = new Int32Array(ROUTE_MTU_WORDS);
  assert.ok(writeRouteMtus(mtus, routes));
  return (address, way = CLIENTS, ipBytes = 9000) => {
    const bytes = parseAddress(address);
    const words = new Int32Array(5);
    new Uint8Array(words.buffer, 4).set(bytes);
    return routeMtuTo(mtus, words, 1, bytes.length === 16, way, ipBytes);
  };
}

Deno.test("routeMtuTo() is that of the longest prefix, whether it has an MTU or not", () => {
  const mtu = asked([
    ...[route("0.0.0.0/0", 1400), route("10.1.0.0/16", 0), route("10.1.2.0/23", 1300), route("10.1.2.128/25", 0)],
    ...[route("::/0", 0), route("fd00::/8", 1280), route("fd00:1::/33", 1350)],
  ]);
  const expected = {
    "192.0.2.1": 1400,
    "10.1.4.1": NONE,
    "10.1.3.1": 1300,
    "10.1.2.127": 1300,
    "10.1.2.128": NONE,
    "2001:db8::1": NONE,
    "fd00:1:7fff::1": 1350,
    "fd00:1:8000::1": 1280,
  };
  for (const [address, most] of Object.entries(expected)) assert.equal(mtu(address), most, address);
  assert.equal(mtu("10.1.3.1", CLIENTS, 1300), NONE, "it fits every route");
});

Deno.test("routeMtuTo() asks nothing of packets that leave by another interface than the route names", () => {
  const mtu = asked([
    route("10.0.0.0/8", 1300),
    route("10.1.0.0/16", 1200, NO_ARRIVAL),
    route("10.2.0.0/16", 1250, arrivalBy(0, [{ id: 7 }])),
  ]);
  assert.deepEqual([mtu("10.9.0.1"), mtu("10.9.0.1", OTHERS)], [1300, NONE]);
  assert.deepEqual([mtu("10.1.0.1"), mtu("10.1.0.1", OTHERS)], [1200, 1200], "by several");
  assert.deepEqual(
    [mtu("10.2.0.1", arrivalBy(0, [{ id: 7 }])), mtu("10.2.0.1", CLIENTS)],
    [1250, 1250],
    "its tag may be off",
  );
  assert.equal(mtu("10.2.0.1", arrivalBy(0, [{ id: 8 }])), NONE);
});

Deno.test("writeRouteMtus() has room for those that say something, and says when they are too many", () => {
  const others = Array.from({ length: 4000 }, (_, index) => route(`172.16.${index >> 8}.${index & 255}/32`, 0));
  const mtu = asked([...others, route("10.0.0.0/8", 1300)]);
  assert.equal(mtu("10.0.0.1"), 1300);
  const mtus = new Int32Array(ROUTE_MTU_WORDS);
  const many = Array.from(
    { length: MAX_ROUTE_MTUS + 1 },
    (_, index) => route(`10.0.${index >> 8}.${index & 255}/32`, 1300),
  );
  assert.equal(writeRouteMtus(mtus, many), false);
  const words = new Int32Array(new Uint8Array(parseAddress("10.0.0.1")).slice().buffer);
  assert.equal(routeMtuTo(mtus, words, 0, false, CLIENTS, 9000), NONE);
  assert.equal(writeRouteMtus(mtus, many.slice(1)), true);
  assert.equal(routeMtuTo(mtus, words, 0, false, CLIENTS, 9000), 1300);
});
