/** What is added to packets to backends, and removed from answers. */
import assert from "node:assert/strict";
import {
  addressOf,
  atBackend,
  BACKEND_MAC,
  Bench,
  BOX_MAC,
  bytesOf,
  FAMILIES,
  type Family,
  fromClient,
} from "../../tests/support/forward_packets.ts";
import { BACKENDS, BOTH, HEADERS, Way } from "../../tests/support/forward_way.ts";
import { parseAddress } from "../packet/address.ts";
import { buildFrame, type FrameOptions } from "../traffic/frames.ts";
import { TUNNELS } from "../steering/forward.ts";
import { FORWARD, FORWARD_MODE, forwardAt } from "../steering/forward_table.ts";

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const PORTS = [40000 >> 8, 40000 & 0xff, 8080 >> 8, 8080 & 0xff];
/** What the header of each kind has to be, for the bench's client. */
const HEADER = {
  proxy_v2: (family: Family): number[] => {
    const { client, service } = FAMILIES[family];
    const family_ = family === "IPv4" ? [0x21, 0x12, 0, 12] : [0x21, 0x22, 0, 36];
    return [...SIGNATURE, ...family_, ...parseAddress(client), ...parseAddress(service), ...PORTS];
  },
  simple_proxy: (family: Family): number[] => {
    const mapped = (address: string): number[] =>
      family === "IPv6"
        ? [...parseAddress(address)]
        : [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...parseAddress(address)];
    const { client, service } = FAMILIES[family];
    return [0x56, 0xec, ...mapped(client), ...mapped(service), ...PORTS];
  },
} as const;

const SENT = new TextEncoder().encode("a request");
const OPTIONS = [[], [1, 1, 1, 1, 1, 1, 1, 1]] as const;

/** Variations of a packet that all have to come through. */
function variations(family: Family): Partial<FrameOptions>[] {
  const sizes = [0, 1, 2, 3, 100, 1001].map((size) => ({ payload: new Uint8Array(size).fill(0xa5) }));
  const vlans = [{ vlans: [{ id: 7 }] }];
  if (family === "IPv6") return [...sizes, ...vlans, { ipv6Extensions: [{ kind: "destination" }] }];
  return [...sizes, ...vlans, { checksum: false }, ...OPTIONS.map((bytes) => ({ ipv4Options: new Uint8Array(bytes) }))];
}

