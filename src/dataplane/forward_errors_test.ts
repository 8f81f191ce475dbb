import assert from "node:assert/strict";
import fc from "fast-check";
import { type ForwardRuleOptions, writeForwardRule } from "../../tests/support/forward_rule.ts";
import { portRule } from "../../tests/support/loop_rig.ts";
import { type Passed, passOne, SentFrames } from "../../tests/support/one_frame.ts";
import { parseAddress } from "../packet/address.ts";
import { arrivalBy, writeArrivals } from "../steering/arrivals.ts";
import { ACTION_TABLE } from "../steering/action.ts";
import { compileWorkerTable } from "../steering/compile.ts";
import type { Fate } from "../steering/fate.ts";
import {
  createForwardTables,
  type ForwardTable,
  sourceAt,
  SOURCES,
  viewForwardTables,
} from "../steering/forward_table.ts";
import { SESSION, ticksOf } from "../steering/session_row.ts";
import { createWorkerTables, viewWorkerTables, type WorkerTable } from "../steering/worker_table.ts";
import { buildFrame, type Endpoint, type FrameOptions, withPartialChecksum } from "../traffic/frames.ts";
import {
  buildIcmpError,
  ICMP_ERROR,
  type IcmpErrorKind,
  type IcmpErrorOptions,
  ipPacketOf,
} from "../traffic/icmp_frames.ts";
import { answerRow } from "./counters.ts";
import { Forwarder } from "./forward.ts";
import { ERRORS_PER_CLIENT, ERRORS_PER_SECOND } from "./icmp_errors.ts";

const SLOTS = 16;
const RULE = 3;
const ANSWERS = 4;
const ROWS = [0, RULE, ANSWERS, answerRow(RULE, SLOTS)];
const SERVICE_PORT = 8080;
const FIRST_PORT = 20_000;
const PORTS = 50;
const MAC = { client: "02:00:00:00:00:01", box: "02:00:00:00:00:02", backend: "02:00:00:00:00:03" } as const;
const FAMILIES = {
  IPv4: {
    ...{ client: "10.1.2.3", service: "10.1.2.4", box: "10.9.0.1", backend: "10.9.0.11" },
    ...{ router: "172.16.0.1", other: "10.9.0.77" },
  },
  IPv6: {
    ...{ client: "fd00::1:2", service: "fd00::2:3", box: "fd09::1", backend: "fd09::11" },
    ...{ router: "fd77::1", other: "fd09::77" },
  },
} as const;
type Family = keyof typeof FAMILIES;
const BOTH = ["IPv4", "IPv6"] as const;
/** The interface of the clients, and that of the backends. */
const [FRONT, BACK] = [0, 1];

/** A worker's data path with one rule that forwards and one session, over plain memory. */
class Rig {
  readonly table: ForwardTable;
  readonly forwarder: Forwarder;
  readonly workerTable: WorkerTable;
  readonly egress = new SentFrames();

  constructor(readonly family: Family, options: Partial<ForwardRuleOptions> = {}) {
    const { backend, box } = FAMILIES[family];
    this.table = viewForwardTables(createForwardTables(SLOTS), SLOTS)[0]!;
    const ends = { backend: { mac: MAC.backend, address: backend, port: 9000 }, box: { mac: MAC.box, address: box } };
    writeArrivals(this.table.arrivals, [], [arrivalBy(options.networkInterface ?? BACK, [])]);
    writeForwardRule(this.table, { rule: RULE, ...ends, networkInterface: BACK, ...options });
    const [first, second] = viewWorkerTables(createWorkerTables(SLOTS));
    const rules = [portRule("web", SERVICE_PORT, "forward"), portRule("answers", FIRST_PORT, "answer")];
    rules[1] = { ...rules[1]!, ports: [{ first: FIRST_PORT, last: FIRST_PORT + PORTS - 1 }] };
    compileWorkerTable(second!, first!, rules, [RULE, ANSWERS], new Set());
    this.workerTable = second!;
    const sessions = {
      capacity: 64,
      firstPort: FIRST_PORT,
      portCount: PORTS,
      key: { low: 7, high: 8 },
      ruleSlots: SLOTS,
    };
    this.forwarder = new Forwarder(this.table, this.egress, sessions);
  }

