/** `source: client`: backends see the clients' own addresses. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { writeForwardRule } from "../../tests/support/forward_rule.ts";
import { portRule } from "../../tests/support/loop_rig.ts";
import { type Passed, passOne, SentFrames } from "../../tests/support/one_frame.ts";
import type { ForwardMode, PacketSource } from "../steering/forward.ts";
import { arrivalBy, writeArrivals } from "../steering/arrivals.ts";
import { compileWorkerTable } from "../steering/compile.ts";
import type { Fate } from "../steering/fate.ts";
import {
  BACKEND,
  BACKEND_KEEPS,
  BACKEND_RANGE,
  backendAt,
  createForwardTables,
  FORWARD,
  forwardAt,
  type ForwardTable,
  indexBackends,
  KEPT,
  modeWord,
  viewForwardTables,
} from "../steering/forward_table.ts";
import { KEPT_SET_BYTES, keptSets } from "../steering/kept_clients.ts";
import { SESSION, ticksOf } from "../steering/session_row.ts";
import { createWorkerTables, viewWorkerTables, type WorkerTable } from "../steering/worker_table.ts";
import { buildFrame, type Endpoint, type FrameOptions } from "../traffic/frames.ts";
import { buildIcmpError, ICMP_ERROR, type IcmpErrorKind, ipPacketOf } from "../traffic/icmp_frames.ts";
import { answerRow } from "./counters.ts";
import { Forwarder } from "./forward.ts";

const SLOTS = 16;
const [RULE, ECHO, STRAY] = [3, 4, 5];
/** What comes back to the rule. */
const ANSWERS = answerRow(RULE, SLOTS);
const ROWS = [0, RULE, ECHO, STRAY, ANSWERS];
const SERVICE_PORTS = [8080, 8081];
const ECHO_PORT = 7777;
const FIRST_PORT = 20_000;
const CAPACITY = 64;
const MAC = { client: "02:00:00:00:00:01", box: "02:00:00:00:00:02", backend: "02:00:00:00:00:03" } as const;
const FAMILIES = {
  IPv4: { client: "10.1.2.3", other: "10.1.2.9", service: "10.1.2.4", box: "10.9.0.1", backend: "10.9.0.11" },
  IPv6: { client: "fd00::1:2", other: "fd00::9", service: "fd00::2:3", box: "fd09::1", backend: "fd09::11" },
} as const;
type Family = keyof typeof FAMILIES;
const BOTH = ["IPv4", "IPv6"] as const;
/** The interface of the clients, and that of the backends. */
const [FRONT, BACK] = [0, 1];
/** Of the backend in the forward table. */
const ROW = 1;

type Ends = Pick<FrameOptions, "source" | "destination">;

/** What all workers have in common: a rule that forwards to a backend, and one that echoes. */
class Box {
  readonly table: ForwardTable;
  readonly memory = new SharedArrayBuffer(keptSets(2 * CAPACITY) * KEPT_SET_BYTES);
  readonly workerTable: WorkerTable;

  constructor(readonly family: Family, source: PacketSource = "client") {
    const { backend, box } = FAMILIES[family];
    this.table = viewForwardTables(createForwardTables(SLOTS), SLOTS)[0]!;
    writeArrivals(this.table.arrivals, [], [arrivalBy(BACK, [])]);
    const ends = { backend: { mac: MAC.backend, address: backend, port: 9000 }, box: { mac: MAC.box, address: box } };
    writeForwardRule(this.table, { rule: RULE, ...ends, networkInterface: BACK, source });
    const flags = backendAt(ROW) + BACKEND.flags;
    this.table.backends[flags] = this.table.backends[flags]! | BACKEND_KEEPS;
    this.table.kept[KEPT.addressLow] = 1;
    this.table.kept[KEPT.setMask] = keptSets(2 * CAPACITY) - 1;
    this.table.kept[KEPT.rule] = STRAY;
    const [first, second] = viewWorkerTables(createWorkerTables(SLOTS));
    const web = { ...portRule("web", 0, "forward"), ports: SERVICE_PORTS.map((port) => ({ first: port, last: port })) };
    const answers = { ...portRule("answers", 0, "answer"), ports: [{ first: FIRST_PORT, last: FIRST_PORT + 49 }] };
    const rules = [web, portRule("echo", ECHO_PORT, "echo"), answers];
    compileWorkerTable(second!, first!, rules, [RULE, ECHO, STRAY], new Set());
    this.workerTable = second!;
  }

