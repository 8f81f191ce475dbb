import assert from "node:assert/strict";
import fc from "fast-check";
import { parseAddress, parseMac } from "../packet/address.ts";
import { keepLink } from "../packet/link_header.ts";
import { portInPacket, readUdp, UdpPacket } from "../packet/udp.ts";
import {
  BACKEND,
  BACKEND_IPV6,
  BACKEND_KNOWN,
  BACKEND_REACHABLE,
  backendAt,
  createForwardTables,
  FORWARD,
  FORWARD_MODE,
  forwardAt,
  type ForwardTable,
  indexBackends,
  sourceAt,
  SOURCES,
  usableAt,
  viewForwardTables,
} from "../steering/forward_table.ts";
import { fillMaglev } from "../steering/maglev.ts";
import { SESSION, ticksOf } from "../steering/session_row.ts";
import {
  addWords,
  buildFrame,
  type FrameOptions,
  internetChecksum,
  pseudoHeaderSum,
  withPartialChecksum,
} from "../traffic/frames.ts";
import { Forwarder } from "./forward.ts";
import { ACTION_TABLE } from "../steering/action.ts";
import { type Fate, FATES } from "../steering/fate.ts";
import { FORWARD_MODE_TABLE, FORWARD_MODES, type ForwardMode } from "../steering/forward.ts";

const RULE = 3;
const AT = 256;
const CLIENT_MAC = "02:00:00:00:00:01";
const BOX_MAC = "02:00:00:00:00:02";
const BACKEND_MAC = "02:00:00:00:00:03";
const FAMILIES = {
  IPv4: { client: "10.1.2.3", service: "10.1.2.4", box: "10.9.0.1", backends: ["10.9.0.11", "10.9.0.12"] },
  IPv6: { client: "fd00::1:2", service: "fd00::2:3", box: "fd09::1", backends: ["fd09::11", "fd09::12"] },
} as const;
type Family = keyof typeof FAMILIES;
const BACKEND_PORT = 9000;
const MAGLEV_SIZE = 251;

interface Options {
  readonly mode?: ForwardMode;
  readonly capacity?: number;
  readonly portCount?: number;
  readonly vlans?: readonly { protocol: number; id: number }[];
  readonly interface?: number;
  readonly mtu?: number;
  readonly remapPort?: number;
}

/** A forwarder whose rule has two backends of each family. */
class Bench {
  readonly table: ForwardTable;
  readonly forwarder: Forwarder;
  readonly elsewhere: { networkInterface: number; bytes: Uint8Array }[] = [];
  room = true;
  largest = 1 << 30;

  constructor({ mode = "nat", capacity = 64, portCount = 50, vlans = [], mtu = 1500, ...options }: Options = {}) {
    const [table] = viewForwardTables(createForwardTables(16), 16);
    this.table = table!;
    this.table.forwardOfRule[RULE] = 1;
    const bytes = new DataView(this.table.backends.buffer, this.table.backends.byteOffset);
    let row = 0;
    for (const [family, { box, backends }] of Object.entries(FAMILIES)) {
      for (const address of backends) {
        const at = backendAt(row++);
        new Uint8Array(bytes.buffer, bytes.byteOffset + at * 4).set(parseAddress(address));
        new Uint8Array(bytes.buffer, bytes.byteOffset + (at + BACKEND.source) * 4).set(parseAddress(box));
        this.table.backends[at + BACKEND.generation] = 1;
        this.table.usable[usableAt(0) + row - 1] = 1;
        this.table.backends[at + BACKEND.port] = portInPacket(BACKEND_PORT);
        this.table.backends[at + BACKEND.flags] = BACKEND_KNOWN | BACKEND_REACHABLE |
          (family === "IPv6" ? BACKEND_IPV6 : 0);
        this.table.backends[at + BACKEND.interface] = options.interface ?? 0;
        this.table.backends[at + BACKEND.mtu] = mtu;
        this.table.backends[at + BACKEND.linkBytes] = keepLink(bytes, (at + BACKEND.link) * 4, {
          destination: parseMac(BACKEND_MAC),
          source: parseMac(BOX_MAC),
          vlan: vlans,
          etherType: family === "IPv6" ? 0x86dd : 0x0800,
        });
      }
    }
    indexBackends(this.table);
    const words = forwardAt(0);
    this.table.forwards[words + FORWARD.maglev4] = 0;
    this.table.forwards[words + FORWARD.size4] = MAGLEV_SIZE;
    this.table.forwards[words + FORWARD.maglev6] = MAGLEV_SIZE;
    this.table.forwards[words + FORWARD.size6] = MAGLEV_SIZE;
    this.table.forwards[words + FORWARD.idle] = 60;
    this.table.forwards[words + FORWARD.mode] = FORWARD_MODE[mode];
    const { remapPort = 0 } = options;
    this.table.forwards[words + FORWARD.remapPort] = portInPacket(remapPort);
    this.choose([0, 1], [2, 3]);
    const send = (networkInterface: number, view: DataView, addr: number, length: number): boolean => {
      if (this.room) {
        this.elsewhere.push({ networkInterface, bytes: new Uint8Array(view.buffer).slice(addr, addr + length) });
      }
      return this.room;
    };
    const largest = (): number => this.largest;
    const key = { low: 7, high: 8 };
    const sessions = { capacity, firstPort: 20000, portCount, key, ruleSlots: 16 };
    this.forwarder = new Forwarder(this.table, { largest, send }, sessions);
  }