  /** Puts one frame through; checks that its one counted fate is one of its rule's. */
  put(frame: Uint8Array, from: number, { txRoom = 1 } = {}): Omit<Passed, "row"> {
    const { workerTable, forwarder, egress } = this;
    const options = { workerTable, forwarder, egress, ruleSlots: SLOTS, rows: ROWS, from, txRoom };
    const { row, ...passed } = passOne(frame, options);
    const { fate } = passed;
    const { fates }: { readonly fates: readonly Fate[] } = ACTION_TABLE[row >= ANSWERS ? "answer" : "forward"];
    // What is of no session has no rule.
    const strays: readonly Fate[] = ["no_session", "error_unmatched", "wrong_interface", "unlisted"];
    assert.ok(row < ANSWERS || (row === ANSWERS) === strays.includes(fate), `${fate} in row ${row}`);
    assert.ok(
      row === 0 || fate === "unlisted" || fates.includes(fate),
      `${fate} is not among the fates of its action`,
    );
    return passed;
  }

  /** Port that the backend sees of the only session. */
  get port(): number {
    return this.forwarder.sessions.words[SESSION.translationPort]!;
  }

  end(who: "client" | "service" | "backend" | "box" | "router" | "other", port = 0): Endpoint {
    const mac = who === "client" || who === "backend" ? MAC[who] : MAC.box;
    return { mac, address: FAMILIES[this.family][who], port };
  }

  /** The client's packet, and the same as it goes to the backend; the backend's answer, as it comes and goes. */
  ends(
    port = 40_000,
  ): Record<"request" | "atBackend" | "answer" | "atClient", Pick<FrameOptions, "source" | "destination">> {
    const client = this.end("client", port);
    const service = this.end("service", SERVICE_PORT);
    const backend = this.end("backend", 9000);
    const box = this.end("box", this.port);
    return {
      request: { source: client, destination: service },
      atBackend: { source: box, destination: backend },
      answer: { source: backend, destination: box },
      atClient: { source: service, destination: client },
    };
  }

  /** Begins the session. */
  begin(more: Partial<FrameOptions> = {}): void {
    const fate = this.put(buildFrame({ ...this.ends().request, ...more }).bytes, FRONT).fate;
    assert.equal(fate, "forwarded");
  }
}

/** An error about a packet, from a router unless something else is said. */
function errorAbout(
  rig: Rig,
  about: FrameOptions,
  { kind = "portUnreachable", bytes = 1000, partial = false, ...more }: Partial<IcmpErrorOptions> & {
    readonly kind?: IcmpErrorKind;
    readonly bytes?: number;
    /** True: the quoted packet has the checksum that a virtual device has of a local sender. */
    readonly partial?: boolean;
  } = {},
): Uint8Array {
  const [type, code] = ICMP_ERROR[kind][rig.family];
  const frame = buildFrame(about);
  const quoted = ipPacketOf(partial ? { ...frame, bytes: withPartialChecksum(frame, about).slice() } : frame, bytes);
  const source = { ...rig.end("router"), mac: MAC.backend };
  const destination = { mac: MAC.box, address: about.source.address };
  return buildIcmpError({ source, destination, quoted, type, code, parameter: 1280, ...more }).bytes;
}

/** The same error as a host that knows nothing of a box between would get it. */
function expected(rig: Rig, about: FrameOptions, more: Parameters<typeof errorAbout>[2]): Uint8Array {
  const { source, destination } = about;
  return errorAbout(rig, about, { ...more, source: { ...destination, mac: MAC.box }, destination: source, hops: 63 });
}

const errors = fc.record({
  kind: fc.constantFrom(...Object.keys(ICMP_ERROR) as IcmpErrorKind[]),
  payload: fc.uint8Array({ maxLength: 900 }),
  /** More than the least that is quoted. */
  more: fc.nat({ max: 1000 }),
  hops: fc.integer({ min: 2, max: 254 }),
  checksum: fc.boolean(),
  options: fc.constantFrom(0, 4, 40),
  isTagged: fc.boolean(),
});

