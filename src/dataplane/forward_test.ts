import assert from "node:assert/strict";
import fc from "fast-check";
import {
  addressOf,
  atBackend,
  BACKEND_MAC,
  BACKEND_PORT,
  Bench,
  type BenchOptions,
  BOX_MAC,
  FAMILIES,
  fromClient,
  RULE,
} from "../../tests/support/forward_packets.ts";
import { parseAddress } from "../packet/address.ts";
import { FORWARD_MODE_TABLE, FORWARD_MODES } from "../steering/forward.ts";
import { BACKEND_REACHABLE, FORWARD, FORWARD_MODE, forwardAt, usableAt } from "../steering/forward_table.ts";
import { placeSources, writeSources } from "../steering/sources.ts";
import { SESSION, ticksOf } from "../steering/session_row.ts";
import { buildFrame, type FrameOptions, withPartialChecksum } from "../traffic/frames.ts";

const vlanTags = fc.array(
  fc.record({ type: fc.constantFrom(0x8100, 0x88a8), id: fc.integer({ min: 0, max: 0xffff }) }),
  {
    maxLength: 2,
  },
);

for (const family of ["IPv4", "IPv6"] as const) {
  Deno.test(`a session's packets are what a host of its own would send, there and back: ${family}`, () => {
    const property = fc.property(
      fc.uint8Array({ maxLength: 1400 }),
      fc.integer({ min: 2, max: 255 }),
      vlanTags,
      vlanTags,
      fc.constantFrom("full", "partial", "none"),
      (payload, hops, vlans, backendVlans, checksum) => {
        const bench = new Bench({ vlans: backendVlans.map(({ type, id }) => ({ protocol: type, id })) });
        const noChecksum = checksum === "none" && family === "IPv4";
        const sent = fromClient(family, { payload, hops, vlans, checksum: !noChecksum });
        const frame = buildFrame(sent);
        const there = bench.pass("toBackend", checksum === "partial" ? withPartialChecksum(frame, sent) : frame.bytes);
        assert.equal(there.fate, "forwarded");
        const expected = atBackend(family, sent, bench, backendVlans);
        assert.deepEqual(there.bytes, buildFrame(expected).bytes);

        const answer: FrameOptions = {
          source: expected.destination,
          destination: expected.source,
          payload: payload.toReversed(),
          hops,
          vlans: backendVlans,
        };
        const back = bench.pass("toClient", buildFrame(answer).bytes);
        assert.equal(back.fate, "returned");
        const returned = { ...answer, source: sent.destination, destination: sent.source, vlans, hops: hops - 1 };
        assert.deepEqual(back.bytes, buildFrame(returned).bytes);
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  Deno.test(`direct server return changes the link header and the hop count only: ${family}`, () => {
    const bench = new Bench({ mode: "dsr" });
    const sent = fromClient(family);
    const { fate, bytes } = bench.pass("toBackend", buildFrame(sent).bytes);
    assert.equal(fate, "forwarded");
    const { source, destination } = sent;
    const expected = {
      ...sent,
      hops: 63,
      source: { ...source, mac: BOX_MAC },
      destination: { ...destination, mac: BACKEND_MAC },
    };
    assert.deepEqual(bytes, buildFrame(expected).bytes);
  });
}

Deno.test("a mode of forwarding translates where its table says so, and nowhere else", () => {
  for (const mode of FORWARD_MODES) {
    const bench = new Bench({ mode });
    const sent = fromClient("IPv4");
    const { fate, bytes } = bench.pass("toBackend", buildFrame(sent).bytes);
    assert.equal(fate, "forwarded", mode);
    const { source, destination } = sent;
    const moved = { source: { ...source, mac: BOX_MAC }, destination: { ...destination, mac: BACKEND_MAC } };
    const untranslated = buildFrame({ ...sent, ...moved, hops: 63 }).bytes;
    const translates = !untranslated.every((byte, index) => byte === bytes![index]);
    assert.equal(translates, FORWARD_MODE_TABLE[mode].translates, `${mode}, by dataplane/forward.ts`);
  }
});

Deno.test("a session that began with direct server return is translated when its rule does, from a port of its own", () => {
  const bench = new Bench({ mode: "dsr" });
  const sent = fromClient("IPv4");
  assert.equal(bench.pass("toBackend", buildFrame(sent).bytes).fate, "forwarded");
  bench.table.forwards[forwardAt(0) + FORWARD.mode] = FORWARD_MODE.nat;
  const { fate, bytes } = bench.pass("toBackend", buildFrame(sent).bytes);
  assert.equal(fate, "forwarded");
  assert.ok(bench.session().port >= 20000);
  assert.deepEqual(bytes, buildFrame(atBackend("IPv4", sent, bench)).bytes);
  assert.equal(bench.forwarder.sessions.live, 1);
});

for (const checksum of ["full", "partial", "none"] as const) {
  Deno.test(`direct server return may remap the port, too: checksum ${checksum}`, () => {
    const sent = fromClient("IPv4", { checksum: checksum !== "none" });
    const frame = buildFrame(sent);
    const bench = new Bench({ mode: "dsr", remapPort: 5353 });
    const { fate, bytes } = bench.pass(
      "toBackend",
      checksum === "partial" ? withPartialChecksum(frame, sent) : frame.bytes,
    );
    assert.equal(fate, "forwarded");
    const { source, destination } = sent;
    const expected = {
      ...sent,
      hops: 63,
      source: { ...source, mac: BOX_MAC },
      destination: { ...destination, mac: BACKEND_MAC, port: 5353 },
    };
    assert.deepEqual(bytes, buildFrame(expected).bytes);
  });
}

Deno.test("sessions keep their backend when the table changes, and leave one that is not healthy", () => {
  const bench = new Bench();
  bench.choose([0], []);
  const frame = buildFrame(fromClient("IPv4")).bytes;
  bench.pass("toBackend", frame);
  assert.equal(bench.session().backend, 0);
  bench.choose([1], []);
  assert.equal(bench.pass("toBackend", frame).fate, "forwarded");
  assert.equal(bench.session().backend, 0, "it stays");
  assert.equal(bench.forwarder.sessions.live, 1);
  const other = buildFrame(fromClient("IPv4", {}, 40001)).bytes;
  bench.pass("toBackend", other);
  assert.equal(bench.session(1).backend, 1, "a new one follows the new table");

  bench.table.usable[usableAt(0)] = 0;
  const moved = bench.pass("toBackend", frame);
  assert.equal(moved.fate, "forwarded");
  assert.equal(bench.session().backend, 1);
  const expected = atBackend("IPv4", fromClient("IPv4"), bench);
  assert.deepEqual(moved.bytes, buildFrame(expected).bytes);
  const answer = buildFrame({ source: expected.destination, destination: expected.source }).bytes;
  assert.equal(bench.pass("toClient", answer).fate, "returned");
  bench.choose([], []);
  bench.table.usable[usableAt(0) + 1] = 0;
  assert.equal(bench.pass("toBackend", frame).fate, "no_backend");
});

Deno.test("what cannot be forwarded has a fate that says why", () => {
  const fateOf = (
    options: BenchOptions,
    change: Partial<FrameOptions> = {},
    prepare?: (bench: Bench) => void,
  ): string => {
    const bench = new Bench(options);
    prepare?.(bench);
    return bench.pass("toBackend", buildFrame(fromClient("IPv4", change)).bytes).fate;
  };
  assert.equal(fateOf({}, { hops: 1 }), "hops_exceeded");
  assert.equal(fateOf({}, { hops: 0 }), "hops_exceeded");
  assert.equal(fateOf({ mode: "dsr" }, { hops: 1 }), "hops_exceeded");
  assert.equal(fateOf({ mode: "dsr" }, { hops: 2 }), "forwarded");
  assert.equal(fateOf({ mtu: 100 }, { payload: new Uint8Array(73) }), "too_big");
  assert.equal(fateOf({ mtu: 100 }, { payload: new Uint8Array(72) }), "forwarded");
  assert.equal(fateOf({}, {}, (bench) => bench.choose([], [2])), "no_backend");
  assert.equal(fateOf({}, {}, (bench) => bench.table.forwardOfRule[RULE] = 0), "no_backend");
  const unreachable = (bench: Bench): void =>
    [0, 1].forEach((row) => bench.setFlags(row, (f) => f & ~BACKEND_REACHABLE));
  assert.equal(fateOf({}, {}, unreachable), "no_neighbour");
});

for (const family of ["IPv4", "IPv6"] as const) {
  Deno.test(`two boxes that name each other as backends of direct server return drop a packet in the end: ${family}`, () => {
    const boxes = [new Bench({ mode: "dsr" }), new Bench({ mode: "dsr" })];
    let bytes: Uint8Array | undefined = buildFrame(fromClient(family)).bytes;
    const fates: string[] = [];
    while (bytes !== undefined && fates.length < 1000) {
      const passed: ReturnType<Bench["pass"]> = boxes[fates.length % 2]!.pass("toBackend", bytes);
      fates.push(passed.fate);
      bytes = passed.fate === "forwarded" ? passed.bytes : undefined; // what else there is, is an ICMP error
    }
    assert.deepEqual(fates, [...Array(63).fill("forwarded"), "hops_exceeded"]);
  });
}

Deno.test("an answer from anybody but the session's backend belongs to no session", () => {
  const bench = new Bench();
  const sent = fromClient("IPv4");
  bench.pass("toBackend", buildFrame(sent).bytes);
  const { source, destination } = atBackend("IPv4", sent, bench);
  const answer = (from: FrameOptions["source"], to: FrameOptions["destination"]): string =>
    bench.pass("toClient", buildFrame({ source: from, destination: to }).bytes).fate;
  const other = FAMILIES.IPv4.backends.find((address) => address !== destination.address)!;
  assert.equal(answer({ ...destination, address: other }, source), "no_session");
  assert.equal(answer({ ...destination, address: "10.66.6.6" }, source), "no_session");
  assert.equal(answer({ ...destination, port: 9001 }, source), "no_session");
  assert.equal(answer(destination, { ...source, port: source.port! + 1 }), "no_session");
  assert.equal(answer(destination, { ...source, address: "10.9.0.2" }), "no_session");
  assert.equal(answer(destination, source), "returned");
  bench.forwarder.now = ticksOf(61_000);
  assert.equal(answer(destination, source), "no_session", "it has expired");
});

Deno.test("what leaves by another interface is copied there, or counted when there is no room", () => {
  const bench = new Bench({ interface: 1 });
  const sent = fromClient("IPv4");
  const { fate, bytes } = bench.pass("toBackend", buildFrame(sent).bytes, 0);
  assert.deepEqual([fate, bytes], ["forwarded", undefined]);
  const expected = atBackend("IPv4", sent, bench);
  assert.deepEqual(bench.elsewhere, [{ networkInterface: 1, bytes: buildFrame(expected).bytes }]);
  const answer = buildFrame({ source: expected.destination, destination: expected.source }).bytes;
  assert.equal(bench.pass("toClient", answer, 1).fate, "returned");
  assert.equal(bench.elsewhere[1]!.networkInterface, 0);
  bench.room = false;
  assert.equal(bench.pass("toBackend", buildFrame(sent).bytes, 0).fate, "tx_ring_full");
});

Deno.test("a full table: strangers make room, conversations stay, and nothing else is taken", () => {
  const bench = new Bench({ capacity: 32, portCount: 100 });
  const client = (port: number): string => bench.pass("toBackend", buildFrame(fromClient("IPv4", {}, port)).bytes).fate;
  const answer = (row: number): string => {
    const { port, backend } = bench.session(row);
    return bench.pass(
      "toClient",
      buildFrame({
        source: { mac: BACKEND_MAC, address: addressOf(backend), port: BACKEND_PORT },
        destination: { mac: BOX_MAC, address: FAMILIES.IPv4.box, port },
      }).bytes,
    ).fate;
  };
  const converse = (port: number, row: number): void => {
    for (let round = 0; round < 3; round++) {
      assert.equal(client(port), "forwarded");
      assert.equal(answer(row), "returned");
    }
    assert.equal(client(port), "forwarded");
  };
  const { sessions } = bench.forwarder;
  for (let port = 1; port <= 8; port++) converse(port, port - 1);
  for (let port = 1000; port < 3000; port++) {
    bench.forwarder.now = Math.floor(port / 500);
    assert.equal(client(port), "forwarded");
    assert.ok(sessions.live <= 32);
  }
  assert.equal(sessions.evicted, 2000 - 24);
  for (let row = 0; row < 8; row++) assert.equal(sessions.words[row * 32 + SESSION.ports]! & 0xffff, (row + 1) << 8);

  // Everybody converses: a stranger is refused.
  for (let row = 8; row < 32; row++) {
    const inPacket = sessions.words[row * 32 + SESSION.ports]! & 0xffff;
    converse((inPacket & 0xff) << 8 | inPacket >> 8, row);
  }
  assert.equal(client(5000), "sessions_full");
  assert.deepEqual([...sessions.refused], [1, 0, 0]);
  bench.forwarder.now = ticksOf(100_000);
  assert.equal(client(5000), "forwarded", "all have expired");
  sessions.expire(bench.forwarder.now, 32);
  assert.equal(sessions.live, 1);
});

Deno.test("no translation port left for a backend: a stranger makes room", () => {
  const bench = new Bench({ capacity: 64, portCount: 4 });
  bench.choose([0], []);
  const client = (port: number): string => bench.pass("toBackend", buildFrame(fromClient("IPv4", {}, port)).bytes).fate;
  for (let port = 100; port < 106; port++) assert.equal(client(port), "forwarded");
  assert.equal(bench.forwarder.sessions.live, 4);
  assert.equal(bench.forwarder.sessions.evicted, 2);
});

Deno.test("a session goes on when its rule's mode changes, with a translation port or without", () => {
  const bench = new Bench();
  const client = (): { fate: string; bytes: Uint8Array | undefined } =>
    bench.pass("toBackend", buildFrame(fromClient("IPv4")).bytes);
  for (const mode of ["dsr", "nat", "dsr", "nat"] as const) {
    bench.table.forwards[forwardAt(0) + FORWARD.mode] = FORWARD_MODE[mode];
    assert.equal(client().fate, "forwarded");
    assert.equal(bench.session().port !== 0, mode === "nat");
    assert.equal(bench.forwarder.sessions.live, 1);
  }
});

for (const family of ["IPv4", "IPv6"] as const) {
  Deno.test(`several translation addresses: each packet leaves from its session's, and answers find it there: ${family}`, () => {
    const bench = new Bench({ portCount: 2 });
    const [first, second] = family === "IPv4" ? ["10.9.0.5", "10.9.0.6"] : ["fd00:9::5", "fd00:9::6"];
    const isIpv6 = family === "IPv6";
    writeSources(bench.table, placeSources([], [first!, second!], 1));
    bench.choose([0], [2]);
    const seen = new Set<string>();
    for (let port = 1; port <= 4; port++) {
      const sent = bench.pass("toBackend", buildFrame(fromClient(family, {}, port)).bytes);
      assert.equal(sent.fate, "forwarded");
      const { port: translation } = bench.session(port - 1);
      const address = [first!, second!][bench.forwarder.sessions.words[(port - 1) * 32 + SESSION.address]!]!;
      seen.add(`${address} ${translation}`);
      const headers = sent.bytes!.subarray(14);
      const source = isIpv6 ? headers.subarray(8, 24) : headers.subarray(12, 16);
      assert.deepEqual([...source], [...parseAddress(address)]);
      const answer = buildFrame({
        source: { mac: BACKEND_MAC, address: addressOf(bench.session(port - 1).backend), port: BACKEND_PORT },
        destination: { mac: BOX_MAC, address, port: translation },
      }).bytes;
      assert.equal(bench.pass("toClient", answer).fate, "returned");
    }
    assert.equal(seen.size, 4);
    assert.equal(bench.forwarder.sessions.evicted, 0);
  });
}

for (const family of ["IPv4", "IPv6"] as const) {
  Deno.test(`a session whose translation address is gone goes on from another, and the others keep theirs: ${family}`, () => {
    const bench = new Bench({ portCount: 4 });
    const CLIENTS = [1, 2, 3, 4, 5]; // more than one address has ports for
    const addresses = family === "IPv4"
      ? ["10.9.0.5", "10.9.0.6", "10.9.0.7"]
      : ["fd00:9::5", "fd00:9::6", "fd00:9::7"];
    const isIpv6 = family === "IPv6";
    bench.choose([0], [2]);
    const sourceOf = (client: number): { source: string; port: number } => {
      const sent = bench.pass("toBackend", buildFrame(fromClient(family, {}, client)).bytes);
      assert.equal(sent.fate, "forwarded");
      const headers = sent.bytes!.subarray(14);
      const source = isIpv6 ? headers.subarray(8, 24) : headers.subarray(12, 16);
      return { source: [...source].join("."), port: bench.session(client - 1).port };
    };
    const bytesOf = (address: string): string => [...parseAddress(address)].join(".");
    const answerTo = (address: string, client: number): string => {
      const { backend, port } = bench.session(client - 1);
      return bench.pass(
        "toClient",
        buildFrame({
          source: { mac: BACKEND_MAC, address: addressOf(backend), port: BACKEND_PORT },
          destination: { mac: BOX_MAC, address, port },
        }).bytes,
      ).fate;
    };
    let placed = placeSources([], addresses.slice(0, 2), 1);
    writeSources(bench.table, placed);
    const before = CLIENTS.map(sourceOf);
    // The first address goes and another takes its place.
    placed = placeSources(placed, addresses.slice(1), 2);
    writeSources(bench.table, placed);
    for (const client of CLIENTS) {
      const was = before[client - 1]!;
      if (was.source === bytesOf(addresses[0]!)) {
        assert.equal(answerTo(addresses[0]!, client), "no_session");
        assert.deepEqual(sourceOf(client), { source: bytesOf(addresses[2]!), port: was.port });
        assert.equal(answerTo(addresses[2]!, client), "returned");
      } else assert.deepEqual(sourceOf(client), was);
    }
    // None is listed any more: all go on from the address that the route names.
    writeSources(bench.table, placeSources(placed, [], 3));
    for (const client of CLIENTS) {
      assert.equal(sourceOf(client).source, bytesOf(FAMILIES[family].box));
      assert.equal(answerTo(FAMILIES[family].box, client), "returned");
    }
  });
}
