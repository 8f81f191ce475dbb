/** The rules that packets to backends and their answers to clients obey alike. */
import assert from "node:assert/strict";
import { Bench, type BenchOptions, bytesOf, fromBackend, fromClient } from "../../tests/support/forward_packets.ts";
import { BACKENDS, BOTH, CLIENTS, DIRECTIONS, HEADERS, SERVED, Way } from "../../tests/support/forward_way.ts";
import { arrivalBy } from "../steering/arrivals.ts";
import { ticksOf } from "../steering/session_row.ts";
import type { FrameOptions, VlanTag } from "../traffic/frames.ts";

for (const family of BOTH) {
  for (const direction of DIRECTIONS) {
    const served = SERVED[direction];

    Deno.test(`what is larger than the MTU of the way out is not sent, and its sender is told: ${direction}, ${family}`, () => {
      for (const vlans of [[], [{ id: 5 }]]) {
        const way = new Way(family, direction, { vlans: vlans.map(({ id }) => ({ protocol: 0x8100, id })) });
        way.narrow(1400);
        assert.equal(way.pass({ ...way.sized(1400), vlans }).fate, served);
        const large = { ...way.sized(1401), vlans };
        const { fate, bytes } = way.pass(large);
        assert.equal(fate, "too_big");
        assert.deepEqual(bytes, way.error(large, "tooBig", 1400));
        assert.equal(way.bench.elsewhere.length, 1);
        way.narrow(1300);
        assert.equal(way.pass(way.sized(1301)).fate, "too_big", "the MTU has changed");
        way.narrow(1450);
        assert.equal(way.pass(way.sized(1450)).fate, served);
      }
    });

    Deno.test(`the MTU counts also where packets leave by the interface by which they came: ${direction}, ${family}`, () => {
      const way = new Way(family, direction, { interface: CLIENTS });
      way.narrow(1400);
      const { fate, bytes } = way.pass(way.sized(1401));
      assert.equal(fate, "too_big");
      assert.deepEqual(bytes, way.error(way.sized(1401), "tooBig", 1400));
      assert.equal(way.pass(way.sized(1400)).bytes!.length, 1414);
    });

    Deno.test(`what is larger than a chunk of the way out is not sent, and its sender is told: ${direction}, ${family}`, () => {
      const way = new Way(family, direction, { mtu: 9000 });
      way.narrow(9000);
      way.bench.largest = 1792;
      assert.equal(way.pass(way.sized(1778)).fate, served);
      const { fate, bytes } = way.pass(way.sized(1779));
      assert.equal(fate, "too_big");
      assert.deepEqual(bytes, way.error(way.sized(1779), "tooBig", 1778));
      assert.deepEqual(way.bench.elsewhere.map(({ bytes }) => bytes.length), [1792]);
    });

    Deno.test(`what is out of hops is not sent, and its sender is told: ${direction}, ${family}`, () => {
      const way = new Way(family, direction);
      for (const hops of [1, 0]) {
        const { fate, bytes } = way.pass({ hops });
        assert.equal(fate, "hops_exceeded");
        assert.deepEqual(bytes, way.error({ hops }, "hopsExceeded"));
      }
      assert.equal(way.pass({ hops: 2 }).fate, served);
      assert.equal(way.bench.elsewhere[0]!.bytes[family === "IPv4" ? 22 : 21], 1);
    });

    Deno.test(`a sender is told ten times a second for one client: ${direction}, ${family}`, () => {
      const way = new Way(family, direction);
      way.narrow(1300);
      const told = (): number => {
        let count = 0;
        for (let index = 0; index < 150; index++) {
          if (way.pass(index % 2 === 0 ? { hops: 1 } : way.sized(1400)).bytes !== undefined) count++;
        }
        return count;
      };
      assert.deepEqual([told(), told()], [10, 0]);
      // What the other side's senders are told does not count.
      const other = direction === "toBackend" ? "toClient" : "toBackend";
      const packet = other === "toBackend" ? fromClient(family) : fromBackend(family, way.bench);
      const from = other === "toBackend" ? CLIENTS : BACKENDS;
      assert.ok(way.bench.pass(other, bytesOf({ ...packet, hops: 1 }), from).bytes !== undefined);
      way.bench.forwarder.now = ticksOf(1000);
      assert.equal(told(), 10);
    });

    Deno.test(`nothing is sent of what follows the IP packet in its frame: ${direction}, ${family}`, () => {
      const way = new Way(family, direction);
      const sizes = (ipBytes: number, padTo: number): number => {
        way.bench.elsewhere.length = 0;
        assert.equal(way.pass({ ...way.sized(ipBytes), padTo }).fate, served);
        return way.bench.elsewhere[0]!.bytes.length;
      };
      assert.equal(sizes(1400, 1600), 1414);
      assert.equal(sizes(100, 3000), 114);
      way.bench.largest = 1792;
      assert.equal(sizes(1000, 1793), 1014, "it counts for nothing");
      const smallest = HEADERS[family];
      assert.equal(sizes(smallest, 0), 14 + smallest, "a short frame is not made longer");
      assert.equal(sizes(smallest, 60), Math.max(60, 14 + smallest), "Ethernet's padding stays");
      assert.equal(sizes(smallest, 64), Math.max(60, 14 + smallest), "and is not more than that");
    });

    Deno.test(`no packet goes between what are not two single hosts: ${direction}, ${family}`, () => {
      const way = new Way(family, direction);
      const { source, destination } = way.packet();
      const changes: Readonly<Record<string, Partial<FrameOptions>>> = {
        "from a group MAC address": { source: { ...source, mac: "03:00:00:00:00:01" } },
        "to the broadcast MAC address": { destination: { ...destination, mac: "ff:ff:ff:ff:ff:ff" } },
      };
      for (const [what, change] of Object.entries(changes)) {
        const { fate, bytes } = way.pass({ ...change, hops: 1 });
        assert.deepEqual([fate, bytes], ["unanswerable", undefined], `${what}: nobody is told either`);
      }
    });
  }
}