for (const family of BOTH) {
  const least = family === "IPv6" ? 48 : 28;
  /** What a packet looks like that an error is about, its VLAN tags, and how much of it is quoted. */
  const about = errors.map(({ kind, payload, more, hops, checksum, options, isTagged }) => ({
    kind,
    packet: {
      ...{ payload, hops, checksum: checksum || family === "IPv6" },
      ...(family === "IPv4" ? { ipv4Options: new Uint8Array(options).fill(1) } : {}),
    },
    tags: { vlans: isTagged ? [{ id: 7 }] : [] },
    bytes: least + (family === "IPv4" ? options : 0) + more,
  }));

  Deno.test(`an error about a packet to a backend is one about the client's packet: ${family}`, () => {
    fc.assert(
      fc.property(about, ({ kind, packet, tags, bytes }) => {
        const rig = new Rig(family);
        rig.begin({ ...packet, ...tags });
        const { request, atBackend } = rig.ends();
        const { fate, sent, by } = rig.put(errorAbout(rig, { ...packet, ...atBackend }, { kind, bytes }), BACK);
        assert.deepEqual([fate, by], ["error_returned", FRONT]);
        assert.deepEqual(sent, expected(rig, { ...packet, ...request }, { kind, bytes, ...tags }));
      }),
      { numRuns: 300 },
    );
  });

  Deno.test(`an error about an answer is one about the backend's packet: ${family}`, () => {
    fc.assert(
      fc.property(about, ({ kind, packet, tags, bytes }) => {
        const rig = new Rig(family);
        rig.begin();
        const { answer, atClient } = rig.ends();
        const { fate, sent, by } = rig.put(
          errorAbout(rig, { ...packet, ...atClient }, { kind, bytes, ...tags }),
          FRONT,
        );
        assert.deepEqual([fate, by], ["error_forwarded", BACK]);
        const source = { ...answer.source, mac: MAC.backend };
        assert.deepEqual(sent, expected(rig, { ...packet, ...answer, source }, { kind, bytes }));
      }),
      { numRuns: 300 },
    );
  });

  Deno.test(`an error about an answer that a backend has sent itself reaches it with new MAC addresses: ${family}`, () => {
    const rig = new Rig(family, { mode: "dsr" });
    rig.begin();
    assert.equal(rig.port, 0);
    const { atClient } = rig.ends();
    const { fate, sent, by } = rig.put(errorAbout(rig, { ...atClient, payload: new Uint8Array(500) }), FRONT);
    assert.deepEqual([fate, by], ["error_forwarded", BACK]);
    const source = { ...rig.end("router"), mac: MAC.box };
    const destination = { ...rig.end("service"), mac: MAC.backend };
    const same = errorAbout(rig, { ...atClient, payload: new Uint8Array(500) }, { source, destination, hops: 63 });
    assert.deepEqual(sent, same);
  });

  Deno.test(`an error that quotes no packet of a session belongs to none, and leaves all as it was: ${family}`, () => {
    const rig = new Rig(family);
    rig.begin();
    const { atBackend, atClient, request } = rig.ends();
    const before = rig.forwarder.sessions.words.slice();
    const next = FIRST_PORT + (rig.port - FIRST_PORT + 1) % PORTS;
    type Ends = Pick<FrameOptions, "source" | "destination">;
    const wrong: Readonly<Record<string, readonly [ends: Ends, from: number]>> = {
      "another translation port": [{ ...atBackend, source: rig.end("box", next) }, BACK],
      "another translation address": [{ ...atBackend, source: rig.end("other", rig.port) }, BACK],
      "another backend": [{ ...atBackend, destination: rig.end("other", 9000) }, BACK],
      "another port of the backend": [{ ...atBackend, destination: rig.end("backend", 9001) }, BACK],
      "another client": [{ ...atClient, destination: rig.end("other", 40_000) }, FRONT],
      "another port of the client": [{ ...atClient, destination: rig.end("client", 40_001) }, FRONT],
      "another service address": [{ ...atClient, source: rig.end("other", SERVICE_PORT) }, FRONT],
      "an answer as the backend has sent it": [{ source: atClient.source, destination: atBackend.source }, FRONT],
    };
    for (const [name, [ends, from]] of Object.entries(wrong)) {
      assert.deepEqual(rig.put(errorAbout(rig, ends), from), {
        fate: "error_unmatched",
        sent: undefined,
        by: undefined,
      }, name);
    }
    assert.equal(rig.put(errorAbout(rig, atBackend), FRONT).fate, "wrong_interface");
    assert.equal(rig.put(errorAbout(rig, atClient), BACK).fate, "wrong_interface");
    // The client's own packet, quoted as it came: from a port that no rule has.
    assert.equal(rig.put(errorAbout(rig, request), BACK).fate, "unlisted");
    assert.deepEqual(rig.forwarder.sessions.words, before);
    rig.forwarder.now = ticksOf(61_000);
    assert.equal(rig.put(errorAbout(rig, atBackend), BACK).fate, "error_unmatched", "the session is over");
    assert.equal(rig.put(errorAbout(rig, atClient), FRONT).fate, "error_unmatched", "the session is over");
  });

  Deno.test(`what cannot be sent on has a fate that says why: ${family}`, () => {
    const rig = new Rig(family);
    rig.begin();
    const { atBackend, atClient } = rig.ends();
    const [toClient, toBackend] = [errorAbout(rig, atBackend), errorAbout(rig, atClient)];
    for (const [ends, from] of [[atBackend, BACK], [atClient, FRONT]] as const) {
      for (const hops of [0, 1]) assert.equal(rig.put(errorAbout(rig, ends, { hops }), from).fate, "hops_exceeded");
    }
    for (const address of family === "IPv6" ? ["::", "::1", "ff02::1"] : ["0.0.0.0", "127.0.0.1", "255.255.255.255"]) {
      for (const [ends, from] of [[atBackend, BACK], [atClient, FRONT]] as const) {
        const source = { ...rig.end("router"), mac: MAC.backend, address };
        assert.equal(rig.put(errorAbout(rig, ends, { source }), from).fate, "unanswerable", address);
      }
    }
    rig.egress.room = false;
    assert.equal(rig.put(toClient, BACK).fate, "tx_ring_full");
    assert.equal(rig.put(toBackend, FRONT).fate, "tx_ring_full");
    const one = new Rig(family, { networkInterface: FRONT });
    one.begin();
    const ends = one.ends();
    for (const about of [ends.atBackend, ends.atClient]) {
      assert.equal(one.put(errorAbout(one, about), FRONT, { txRoom: 0 }).fate, "tx_ring_full");
      assert.equal(one.put(errorAbout(one, about), FRONT).by, FRONT);
    }
    const lost = new Rig(family, { reachable: false });
    lost.forwarder.mayPark = false;
    assert.equal(lost.put(buildFrame(lost.ends().request).bytes, FRONT).fate, "no_neighbour");
    assert.equal(lost.put(errorAbout(lost, lost.ends().atClient), FRONT).fate, "no_neighbour");
    rig.workerTable.actionOfRule[RULE] = rig.workerTable.actionOfRule[ANSWERS] = 0;
    assert.equal(rig.put(toClient, BACK).fate, "unlisted");
    assert.equal(rig.put(toBackend, FRONT).fate, "unlisted");
  });

  Deno.test(`a flood of errors is sent on at a bounded rate, each direction by itself: ${family}`, () => {
    const rig = new Rig(family);
    rig.begin();
    const { atBackend, atClient } = rig.ends();
    const directions = [[errorAbout(rig, atBackend), BACK, "error_returned"], [
      errorAbout(rig, atClient),
      FRONT,
      "error_forwarded",
    ]] as const;
    for (let second = 0; second < 3; second++) {
      rig.forwarder.now = ticksOf(second * 1000);
      for (const [frame, from, sentOn] of directions) {
        const counts: Record<string, number> = {};
        for (let turn = 0; turn < 3 * ERRORS_PER_SECOND; turn++) {
          const { fate, sent } = rig.put(frame, from);
          counts[fate] = (counts[fate] ?? 0) + 1;
          assert.equal(sent !== undefined, fate === sentOn);
        }
        const limited = 3 * ERRORS_PER_SECOND - ERRORS_PER_CLIENT;
        assert.deepEqual(counts, { [sentOn]: ERRORS_PER_CLIENT, error_limited: limited }, "it is one client");
      }
    }
  });

  Deno.test(`no client sets the path MTU that a backend has for all clients below 1280 bytes: ${family}`, () => {
    const kind = "tooBig";
    const rig = new Rig(family);
    rig.begin();
    const { atBackend, atClient } = rig.ends();
    const about = { ...atClient, payload: new Uint8Array(1400) };
    for (const parameter of [0, 68, 552, 1279]) {
      const { fate, sent } = rig.put(errorAbout(rig, about, { kind, parameter }), FRONT);
      assert.deepEqual([fate, sent], ["error_mtu_low", undefined], `${parameter}`);
    }
    for (const parameter of [1280, 1500]) {
      assert.equal(rig.put(errorAbout(rig, about, { kind, parameter }), FRONT).fate, "error_forwarded");
    }
    // Other errors have something else there, or nothing.
    for (const kind of ["portUnreachable", "timeExceeded", "parameterProblem"] as const) {
      assert.equal(rig.put(errorAbout(rig, about, { kind, parameter: 0 }), FRONT).fate, "error_forwarded", kind);
    }
    // A client's kernel keeps what it learns of the service for itself, and so does a backend that sees each client.
    assert.equal(rig.put(errorAbout(rig, atBackend, { kind, parameter: 68 }), BACK).fate, "error_returned");
    const dsr = new Rig(family, { mode: "dsr" });
    dsr.begin();
    assert.equal(dsr.put(errorAbout(dsr, atClient, { kind, parameter: 68 }), FRONT).fate, "error_forwarded");
  });

  Deno.test(`errors find their session by each of several translation addresses: ${family}`, () => {
    const rig = new Rig(family);
    const isIpv6 = family === "IPv6";
    const { other, box } = FAMILIES[family];
    rig.table.sources[isIpv6 ? SOURCES.places6 : SOURCES.places4] = 3;
    const bytes = new Uint8Array(rig.table.sources.buffer, rig.table.sources.byteOffset);
    [box, other].forEach((address, index) => bytes.set(parseAddress(address), sourceAt(isIpv6, index) * 4));
    rig.begin();
    const used = rig.forwarder.sessions.words[SESSION.address] === 0 ? "box" : "other";
    const unused = used === "box" ? "other" : "box";
    const { atBackend, atClient, request } = rig.ends();
    const from = (who: "box" | "other"): Uint8Array =>
      errorAbout(rig, { ...atBackend, source: rig.end(who, rig.port) });
    assert.equal(rig.put(from(unused), BACK).fate, "error_unmatched");
    assert.deepEqual(rig.put(from(used), BACK).sent, expected(rig, request, {}));
    const about = { source: rig.end("backend", 9000), destination: rig.end(used, rig.port) };
    assert.deepEqual(rig.put(errorAbout(rig, atClient), FRONT).sent, expected(rig, about, {}));
  });
}

