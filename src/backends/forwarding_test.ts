import assert from "node:assert/strict";
import { FakePortTable } from "../../tests/support/fake_engine.ts";
import { forwardRule, SteeringRig } from "../../tests/support/steering_rig.ts";
import { TABLE } from "../dataplane/control_words.ts";
import { parseAddress } from "../packet/address.ts";
import { arrivalBy, hasBackends, interfaceOf, mtuOf } from "../steering/arrivals.ts";
import { mtuToClient } from "../steering/forward_lookup.ts";
import type { FrameDevice, PrefixRoute } from "./next_hop/next_hops.ts";
import {
  BACKEND,
  BACKEND_KNOWN,
  BACKEND_REACHABLE,
  backendAt,
  FORWARD,
  forwardAt,
  MAX_SOURCES,
  sourceAt,
  sourceGenerationAt,
  SOURCES,
} from "../steering/forward_table.ts";

const ADDRESS = "10.9.0.1";
type Rig = SteeringRig<FakePortTable>;

/** A rule with one backend is in force. */
async function newRig(): Promise<Rig> {
  const rig = new SteeringRig(new FakePortTable());
  await rig.change(forwardRule("web", 8080, [1]));
  return rig;
}

interface Row {
  flags: number;
  source: string;
  interface: number;
}

/** Of the backend in the table in force. */
function rowOf({ forwardTable: { backends } }: Rig, row = 1): Row {
  const at = backendAt(row);
  const bytes = new Uint8Array(backends.buffer, backends.byteOffset + at * 4);
  return {
    flags: backends[at + BACKEND.flags]! & (BACKEND_KNOWN | BACKEND_REACHABLE),
    source: bytes.subarray(BACKEND.source * 4, BACKEND.source * 4 + 4).join("."),
    interface: interfaceOf(backends[at + BACKEND.arrival]!),
  };
}

const keyOf = (address: string): string => parseAddress(address).join(".");
const REACHABLE = { flags: BACKEND_KNOWN | BACKEND_REACHABLE, source: "10.9.0.1", interface: 1 };

Deno.test("Forwarding follows the kernel's next hops, some milliseconds after they change", async () => {
  await using rig = await newRig();
  assert.deepEqual(rowOf(rig), REACHABLE);
  const version = rig.workers.versions[TABLE.forward]!;
  for (const mac of ["02:00:00:00:00:04", "02:00:00:00:00:05"]) rig.nextHops!.change(keyOf(ADDRESS), mac);
  await rig.timers.pass(4);
  assert.equal(rig.forwarding.status()[0]!.nextHop!.mac, "02:00:00:00:00:03");
  await rig.timers.pass(1);
  assert.equal(rig.forwarding.status()[0]!.nextHop!.mac, "02:00:00:00:00:05");
  assert.equal(rig.workers.versions[TABLE.forward]! - version, 1, "changes that come together are one");
});

Deno.test("Forwarding still knows the answers of a backend to which there is no route, whichever table is in force", async () => {
  await using rig = await newRig();
  for (let turn = 0; turn < 3; turn++) {
    rig.nextHops!.change(keyOf(ADDRESS), null);
    await rig.timers.pass(5);
    assert.deepEqual(rowOf(rig), { ...REACHABLE, flags: BACKEND_KNOWN });
  }
  rig.nextHops!.change(keyOf(ADDRESS), "02:00:00:00:00:04");
  await rig.timers.pass(5);
  assert.deepEqual(rowOf(rig), REACHABLE);
});

Deno.test("Forwarding tells workers the MTUs of interfaces and of VLANs on them, and where backends are", async () => {
  await using rig = await newRig();
  const device = (interfaceName: string, mtu: number, ...ids: number[]): FrameDevice => ({
    ifindex: 1 + ["steer0", "back0", "other0"].indexOf(interfaceName),
    interfaceName,
    routeIfindex: 10 * (1 + ["steer0", "back0", "other0"].indexOf(interfaceName)) + ids.length,
    vlan: ids.map((id) => ({ protocol: 0x8100, id })),
    mtu,
  });
  const mtus = (): number[] =>
    [arrivalBy(0, []), arrivalBy(0, [{ id: 7 }]), arrivalBy(1, [])].map((arrival) =>
      mtuOf(rig.forwardTable.arrivals, arrival)
    );
  const { nextHops } = rig;
  for (const [client, vlan, back] of [[1500, 1400, 9000], [1300, 1280, 1500], [9000, 1496, 1300]] as const) {
    nextHops!.frameDevices = [
      device("steer0", vlan, 7),
      device("other0", 68),
      device("steer0", client),
      device("back0", back),
      device("steer0", 68, 1, 2, 3), // more tags than workers read
    ];
    nextHops!.change(keyOf(ADDRESS), "02:00:00:00:00:04");
    await rig.timers.pass(5);
    assert.deepEqual(mtus(), [client, vlan, back]);
  }
  const { arrivals } = rig.forwardTable;
  assert.deepEqual([0, 1].map((number) => hasBackends(arrivals, arrivalBy(number, []))), [false, true]);
});