  setMode(mode: ForwardMode, source: PacketSource): void {
    const word = modeWord({ mode, source, clientAddress: "none", tunnel: null });
    this.table.forwards[forwardAt(0) + FORWARD.mode] = word;
  }

  end(who: keyof typeof FAMILIES.IPv4, port = 0): Endpoint {
    const mac = who === "client" || who === "backend" ? MAC[who] : MAC.box;
    return { mac, address: FAMILIES[this.family][who], port };
  }

  /** A client's packet, and the same as the backend gets it; the backend's answer, and the same as the client does. */
  ends(port = 40_000, service = SERVICE_PORTS[0]!): Record<"request" | "atBackend" | "answer" | "atClient", Ends> {
    const client = this.end("client", port);
    const to = this.end("service", service);
    const backend = this.end("backend", 9000);
    return {
      request: { source: client, destination: to },
      atBackend: { source: { ...client, mac: MAC.box }, destination: backend },
      answer: { source: backend, destination: { ...client, mac: MAC.box } },
      atClient: { source: to, destination: client },
    };
  }
}

/** A worker's data path. */
class Worker {
  readonly forwarder: Forwarder;
  readonly #egress = new SentFrames();

  /** @param before Of the same number, in a process that this one takes over from. */
  constructor(readonly box: Box, number = 0, before?: Worker) {
    const key = { low: 7, high: 8 };
    const sessions = { capacity: CAPACITY, firstPort: FIRST_PORT, portCount: 50, key, ruleSlots: SLOTS };
    const rows = before?.forwarder.sessions;
    const memory = rows && { rows: rows.words.buffer, liveOfBackend: rows.liveOfBackend.buffer };
    const options = { ...sessions, worker: number, ...memory };
    this.forwarder = new Forwarder(box.table, this.#egress, options, () => box.memory);
    if (rows !== undefined) this.forwarder.takeSessions({ evicted: 0, refused: [0, 0, 0] });
  }

  /** Puts one frame through; see {@linkcode passOne}. */
  put(options: FrameOptions | Uint8Array, from: number): Passed {
    const frame = options instanceof Uint8Array ? options : buildFrame(options).bytes;
    const { forwarder, box: { workerTable } } = this;
    return passOne(frame, { workerTable, forwarder, egress: this.#egress, ruleSlots: SLOTS, rows: ROWS, from });
  }

  /** Begins or goes on with a session. */
  begin(port?: number, service?: number): void {
    assert.equal(this.put(this.box.ends(port, service).request, FRONT).fate, "forwarded");
  }

  answer(port?: number): readonly [Fate, number] {
    const { fate, row } = this.put(this.box.ends(port).answer, BACK);
    return [fate, row];
  }
}

for (const family of BOTH) {
  Deno.test(`source: client translates the destination there, the source back, and nothing else: ${family}`, () => {
    const packets = fc.record({
      payload: fc.uint8Array({ maxLength: 1200 }),
      hops: fc.integer({ min: 2, max: 255 }),
      checksum: family === "IPv4" ? fc.boolean() : fc.constant(true),
      port: fc.constantFrom(40_000, ECHO_PORT, SERVICE_PORTS[0]!, FIRST_PORT, 1, 65535),
    });
    fc.assert(fc.property(packets, ({ port, ...packet }) => {
      const box = new Box(family);
      const worker = new Worker(box);
      const { request, atBackend, answer, atClient } = box.ends(port);
      const there = worker.put({ ...request, ...packet }, FRONT);
      assert.deepEqual([there.fate, there.row, there.by], ["forwarded", RULE, BACK]);
      assert.deepEqual(there.sent, buildFrame({ ...atBackend, ...packet, hops: packet.hops - 1 }).bytes);
      const back = worker.put({ ...answer, ...packet }, BACK);
      assert.deepEqual([back.fate, back.row, back.by], ["returned", ANSWERS, FRONT]);
      const source = { ...atClient.source, mac: MAC.box };
      assert.deepEqual(back.sent, buildFrame({ ...atClient, source, ...packet, hops: packet.hops - 1 }).bytes);
    }));
  });

  Deno.test(`what is no answer of a session to its own client is none: ${family}`, () => {
    const box = new Box(family);
    const worker = new Worker(box);
    worker.begin(ECHO_PORT);
    const { answer } = box.ends(ECHO_PORT);
    const backend = box.end("backend", 9001);
    const other = box.end("other", ECHO_PORT);
    assert.deepEqual(worker.put({ ...answer, source: backend }, BACK).row, ECHO, "another port of the backend");
    assert.deepEqual(worker.put({ ...answer, destination: other }, BACK).row, ECHO, "to another client");
    assert.deepEqual(worker.put({ ...answer, source: box.end("other", 9000) }, BACK).row, ECHO, "from another host");
    assert.deepEqual(worker.answer(ECHO_PORT), ["returned", ANSWERS]);
    const forged = worker.put(answer, FRONT);
    assert.deepEqual([forged.fate, forged.row], ["wrong_interface", STRAY], "from the clients' side");
  });

  Deno.test(`a client's packet that says it is from a backend makes no session: ${family}`, () => {
    const box = new Box(family);
    const worker = new Worker(box);
    const { request } = box.ends();
    const source = { ...box.end("backend", 9000), mac: MAC.client };
    assert.equal(worker.put({ ...request, source }, FRONT).fate, "wrong_interface");
    assert.equal(worker.forwarder.sessions.live, 0);
    assert.equal(worker.put({ ...request, source: { ...source, port: 9001 } }, FRONT).fate, "forwarded");
  });

  Deno.test(`errors are translated both ways: ${family}`, () => {
    for (const kind of ["portUnreachable", "tooBig", "timeExceeded"] as IcmpErrorKind[]) {
      const box = new Box(family);
      const worker = new Worker(box);
      worker.begin(ECHO_PORT);
      const [type, code] = ICMP_ERROR[kind][family];
      const about = (ends: Ends, more: Partial<FrameOptions>): Uint8Array => {
        const quoted = ipPacketOf(buildFrame({ ...ends, payload: new Uint8Array(500) }), 200);
        const options = { quoted, type, code, parameter: kind === "tooBig" ? 1100 : 0 };
        return buildIcmpError({ ...ends, ...options, ...more }).bytes;
      };
      const { request, atBackend, answer, atClient } = box.ends(ECHO_PORT);
      const router = { ...box.end("other"), mac: MAC.backend };
      const there = worker.put(about(atBackend, { source: router, destination: atBackend.source }), BACK);
      assert.deepEqual([there.fate, there.row, there.by], ["error_returned", ANSWERS, FRONT], kind);
      const service = { ...request.destination, mac: MAC.box };
      assert.deepEqual(there.sent, about(request, { source: service, destination: request.source, hops: 63 }), kind);

      const back = worker.put(about(atClient, { source: router, destination: request.destination }), FRONT);
      assert.deepEqual([back.fate, back.row, back.by], ["error_forwarded", RULE, BACK], kind);
      const ends = { source: { ...atClient.destination, mac: MAC.box }, destination: answer.source };
      assert.deepEqual(back.sent, about(answer, { ...ends, hops: 63 }), kind);
    }
  });
}

Deno.test("a reload from box to client and back loses no answer, on whichever way it is", () => {
  const box = new Box("IPv4", "box");
  const worker = new Worker(box);
  worker.begin();
  const { words } = worker.forwarder.sessions;
  const port = words[SESSION.translationPort]!;
  const toBox = { source: box.end("backend", 9000), destination: box.end("box", port) };
  assert.equal(worker.put(toBox, BACK).fate, "returned");
  assert.equal(worker.answer()[0], "unlisted");
  box.setMode("nat", "client");
  assert.equal(worker.put(toBox, BACK).fate, "returned", "before the client's next packet");
  const { sent } = worker.put(box.ends().request, FRONT);
  assert.deepEqual(sent, buildFrame({ ...box.ends().atBackend, hops: 63 }).bytes);
  assert.equal(worker.put(toBox, BACK).fate, "returned", "after it");
  assert.deepEqual(worker.answer(), ["returned", ANSWERS]);
  worker.begin();
  assert.equal(words[SESSION.translationPort], port);
  box.setMode("nat", "box");
  assert.deepEqual(worker.answer(), ["returned", ANSWERS]);
  worker.begin();
  assert.equal(worker.put(toBox, BACK).fate, "returned");
  assert.deepEqual(worker.answer(), ["returned", ANSWERS]);
  assert.equal(worker.forwarder.sessions.live, 1);
});

Deno.test("a reload from client to box and to direct return: answers to the client go on", () => {
  for (const [mode, source] of [["nat", "box"], ["dsr", "box"]] as const) {
    const box = new Box("IPv4");
    const worker = new Worker(box);
    worker.begin();
    box.setMode(mode, source);
    worker.begin();
    assert.deepEqual(worker.answer(), ["returned", ANSWERS], mode);
    assert.equal(worker.forwarder.sessions.words[SESSION.translationPort] !== 0, mode === "nat");
  }
});

Deno.test("an answer that comes when its session has just ended is one without a session, of no rule of its port", () => {
  const box = new Box("IPv4");
  const worker = new Worker(box);
  worker.begin(ECHO_PORT);
  const { forwarder } = worker;
  forwarder.now = ticksOf(1_000_000);
  assert.deepEqual(worker.answer(ECHO_PORT), ["no_session", STRAY], "over, and still there");
  forwarder.sessions.expire(forwarder.now, 64);
  assert.equal(forwarder.sessions.live, 0);
  assert.deepEqual(worker.answer(ECHO_PORT), ["no_session", STRAY]);
  assert.ok(new Int32Array(box.memory).every((word, at) => (at & 31) >= 16 || word === 0), "its place is free");
});

Deno.test("two services with one backend: answers are those of the one that the client has sent to last", () => {
  const box = new Box("IPv4");
  const worker = new Worker(box);
  for (const service of [...SERVICE_PORTS, ...SERVICE_PORTS]) {
    worker.begin(40_000, service);
    const { sent } = worker.put(box.ends().answer, BACK);
    const { atClient } = box.ends(40_000, service);
    assert.deepEqual(sent, buildFrame({ ...atClient, source: { ...atClient.source, mac: MAC.box }, hops: 63 }).bytes);
    assert.equal(worker.forwarder.sessions.live, 1);
  }
});

Deno.test("the same with two workers, each of which has a session", () => {
  const box = new Box("IPv4");
  const [one, other] = [new Worker(box, 5), new Worker(box, 63)];
  const workerOf = (): number[] =>
    [...new Int32Array(box.memory)].filter((word, at) => (at & 31) < 16 && word !== 0).map((tag) => tag & 63);
  for (let turn = 0; turn < 3; turn++) {
    one.begin();
    assert.deepEqual(workerOf(), [5]);
    assert.deepEqual(one.answer(), ["returned", ANSWERS]);
    other.begin(40_000, SERVICE_PORTS[1]);
    assert.deepEqual(workerOf(), [63]);
    assert.deepEqual(other.answer(), ["returned", ANSWERS]);
  }
  one.forwarder.sessions.remove(0);
  assert.deepEqual(workerOf(), [63], "the place is the other's");
  other.forwarder.sessions.remove(0);
  assert.deepEqual(workerOf(), []);
});

Deno.test("sessions that come and go keep their places apart, and leave none behind", () => {
  const box = new Box("IPv6");
  const workers = [new Worker(box, 0), new Worker(box, 1)];
  const commands = fc.array(fc.tuple(fc.nat(1), fc.nat(40), fc.boolean()), { maxLength: 300 });
  fc.assert(
    fc.property(commands, (list) => {
      const live = new Map<number, number>();
      for (const [number, client, ends] of list) {
        const port = 30_000 + client;
        const { sessions } = workers[number]!.forwarder;
        if (!ends) {
          workers[number]!.begin(port);
          live.set(port, number);
        } else {
          for (let row = 0; row < CAPACITY; row++) {
            const at = row << 5;
            if (sessions.words[at + SESSION.flags] === 0 || live.get(port) !== number) continue;
            if ((sessions.words[at + SESSION.ports]! & 0xffff) !== ((port & 0xff) << 8 | port >> 8)) continue;
            sessions.remove(at);
            live.delete(port);
          }
        }
      }
      for (const [port, number] of live) assert.deepEqual(workers[number]!.answer(port), ["returned", ANSWERS]);
      const tags = [...new Int32Array(box.memory)].filter((word, at) => (at & 31) < 16 && word !== 0);
      assert.equal(tags.length, live.size);
      for (const { forwarder: { sessions } } of workers) {
        for (let at = 0; at < CAPACITY << 5; at += 32) {
          if (sessions.words[at + SESSION.flags] !== 0) sessions.remove(at);
        }
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("a client that finds its set full is refused, and leaves no session", () => {
  const box = new Box("IPv4");
  const worker = new Worker(box);
  new Int32Array(box.memory).fill(1 << 30 | 9);
  const { fate } = worker.put(box.ends().request, FRONT);
  assert.equal(fate, "sessions_full");
  assert.equal(worker.forwarder.sessions.live, 0);
  assert.equal(worker.forwarder.sessions.refused[0], 1);
});

Deno.test("a backend with a range of ports answers from the one that a session goes to", () => {
  for (const family of BOTH) {
    const box = new Box(family);
    const worker = new Worker(box);
    const { backends, forwards } = box.table;
    const at = backendAt(ROW);
    backends[at + BACKEND.port] = 0;
    backends[at + BACKEND.firstPort] = 20_000;
    backends[at + BACKEND.lastPort] = 20_099;
    backends[at + BACKEND.flags] = backends[at + BACKEND.flags]! | BACKEND_RANGE;
    forwards[forwardAt(0) + FORWARD.firstPort] = SERVICE_PORTS[0]!;
    indexBackends(box.table);
    const answer = (port: number): Passed =>
      worker.put({ ...box.ends().answer, source: box.end("backend", port) }, BACK);
    for (const [index, service] of SERVICE_PORTS.entries()) {
      const { request, atBackend, atClient } = box.ends(40_000, service);
      const { sent } = worker.put(request, FRONT);
      const destination = { ...atBackend.destination, port: 20_000 + index };
      assert.deepEqual(sent, buildFrame({ ...atBackend, destination, hops: 63 }).bytes);
      const source = { ...atClient.source, mac: MAC.box };
      assert.deepEqual(answer(20_000 + index).sent, buildFrame({ ...atClient, source, hops: 63 }).bytes);
      assert.equal(answer(20_050).fate, "unlisted");
    }
    assert.equal(answer(20_000).fate, "returned", "the first session is still there");
    assert.equal(worker.forwarder.sessions.live, SERVICE_PORTS.length);
    forwards[forwardAt(0) + FORWARD.firstPort] = SERVICE_PORTS[0]! - 10; // a reload moves the range
    worker.begin();
    assert.equal(answer(20_010).fate, "returned");
    assert.deepEqual([answer(20_000).fate, answer(20_000).row], ["no_session", STRAY], "packets do not go there now");
    const forged = { ...box.ends().request, source: { ...box.end("backend", 20_050), mac: MAC.client } };
    assert.equal(worker.put(forged, FRONT).fate, "wrong_interface");
  }
});

for (const family of BOTH) {
  Deno.test(`who takes a worker's sessions over leaves each at its place in the same table: ${family}`, () => {
    const box = new Box(family);
    const first = new Worker(box);
    for (const port of [40_000, 40_001, 40_002]) first.begin(port);
    const places = (): readonly number[] => [...new Int32Array(box.memory)];
    const before = places();
    const next = new Worker(box, 0, first);
    assert.deepEqual(places(), before);
    for (const port of [40_000, 40_001, 40_002]) assert.equal(next.answer(port)[0], "returned");
    new Int32Array(box.memory).fill(0);
    const other = new Worker(box, 0, next);
    assert.equal(other.answer(40_001)[0], "returned", "in another table they get places");
  });
}