  /** Lets new flows go to these rows only. */
  choose(...rows: number[][]): void {
    rows.forEach((ids, family) => {
      const part = this.table.maglev.subarray(family * MAGLEV_SIZE, (family + 1) * MAGLEV_SIZE);
      fillMaglev(part, ids.map((id) => ({ id, name: `b${id}`, weight: 1 })));
    });
  }

  setFlags(row: number, change: (flags: number) => number): void {
    const at = backendAt(row) + BACKEND.flags;
    this.table.backends[at] = change(this.table.backends[at]!);
  }

  /** Puts a frame in and takes out what becomes of it. */
  pass(
    direction: "toBackend" | "toClient",
    frame: Uint8Array,
    from = 0,
  ): { fate: string; bytes: Uint8Array | undefined } {
    const memory = new Uint8Array(4096);
    memory.set(frame, AT);
    const view = new DataView(memory.buffer);
    const packet = new UdpPacket();
    assert.ok(readUdp(view, AT, frame.byteLength, packet));
    const { forwarder } = this;
    const fate = direction === "toBackend"
      ? forwarder.toBackend(view, packet, RULE, from, frame.byteLength, true)
      : forwarder.toClient(view, packet, from, frame.byteLength, true);
    const bytes = forwarder.sendsBack ? memory.slice(forwarder.addr, forwarder.addr + forwarder.length) : undefined;
    const { fates }: { readonly fates: readonly Fate[] } =
      ACTION_TABLE[direction === "toBackend" ? "forward" : "answer"];
    assert.ok(fates.includes(FATES[fate]!), `${FATES[fate]} is not among the fates in steering/action.ts`);
    return { fate: FATES[fate]!, bytes };
  }

  /** Where the only session, or the one of the last client's packet, sends its packets. */
  session(index = 0): { port: number; backend: number } {
    const { words } = this.forwarder.sessions;
    return { port: words[index * 32 + SESSION.translationPort]!, backend: words[index * 32 + SESSION.backend]! };
  }
}

const fromClient = (family: Family, more: Partial<FrameOptions> = {}, port = 40000): FrameOptions => ({
  source: { mac: CLIENT_MAC, address: FAMILIES[family].client, port },
  destination: { mac: BOX_MAC, address: FAMILIES[family].service, port: 8080 },
  payload: new TextEncoder().encode("a request"),
  ...more,
});

const addressOf = (row: number): string => [...FAMILIES.IPv4.backends, ...FAMILIES.IPv6.backends][row]!;