Deno.test("Forwarding tells workers the MTUs of routes to clients, by the interfaces that the routes name", async () => {
  await using rig = await newRig();
  const device = { ifindex: 1, interfaceName: "steer0", mtu: 1500 };
  const vlan = [{ protocol: 0x8100, id: 7 } as const];
  const { nextHops } = rig;
  nextHops!.frameDevices = [{ ...device, routeIfindex: 1, vlan: [] }, { ...device, routeIfindex: 9, vlan }];
  const route = (host: number, ifindex: number, mtu: number): PrefixRoute => ({
    address: Uint8Array.of(10, host, 0, 0),
    prefixLength: 16,
    ifindex,
    mtu,
  });
  const mtu = (host: number, way: number): number => {
    const client = new Int32Array(Uint8Array.of(10, host, 0, 1).buffer);
    return mtuToClient(rig.forwardTable, client, 0, false, way, 1500);
  };
  const [plain, tagged] = [arrivalBy(0, []), arrivalBy(0, vlan)];
  for (const most of [1300, 1200]) {
    nextHops!.prefixRoutes = [route(1, 1, most), route(2, 9, most), route(3, 0, most), route(4, 77, most)];
    nextHops!.change(keyOf(ADDRESS), "02:00:00:00:00:04");
    await rig.timers.pass(5);
    assert.deepEqual([mtu(1, plain), mtu(1, tagged)], [most, 1500]);
    assert.deepEqual([mtu(2, plain), mtu(2, tagged)], [most, most], "the NIC may have taken the tag off");
    assert.deepEqual([mtu(3, plain), mtu(3, tagged)], [most, most], "by several interfaces");
    assert.deepEqual([mtu(4, plain), mtu(5, plain)], [1500, 1500], "by one that is not steered; without a route");
  }
});

Deno.test("Forwarding does not reach a backend behind more VLAN tags than workers read", async () => {
  await using rig = await newRig();
  const { nextHops } = rig;
  const lookup = nextHops!.lookup.bind(nextHops);
  for (const [count, flags] of [[2, REACHABLE.flags], [3, BACKEND_KNOWN]] as const) {
    const vlan = Array.from({ length: count }, (_, index) => ({ protocol: 0x8100, id: index + 1 } as const));
    nextHops!.lookup = (destination) => ({ ...lookup(destination)!, vlan });
    nextHops!.change(keyOf(ADDRESS), "02:00:00:00:00:04");
    await rig.timers.pass(5);
    assert.equal(rowOf(rig).flags, flags);
  }
});

Deno.test("Forwarding leaves no row of a backend whose change failed", async () => {
  await using rig = await newRig();
  rig.portTable.fails = "prepare";
  await assert.rejects(rig.change(forwardRule("web", 8080, [1, 7])));
  for (const mac of ["02:00:00:00:00:04", "02:00:00:00:00:05"]) {
    rig.nextHops!.change(keyOf(ADDRESS), mac);
    await rig.timers.pass(5);
    assert.equal(rowOf(rig, 2).flags, 0);
  }
});

Deno.test("Forwarding whose workers hang tries again until they know of the change", async () => {
  await using rig = await newRig();
  rig.workers.hung.add(TABLE.forward);
  rig.nextHops!.change(keyOf(ADDRESS), null);
  await rig.timers.pass(3000);
  assert.deepEqual(rowOf(rig), REACHABLE);
  rig.workers.hung.clear();
  await rig.timers.pass(1000);
  assert.equal(rowOf(rig).flags, BACKEND_KNOWN);
});