for (const family of BOTH) {
  for (const kind of ["proxy_v2", "simple_proxy"] as const) {
    Deno.test(`client_address ${kind}: every datagram begins with the client, all else is as without: ${family}`, () => {
      for (const more of variations(family)) {
        const bench = new Bench({ clientAddress: kind, interface: BACKENDS });
        const sent = fromClient(family, more);
        assert.equal(bench.pass("toBackend", bytesOf(sent)).fate, "forwarded");
        const payload = new Uint8Array([...HEADER[kind](family), ...sent.payload!]);
        const expected = { ...atBackend(family, sent, bench), payload };
        assert.deepEqual(bench.elsewhere.pop()!.bytes, bytesOf(expected), JSON.stringify(more));
      }
    });
  }

  Deno.test(`client_address proxy_v2_first: once for each backend that the session has, and not lost: ${family}`, () => {
    const bench = new Bench({ clientAddress: "proxy_v2_first", interface: BACKENDS });
    const header = HEADER.proxy_v2(family).length;
    const extra = (): number => {
      bench.pass("toBackend", bytesOf(fromClient(family)));
      return bench.elsewhere.pop()!.bytes.length - 14 - HEADERS[family] - SENT.length;
    };
    bench.room = false;
    assert.equal(bench.pass("toBackend", bytesOf(fromClient(family))).fate, "tx_ring_full");
    bench.room = true;
    assert.deepEqual([extra(), extra()].map((bytes) => bytes > 20), [true, false], "the first one was not sent");
    const rows = family === "IPv4" ? [0, 1] : [2, 3];
    const other = rows.find((row) => row !== bench.session().backend)!;
    bench.unuse(bench.session().backend);
    bench.choose(...(family === "IPv4" ? [[other], [2, 3]] : [[0, 1], [other]]));
    assert.deepEqual([extra(), extra()], [header, 0]);
  });

  Deno.test(`client_address simple_proxy: an answer has the header, which is removed, or is not sent on: ${family}`, () => {
    for (const { vlans: _, ...more } of variations(family)) {
      const way = new Way(family, "toClient", { clientAddress: "simple_proxy" });
      const { bench } = way;
      const header = HEADER.simple_proxy(family);
      const { payload = SENT } = more;
      const answer = { ...more, payload: new Uint8Array([...header, ...payload]) };
      assert.equal(way.pass(answer).fate, "returned");
      const { source, destination } = fromClient(family);
      const expected = { ...answer, source: destination, destination: source, payload, hops: 63, vlans: [] };
      const { bytes } = bench.elsewhere.pop()!;
      const { bytes: wanted, endAt } = buildFrame(expected);
      assert.deepEqual(bytes.subarray(0, endAt), wanted, JSON.stringify(more));
      for (let at = 0; at < header.length; at++) {
        const damaged = new Uint8Array([...header, ...payload]);
        damaged[at]! ^= 1;
        assert.equal(way.pass({ ...more, payload: damaged }).fate, "no_client_header");
      }
      assert.equal(way.pass({ payload: new Uint8Array(header.slice(0, -1)) }).fate, "no_client_header");
      assert.deepEqual(bench.elsewhere, []);
      // The rule does not ask for it any more: answers to earlier packets have it, later ones do not.
      bench.table.forwards[forwardAt(0) + FORWARD.mode] = FORWARD_MODE.nat;
      assert.deepEqual([way.pass(answer).fate, way.pass(more).fate], ["returned", "returned"]);
    }
  });

  Deno.test(`the header counts towards the MTU, and the client is told what is left: ${family}`, () => {
    for (const kind of ["proxy_v2", "proxy_v2_first", "simple_proxy"] as const) {
      const way = new Way(family, "toBackend", { clientAddress: kind });
      const added = kind === "proxy_v2_first" ? 0 : HEADER[kind](family).length;
      way.narrow(1400);
      const fates = [1400 - added, 1401 - added].map((bytes) => way.pass(way.sized(bytes)).fate);
      assert.deepEqual(fates, ["forwarded", "too_big"]);
      const more = { ...way.sized(1401 - added), df: true };
      const { bytes } = way.pass(way.sized(1401 - added));
      if (family === "IPv6") assert.deepEqual(bytes, way.error(more, "tooBig", 1400 - added));
    }
  });

  Deno.test(`the header of an answer does not count towards the MTU to the client: ${family}`, () => {
    const way = new Way(family, "toClient", { clientAddress: "simple_proxy" });
    const sized = (bytes: number): Partial<FrameOptions> => {
      const payload = way.sized(bytes).payload!;
      payload.set(HEADER.simple_proxy(family));
      return { payload };
    };
    way.narrow(1400);
    assert.deepEqual([1438, 1439].map((bytes) => way.pass(sized(bytes)).fate), ["returned", "too_big"]);
    const { bytes } = way.pass(sized(1439));
    if (family === "IPv6") assert.deepEqual(bytes, way.error(sized(1439), "tooBig", 1438));
  });
}

/** Bytes of a tunnel's headers between two IP headers, before the inner one. */
function between(tunnel: typeof TUNNELS[number], family: Family): number[] {
  if (tunnel === "gre") return [0, 0, ...(family === "IPv4" ? [0x08, 0x00] : [0x86, 0xdd])];
  return tunnel === "gue" ? [0, family === "IPv4" ? 4 : 41, 0, 0] : [];
}