/** What the backend should see. */
const atBackend = (
  family: Family,
  sent: FrameOptions,
  bench: Bench,
  vlans: FrameOptions["vlans"] = [],
): FrameOptions => ({
  ...sent,
  vlans,
  hops: (sent.hops ?? 64) - 1,
  source: { mac: BOX_MAC, address: FAMILIES[family].box, port: bench.session().port },
  destination: { mac: BACKEND_MAC, address: addressOf(bench.session().backend), port: BACKEND_PORT },
});

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
  const fateOf = (options: Options, change: Partial<FrameOptions> = {}, prepare?: (bench: Bench) => void): string => {
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

const CLIENT_END = fromClient("IPv4").source;
const SERVICE_END = fromClient("IPv4").destination;
const UNANSWERABLE: Readonly<Record<string, Partial<FrameOptions>>> = {
  "from port 0": { source: { ...CLIENT_END, port: 0 } },
  "from a group MAC address": { source: { ...CLIENT_END, mac: "03:00:00:00:00:01" } },
  "to the broadcast MAC address": { destination: { ...SERVICE_END, mac: "ff:ff:ff:ff:ff:ff" } },
  "from a group": { source: { ...CLIENT_END, address: "239.255.255.250" } },
  "from a loopback address": { source: { ...CLIENT_END, address: "127.0.0.1" } },
  "from the zero address": { source: { ...CLIENT_END, address: "0.0.0.0" } },
  "to a group": { destination: { ...SERVICE_END, address: "239.255.255.250" } },
  "to the broadcast address": { destination: { ...SERVICE_END, address: "255.255.255.255" } },
  "to a loopback address": { destination: { ...SERVICE_END, address: "127.0.0.1" } },
  "to the zero address": { destination: { ...SERVICE_END, address: "0.0.0.0" } },
  "to an IPv6 group": {
    source: { ...CLIENT_END, address: "fd00::1:2" },
    destination: { ...SERVICE_END, address: "ff02::1" },
  },
};

for (const mode of ["nat", "dsr"] as const) {
  for (const [what, change] of Object.entries(UNANSWERABLE)) {
    Deno.test(`a packet ${what} is not forwarded, and has no session: ${mode}`, () => {
      const bench = new Bench({ mode });
      const { fate, bytes } = bench.pass("toBackend", buildFrame(fromClient("IPv4", change)).bytes);
      assert.equal(fate, "unanswerable");
      assert.equal(bytes, undefined);
      assert.equal(bench.forwarder.sessions.live, 0);
    });
  }
}

for (const family of ["IPv4", "IPv6"] as const) {
  Deno.test(`two boxes that name each other as backends of direct server return drop a packet in the end: ${family}`, () => {
    const boxes = [new Bench({ mode: "dsr" }), new Bench({ mode: "dsr" })];
    let bytes: Uint8Array | undefined = buildFrame(fromClient(family)).bytes;
    const fates: string[] = [];
    while (bytes !== undefined && fates.length < 1000) {
      const passed: ReturnType<Bench["pass"]> = boxes[fates.length % 2]!.pass("toBackend", bytes);
      fates.push(passed.fate);
      bytes = passed.bytes;
    }
    assert.deepEqual(fates, [...Array(63).fill("forwarded"), "hops_exceeded"]);
  });

  Deno.test(`a packet too large for the other interface's chunks is not copied there, and its sender is told: ${family}`, () => {
    const headers = family === "IPv4" ? 28 : 48;
    for (const [vlans, link] of [[[], 14], [[{ protocol: 0x8100, id: 5 }], 18]] as const) {
      const bench = new Bench({ interface: 1, mtu: 9000, vlans });
      bench.largest = 1792;
      const pass = (ipBytes: number, padTo = 0): ReturnType<Bench["pass"]> =>
        bench.pass(
          "toBackend",
          buildFrame(fromClient(family, { payload: new Uint8Array(ipBytes - headers), padTo })).bytes,
        );
      assert.deepEqual(pass(1792 - link), { fate: "forwarded", bytes: undefined });
      const { fate, bytes } = pass(1792 - link + 1);
      assert.equal(fate, "too_big");
      const icmp = new DataView(bytes!.buffer, family === "IPv4" ? 34 : 54);
      assert.equal(icmp.getUint32(4), 1792 - link, "the size it is told");
      // What follows the IP packet in its frame counts too.
      assert.equal(pass(1000, 1793).fate, "too_big");
      assert.deepEqual(bench.elsewhere.map(({ bytes }) => bytes.length), [1792]);
    }
  });

  Deno.test(`an answer too large for the client's interface's chunks is not copied there: ${family}`, () => {
    const bench = new Bench({ interface: 1, mtu: 9000 });
    const sent = fromClient(family, { vlans: [{ id: 5 }] });
    bench.pass("toBackend", buildFrame(sent).bytes);
    const { source, destination } = atBackend(family, sent, bench);
    bench.elsewhere.length = 0;
    bench.largest = 1792;
    const answer = (frameBytes: number): string => {
      const payload = new Uint8Array(frameBytes - (family === "IPv4" ? 42 : 62));
      return bench.pass("toClient", buildFrame({ source: destination, destination: source, payload }).bytes, 1).fate;
    };
    assert.deepEqual([1788, 1789, 3000].map(answer), ["returned", "too_big", "too_big"]);
    assert.deepEqual(bench.elsewhere.map(({ bytes }) => bytes.length), [1792], "with its VLAN tag");
  });
}

for (const family of ["IPv4", "IPv6"] as const) {
  Deno.test(`the sender of a packet that is too big is told so, a hundred times a second: ${family}`, () => {
    const bench = new Bench({ mtu: 1280 });
    const sent = fromClient(family, { payload: new Uint8Array(1400).fill(7), vlans: [{ id: 5 }] });
    const frame = buildFrame(sent);
    const { fate, bytes } = bench.pass("toBackend", frame.bytes);
    assert.equal(fate, "too_big");
    const original = frame.bytes.subarray(frame.ipAt, frame.endAt);
    const quoted = original.subarray(0, family === "IPv4" ? 28 : 1232);
    const icmp = new Uint8Array([family === "IPv4" ? 3 : 2, family === "IPv4" ? 4 : 0, 0, 0, 0, 0, 5, 0, ...quoted]);
    const [from, to] = [parseAddress(sent.destination.address), parseAddress(sent.source.address)];
    const pseudo = family === "IPv4" ? 0 : pseudoHeaderSum(from, to, icmp.length) - 17 + 58;
    new DataView(icmp.buffer).setUint16(2, internetChecksum(addWords(icmp, pseudo)));
    const expected = buildFrame({
      source: { ...sent.destination, mac: BOX_MAC },
      destination: { ...sent.source, mac: CLIENT_MAC },
      vlans: [{ id: 5 }],
      protocol: family === "IPv4" ? 1 : 58,
      payload: icmp,
    });
    assert.deepEqual(bytes, expected.bytes);
    let told = 1;
    for (let count = 0; count < 200; count++) if (bench.pass("toBackend", frame.bytes).bytes !== undefined) told++;
    assert.equal(told, 100);
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
  assert.deepEqual([...sessions.refused], [1, 0]);
  bench.forwarder.now = ticksOf(100_000);
  assert.equal(client(5000), "forwarded", "all have expired");
  for (let batch = 0; batch < 4; batch++) bench.forwarder.startBatch(bench.forwarder.now);
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

Deno.test("an answer by another interface than the one that leads to the backend belongs to no session", () => {
  const bench = new Bench({ interface: 1 });
  assert.equal(bench.pass("toBackend", buildFrame(fromClient("IPv4")).bytes, 0).fate, "forwarded");
  const { port, backend } = bench.session();
  const answer = buildFrame({
    source: { mac: BACKEND_MAC, address: addressOf(backend), port: BACKEND_PORT },
    destination: { mac: BOX_MAC, address: FAMILIES.IPv4.box, port },
  }).bytes;
  assert.equal(bench.pass("toClient", answer, 0).fate, "no_session");
  assert.equal(bench.pass("toClient", answer, 1).fate, "returned");
});

for (const family of ["IPv4", "IPv6"] as const) {
  Deno.test(`several translation addresses: each packet leaves from its session's, and answers find it there: ${family}`, () => {
    const bench = new Bench({ portCount: 2 });
    const [first, second] = family === "IPv4" ? ["10.9.0.5", "10.9.0.6"] : ["fd00:9::5", "fd00:9::6"];
    const isIpv6 = family === "IPv6";
    bench.table.sources[isIpv6 ? SOURCES.count6 : SOURCES.count4] = 2;
    const bytes = new Uint8Array(bench.table.sources.buffer, bench.table.sources.byteOffset);
    [first!, second!].forEach((address, index) => bytes.set(parseAddress(address), sourceAt(isIpv6, index) * 4));
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