for (const direction of DIRECTIONS) {
  Deno.test(`the sender of an IPv4 packet that may be fragmented is not told that it is too big: ${direction}`, () => {
    const way = new Way("IPv4", direction);
    way.narrow(1300);
    const mayFragment = { ...way.sized(1400), ipv4Fragment: { offset: 0, more: false } };
    assert.deepEqual(way.pass(mayFragment), { fate: "too_big", bytes: undefined });
    assert.ok(way.pass(way.sized(1400)).bytes !== undefined, "it did not count as told");
    assert.ok(way.pass({ ...mayFragment, hops: 1 }).bytes !== undefined);
  });
}

Deno.test("answers obey the MTU of the client's VLAN where the box has a device for it, else that of its interface", () => {
  const bench = new Bench({ interface: BACKENDS });
  const mtus = [{ arrival: arrivalBy(CLIENTS, []), mtu: 1500 }];
  const answer = (vlans: readonly VlanTag[], ipBytes: number): string => {
    assert.equal(bench.pass("toBackend", bytesOf(fromClient("IPv4", { vlans })), CLIENTS).fate, "forwarded");
    const payload = new Uint8Array(ipBytes - HEADERS.IPv4);
    return bench.pass("toClient", bytesOf(fromBackend("IPv4", bench, { payload })), BACKENDS).fate;
  };
  const vlan = [{ id: 0xe005 }];
  const inner = [{ id: 5, type: 0x88a8 }, { id: 6 }];
  bench.setMtus([
    { arrival: arrivalBy(CLIENTS, [{ id: 5 }]), mtu: 1400 },
    { arrival: arrivalBy(CLIENTS, [{ id: 5 }, { id: 6 }]), mtu: 1390 },
    ...mtus,
  ]);
  assert.deepEqual([1400, 1401].map((size) => answer(vlan, size)), ["returned", "too_big"]);
  assert.deepEqual([1390, 1391].map((size) => answer(inner, size)), ["returned", "too_big"]);
  assert.deepEqual([1500, 1501].map((size) => answer([{ id: 7 }], size)), ["returned", "too_big"]);
  assert.deepEqual([1500, 1501].map((size) => answer([{ id: 0xe000 }], size)), ["returned", "too_big"]);
  assert.deepEqual([1500, 1501].map((size) => answer([], size)), ["returned", "too_big"]);
  bench.setMtus(mtus);
  assert.deepEqual([1500, 1501].map((size) => answer(vlan, size)), ["returned", "too_big"]);
});