for (const outer of BOTH) {
  for (const inner of BOTH) {
    for (const tunnel of TUNNELS) {
      Deno.test(`tunnel ${tunnel}: an ${inner} packet gets to a backend over ${outer} as dsr would send it`, () => {
        const bench = new Bench({ mode: "dsr", tunnel, interface: BACKENDS, remapPort: 5353 });
        const rows = outer === "IPv4" ? [0, 1] : [2, 3];
        bench.choose(rows, rows);
        for (const more of variations(inner)) {
          const sent = fromClient(inner, more);
          assert.equal(bench.pass("toBackend", bytesOf(sent)).fate, "forwarded");
          const { bytes } = bench.elsewhere.pop()!;
          const { source, destination } = sent;
          const packet = buildFrame({
            ...sent,
            hops: 63,
            vlans: [],
            source,
            destination: { ...destination, port: 5353 },
          });
          const content = [...between(tunnel, inner), ...packet.bytes.subarray(packet.ipAt, packet.endAt)];
          const isGue = tunnel === "gue";
          const at = 14 + (outer === "IPv4" ? 20 : 40);
          const view = new DataView(bytes.buffer);
          const sourcePort = view.getUint16(at);
          if (isGue) assert.ok(sourcePort >= 0xc000 && view.getUint16(at + 2) === 6080);
          const protocol = isGue ? 17 : tunnel === "gre" ? 47 : inner === "IPv4" ? 4 : 41;
          const expected = bytesOf({
            source: { mac: BOX_MAC, address: FAMILIES[outer].box, port: sourcePort },
            destination: { mac: BACKEND_MAC, address: addressOf(bench.session().backend), port: 6080 },
            protocol,
            checksum: outer === "IPv6",
            payload: new Uint8Array(content),
            padTo: bytes.length,
          });
          if (outer === "IPv4") {
            // The test's frames may be fragmented, these must not be; its checksum says so too.
            assert.deepEqual([view.getUint16(20), sumOf(bytes, 14, 20)], [0x4000, 0xffff]);
            for (const byte of [20, 24, 25]) expected[byte] = bytes[byte]!;
          } else {
            for (const byte of [15, 16, 17]) expected[byte] = bytes[byte]!; // the flow label
            assert.equal(bytes[15]! >> 4, 0);
          }
          for (const byte of [18, 19]) if (outer === "IPv4") expected[byte] = bytes[byte]!;
          assert.deepEqual(bytes, expected, JSON.stringify(more));
        }
      });
    }
  }

  Deno.test(`a tunnel counts towards the MTU: over ${outer}`, () => {
    for (const inner of BOTH) {
      for (const tunnel of TUNNELS) {
        const added = (outer === "IPv4" ? 20 : 40) + between(tunnel, inner).length + (tunnel === "gue" ? 8 : 0);
        const way = new Way(inner, "toBackend", { mode: "dsr", tunnel });
        const rows = outer === "IPv4" ? [0, 1] : [2, 3];
        way.bench.choose(rows, rows);
        way.narrow(1400);
        const port = { source: { ...fromClient(inner).source, port: 40001 } };
        const fates = [1400 - added, 1401 - added].map((bytes) => way.pass({ ...way.sized(bytes), ...port }).fate);
        assert.deepEqual(fates, ["forwarded", "too_big"]);
        const more = { ...way.sized(1401 - added), ...port };
        const { bytes } = way.pass(more);
        if (inner === "IPv6") assert.deepEqual(bytes, way.error(more, "tooBig", 1400 - added));
      }
    }
  });
}

Deno.test("flows differ by GUE's source port and by IPv6's flow label, and stay with theirs", () => {
  for (const [rows, tunnel, at] of [[[0, 1], "gue", 34], [[2, 3], "ipip", 16]] as const) {
    const bench = new Bench({ mode: "dsr", tunnel, interface: BACKENDS });
    bench.choose([...rows], [...rows]);
    const seen = Array.from({ length: 200 }, (_, client) => {
      const [one, two] = [0, 1].map(() => {
        bench.pass("toBackend", bytesOf(fromClient("IPv4", {}, 30000 + client % 50)));
        return new DataView(bench.elsewhere.pop()!.bytes.buffer).getUint16(at);
      });
      assert.equal(one, two);
      return one;
    });
    assert.ok(new Set(seen).size > 40, `${new Set(seen).size} of 50`);
  }
});

Deno.test("DSCP and ECN of a packet are those of its tunnel", () => {
  for (const family of BOTH) {
    const bench = new Bench({ mode: "dsr", tunnel: "ipip", interface: BACKENDS });
    const frame = bytesOf(fromClient(family));
    if (family === "IPv4") {
      frame[15] = 0xb9;
      frame[24] = frame[25] = 0;
      const sum = ~sumOf(frame, 14, 20) & 0xffff;
      [frame[24], frame[25]] = [sum >> 8, sum & 0xff];
    } else [frame[14], frame[15]] = [0x6b, 0x90];
    assert.equal(bench.pass("toBackend", frame).fate, "forwarded");
    const { bytes } = bench.elsewhere.pop()!;
    const traffic = family === "IPv4" ? bytes[15] : (bytes[14]! << 4 | bytes[15]! >> 4) & 0xff;
    assert.equal(traffic, 0xb9);
  }
});

function sumOf(bytes: Uint8Array, at: number, length: number): number {
  let sum = 0;
  for (let byte = at; byte < at + length; byte += 2) sum += bytes[byte]! << 8 | bytes[byte + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