for (const family of BOTH) {
  Deno.test(`an error about a packet with a client header states an MTU that leaves room for it: ${family}`, () => {
    const added = {
      proxy_v2: family === "IPv4" ? 28 : 52,
      proxy_v2_first: family === "IPv4" ? 28 : 52,
      simple_proxy: 38,
    };
    for (const [clientAddress, bytes] of Object.entries(added)) {
      const rig = new Rig(family, { clientAddress: clientAddress as keyof typeof added });
      rig.begin();
      const { request, atBackend } = rig.ends();
      const payload = new Uint8Array(700);
      const error = errorAbout(rig, { payload, ...atBackend }, { kind: "tooBig", parameter: 1400 });
      const { fate, sent } = rig.put(error, BACK);
      assert.equal(fate, "error_returned");
      const told = expected(rig, { payload, ...request }, { kind: "tooBig", parameter: 1400 - bytes });
      assert.deepEqual(sent, told, clientAddress);
      // One that tells no MTU stays as it is.
      const other = rig.put(errorAbout(rig, { payload, ...atBackend }), BACK).sent;
      assert.deepEqual(other, expected(rig, { payload, ...request }, {}));
    }
  });

  Deno.test(`an error about the answer of a backend behind a tunnel goes through the tunnel: ${family}`, () => {
    for (const [tunnel, between] of [["ipip", 0], ["gre", 4], ["gue", 12]] as const) {
      const rig = new Rig(family, { mode: "dsr", tunnel });
      rig.begin();
      const { request } = rig.ends();
      const about = { source: request.destination, destination: request.source, payload: new Uint8Array(500) };
      const frame = errorAbout(rig, about);
      const { fate, sent, by } = rig.put(frame, FRONT);
      assert.deepEqual([fate, by], ["error_forwarded", BACK]);
      const added = (family === "IPv4" ? 20 : 40) + between;
      const inner = sent!.subarray(14 + added);
      const direct = new Rig(family, { mode: "dsr" });
      direct.begin();
      assert.deepEqual(inner, direct.put(frame, FRONT).sent!.subarray(14), tunnel);
    }
  });
}