Deno.test("direct server return sends nothing from or to link-local addresses to another link", () => {
  const cases = [
    ["IPv6", "fe80::1", "fd00::2:3"],
    ["IPv6", "febf::1", "fd00::2:3"],
    ["IPv6", "fd00::1:2", "fe80::2"],
    ["IPv4", "169.254.1.2", "10.1.2.4"],
    ["IPv4", "10.1.2.3", "169.254.255.1"],
  ] as const;
  for (const [family, from, to] of cases) {
    const { source, destination } = fromClient(family);
    const bytes = bytesOf(
      fromClient(family, { source: { ...source, address: from }, destination: { ...destination, address: to } }),
    );
    const fate = (options: BenchOptions): string => new Bench(options).pass("toBackend", bytes, CLIENTS).fate;
    assert.equal(fate({ mode: "dsr", interface: BACKENDS }), "unanswerable", `${from} to ${to}`);
    assert.equal(fate({ mode: "dsr", interface: CLIENTS, vlans: [{ protocol: 0x8100, id: 5 }] }), "forwarded");
    assert.equal(fate({ mode: "dsr", interface: CLIENTS }), "forwarded");
    assert.equal(fate({ mode: "nat", interface: BACKENDS }), "forwarded", "the backend does not see them");
  }
  const { source } = fromClient("IPv6");
  const other = bytesOf(fromClient("IPv6", { source: { ...source, address: "fec0::1" } }));
  assert.equal(new Bench({ mode: "dsr", interface: BACKENDS }).pass("toBackend", other, CLIENTS).fate, "forwarded");
});

const CLIENT = fromClient("IPv4").source;
const SERVICE = fromClient("IPv4").destination;
const CLIENT6 = fromClient("IPv6").source;
const SERVICE6 = fromClient("IPv6").destination;
const from4 = (address: string): Partial<FrameOptions> => ({ source: { ...CLIENT, address } });
const to4 = (address: string): Partial<FrameOptions> => ({ destination: { ...SERVICE, address } });
const from6 = (address: string): Partial<FrameOptions> => ({ source: { ...CLIENT6, address }, destination: SERVICE6 });
const to6 = (address: string): Partial<FrameOptions> => ({ source: CLIENT6, destination: { ...SERVICE6, address } });
const NOT_HOSTS4 = ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"];
const NOT_HOSTS6 = ["::", "::1", "ff02::1", "ff0e::1", "::ffff:a01:203"];
const UNANSWERABLE: Readonly<Record<string, Partial<FrameOptions>>> = {
  "from port 0": { source: { ...CLIENT, port: 0 } },
  "from a group MAC address": { source: { ...CLIENT, mac: "03:00:00:00:00:01" } },
  "to the broadcast MAC address": { destination: { ...SERVICE, mac: "ff:ff:ff:ff:ff:ff" } },
  ...Object.fromEntries(NOT_HOSTS4.flatMap((one) => [[`from ${one}`, from4(one)], [`to ${one}`, to4(one)]])),
  ...Object.fromEntries(NOT_HOSTS6.flatMap((one) => [[`from ${one}`, from6(one)], [`to ${one}`, to6(one)]])),
};

for (const mode of ["nat", "dsr"] as const) {
  for (const [what, change] of Object.entries(UNANSWERABLE)) {
    Deno.test(`a packet ${what} is not forwarded, has no session, and nobody is told: ${mode}`, () => {
      for (const hops of [64, 1]) {
        const bench = new Bench({ mode, mtu: 30 });
        const { fate, bytes } = bench.pass("toBackend", bytesOf(fromClient("IPv4", { ...change, hops })));
        assert.equal(fate, "unanswerable");
        assert.equal(bytes, undefined);
        assert.equal(bench.forwarder.sessions.live, 0);
      }
    });
  }
}

Deno.test("packets from and to the first and last addresses of single hosts are forwarded", () => {
  for (const address of ["1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255"]) {
    for (const change of [from4(address), to4(address)]) {
      assert.equal(new Bench().pass("toBackend", bytesOf(fromClient("IPv4", change))).fate, "forwarded", address);
    }
  }
});

Deno.test("ICMP errors go out as the packet's own link header says, whatever the session's is", () => {
  const way = new Way("IPv4", "toClient");
  const { source } = way.packet();
  const gateway = { source: { ...source, mac: "02:00:00:00:00:77" }, hops: 1 };
  const { bytes } = way.pass(gateway);
  assert.deepEqual([...bytes!.subarray(0, 12)], [2, 0, 0, 0, 0, 0x77, ...[2, 0, 0, 0, 0, 2]]);
});