Deno.test("Forwarding asks for neighbours twice a second, and goes on when that fails", async () => {
  await using rig = await newRig();
  const { provoked } = rig.nextHops!;
  rig.nextHops!.provoke = () => {
    rig.nextHops!.provoked++;
    throw new Error("no buffer");
  };
  await rig.timers.pass(2000);
  assert.equal(rig.nextHops!.provoked - provoked, 4);
});

/** The translation addresses in force: place, address and generation. */
function placesOf({ forwardTable: { sources } }: Rig, isIpv6 = false): string[] {
  const bytes = new Uint8Array(sources.buffer, sources.byteOffset, sources.byteLength);
  const length = isIpv6 ? 16 : 4;
  return Array.from({ length: MAX_SOURCES }, (_, place) => place)
    .filter((place) => sources[isIpv6 ? SOURCES.places6 : SOURCES.places4]! >> place & 1)
    .map((place) => {
      const at = sourceAt(isIpv6, place) * 4;
      return `${place} ${bytes.subarray(at, at + length).join(".")} ${sources[sourceGenerationAt(isIpv6, place)]}`;
    });
}

Deno.test("translation addresses change live: each keeps its place, and a place that is given again another generation", async () => {
  await using rig = await newRig();
  const rule = forwardRule("web", 8080, [1]);
  assert.deepEqual(placesOf(rig), []);
  const { changes } = await rig.translate(["192.0.2.1", "192.0.2.2", "2001:db8::1"], rule);
  assert.deepEqual(changes, ["~ translation addresses as routes say -> 192.0.2.1 192.0.2.2 2001:db8::1"]);
  const [first, second] = placesOf(rig).map((text) => text.split(" "));
  assert.deepEqual([first!.slice(0, 2), second!.slice(0, 2)], [["0", "192.0.2.1"], ["1", "192.0.2.2"]]);
  assert.equal(placesOf(rig, true).length, 1);
  await rig.translate(["192.0.2.3", "192.0.2.2"], rule);
  const [third, kept] = placesOf(rig).map((text) => text.split(" "));
  assert.deepEqual(kept, second);
  assert.deepEqual(third!.slice(0, 2), ["0", "192.0.2.3"]);
  assert.ok(Number(third![2]) > Number(first![2]));
  assert.deepEqual(placesOf(rig, true), []);
  // A change of something else leaves them alone, and so does one that fails.
  const before = placesOf(rig);
  await rig.change(forwardRule("web", 8080, [1, 2]));
  rig.portTable.fails = "prepare";
  await assert.rejects(rig.translate(["192.0.2.9"], rule));
  assert.deepEqual(placesOf(rig), before);
  assert.deepEqual((await rig.translate(["192.0.2.3", "192.0.2.2"], forwardRule("web", 8080, [1, 2]))).changes, []);
});

Deno.test("translation addresses are in force with the first rule that forwards, whenever it comes", async () => {
  await using rig = new SteeringRig(new FakePortTable());
  await rig.translate(["192.0.2.1"], "{ name: game, ports: 7777 }");
  await rig.change("{ name: game, ports: 7777 }", forwardRule("web", 8080, [1]));
  assert.equal(placesOf(rig).length, 1);
});

Deno.test("Forwarding that takes over goes on with the share of a backend that starts slowly", async () => {
  const SLOW = ", slow_start: 10s";
  const shareOfTwo = ({ forwardTable: { forwards, maglev } }: SteeringRig<FakePortTable>): number => {
    const [first, size] = [FORWARD.maglev4, FORWARD.size4].map((word) => forwards[forwardAt(0) + word]!);
    const rows = [...maglev.subarray(first, first! + size!)];
    return rows.filter((row) => row === 2).length / rows.length;
  };
  await using rig = new SteeringRig(new FakePortTable());
  await rig.change(forwardRule("web", 8080, [1], SLOW));
  await rig.change(forwardRule("web", 8080, [1, 2], SLOW));
  await using next = new SteeringRig(new FakePortTable(), rig.forwarding.standing);
  await next.change(forwardRule("web", 8080, [1, 2], SLOW));
  for (const each of [rig, next]) assert.ok(Math.abs(shareOfTwo(each) - 1 / 11) < 0.05, `${shareOfTwo(each)}`);
});
