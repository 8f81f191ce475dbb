import assert from "node:assert/strict";
import { UdpPacket } from "../packet/udp.ts";
import { BACKEND, backendAt, createForwardTables, FORWARD, forwardAt, viewForwardTables } from "./forward_table.ts";
import { type Homes, rehome, spreadOver } from "./rehome.ts";
import { SESSION, ticksOf } from "./session_row.ts";
import { SessionTable } from "./sessions.ts";
import type { TwinRows } from "./twins.ts";

const RULE_SLOTS = 4;
const RULE = 1;
const IDLE_S = 30;
const KEY = { low: 0x1234567, high: -0x7654321 };
const CAPACITY = 64;
const FIRST_PORT = 61000;
const PORTS = 96;
const NOW = 1000;
const NO_COUNTS = { evicted: 0, refused: [0, 0, 0] };

const forward = viewForwardTables(createForwardTables(RULE_SLOTS), RULE_SLOTS)[0]!;
forward.forwardOfRule[RULE] = 1;
forward.forwards[forwardAt(0) + FORWARD.idle] = IDLE_S;
forward.backends[backendAt(0) + BACKEND.generation] = 1;

const view = new DataView(new ArrayBuffer(64));
const packet = new UdpPacket();
packet.ip = 0;
packet.udp = 32;

function fromClient(client: number): void {
  view.setUint32(12, 0x0a000000 + client);
  view.setUint32(16, 0xc0000201);
  view.setUint16(32, 4000 + client);
  view.setUint16(34, 8080);
}

/** Empty tables of so many workers, with ports in equal shares. */
class Workers {
  readonly rows: TwinRows[];
  tables: SessionTable[] = [];

  constructor(readonly count: number) {
    this.rows = Array.from({ length: count }, () => ({
      rows: new Int32Array(CAPACITY * 32),
      twins: new Int32Array(CAPACITY),
    }));
    this.open();
  }

  /** Another process's workers, or those that go on with what the rows have. */
  open(): void {
    const portCount = PORTS / this.count;
    this.tables = this.rows.map(({ rows }, worker) => {
      const table = new SessionTable({
        ...{ capacity: CAPACITY, portCount, key: KEY, ruleSlots: RULE_SLOTS, rows: rows.buffer },
        firstPort: FIRST_PORT + worker * portCount,
        halves: { tables: this.rows, worker },
      });
      table.follow(forward);
      table.takeRows(forward, NO_COUNTS);
      return table;
    });
  }

  /** A client's packet, as the XDP program steers it. */
  send(client: number, now = NOW): { readonly worker: number; readonly at: number } {
    fromClient(client);
    const worker = this.workerOf(client);
    const table = this.tables[worker]!;
    const hash = table.hashOf(view, packet);
    let at = table.findByClient(view, packet, hash);
    if (at >= 0 && table.isOver(at, now)) {
      table.remove(at);
      at = -1;
    }
    if (at < 0) at = table.add(view, packet, hash, 0, RULE, now, 1);
    else table.touchByClient(at, RULE, now);
    return { worker, at };
  }

  workerOf(client: number): number {
    const words = new Int32Array(32);
    fromClient(client);
    words[SESSION.client] = view.getInt32(12, true);
    words[SESSION.service] = view.getInt32(16, true);
    words[SESSION.ports] = view.getInt32(32, true);
    return spreadOver(this.count, words, 0);
  }

  portOf(client: number): number {
    const { worker, at } = this.send(client);
    return this.rows[worker]!.rows[at + SESSION.translationPort]!;
  }

  /** The session of an answer; -1 where there is none. */
  answer(port: number): number {
    const worker = this.ownerOf(port);
    return this.tables[worker]!.findByAnswer(port, 0, 0);
  }

  ownerOf(port: number): number {
    return Math.floor((port - FIRST_PORT) / (PORTS / this.count));
  }

  get live(): number {
    return this.tables.reduce((sum, { live }) => sum + live, 0);
  }

  homes(capacity = CAPACITY): Homes {
    return {
      workers: this.count,
      capacity,
      workerOf: (rule) => rule === RULE ? "hash" : undefined,
      ownerOf: (port) => port < FIRST_PORT + PORTS ? this.ownerOf(port) : undefined,
      arrivalOf: (arrival) => arrival + 1,
    };
  }

  rehomed(count: number): Workers {
    const next = new Workers(count);
    assert.equal(rehome(this.rows, next.rows, next.homes()).lost, 0);
    next.open();
    return next;
  }
}

const CLIENTS = Array.from({ length: 30 }, (_, client) => client);

Deno.test("sessions keep their ports with more workers and with fewer, and each counts once", () => {
  let workers = new Workers(2);
  const ports = CLIENTS.map((client) => workers.portOf(client));
  for (const count of [3, 4, 1, 2, 2]) {
    workers = workers.rehomed(count);
    assert.equal(workers.live, CLIENTS.length, `${count} workers`);
    assert.deepEqual(CLIENTS.map((client) => workers.portOf(client)), ports, `${count} workers`);
    assert.ok(ports.every((port) => workers.answer(port) >= 0), "each answer is somebody's");
    const backend = workers.tables.reduce((sum, { liveOfBackend }) => sum + liveOfBackend[0]!, 0);
    assert.equal(backend, CLIENTS.length);
  }
});

/** Two workers, and a client whose session is in two halves. */
function split(): { workers: Workers; client: number; port: number; halves: readonly [client: number, port: number] } {
  const before = new Workers(1);
  const ports = CLIENTS.map((client) => before.portOf(client));
  const workers = before.rehomed(2);
  const client = CLIENTS.find((one) => workers.workerOf(one) !== workers.ownerOf(ports[one]!))!;
  const port = ports[client]!;
  return { workers, client, port, halves: [workers.workerOf(client), workers.ownerOf(port)] };
}

Deno.test("a half lasts for as long as the other one is heard of", () => {
  const { workers, client, port, halves: [, owner] } = split();
  const later = NOW + ticksOf(IDLE_S * 1000) - 1;
  workers.send(client, later);
  const answers = workers.answer(port);
  const over = NOW + ticksOf(IDLE_S * 1000) + 1;
  assert.equal(workers.tables[owner]!.isOver(answers, over), false, "the client speaks");
  assert.equal(workers.tables[owner]!.isOver(answers, later + ticksOf(IDLE_S * 1000) + 1), true, "both are silent");
});

Deno.test("a client whose port is given up gets another one, and one that leaves keeps its port for late answers", () => {
  const one = split();
  one.workers.tables[one.halves[1]]!.remove(one.workers.answer(one.port));
  assert.equal(one.workers.live, CLIENTS.length, "only the client's half counted");
  assert.equal(one.workers.answer(one.port), -1);
  assert.notEqual(one.workers.portOf(one.client), one.port);

  const other = split();
  const { worker, at } = other.workers.send(other.client);
  other.workers.tables[worker]!.remove(at);
  assert.equal(other.workers.live, CLIENTS.length - 1);
  const answers = other.workers.answer(other.port);
  assert.ok(answers >= 0);
  other.workers.tables[other.halves[1]]!.remove(answers);
  assert.equal(other.workers.live, CLIENTS.length - 1, "it was counted with the client's half");
});

Deno.test("a client that gets another backend has a port of its own worker's", () => {
  const { workers, client, port } = split();
  forward.backends[backendAt(1) + BACKEND.generation] = 2;
  const { worker, at } = workers.send(client);
  assert.equal(workers.tables[worker]!.move(at, 1, NOW, 1), true);
  assert.equal(workers.ownerOf(workers.rows[worker]!.rows[at + SESSION.translationPort]!), worker);
  assert.ok(workers.answer(port) >= 0, "answers on their way find somebody");
  assert.equal(workers.live, CLIENTS.length);
});

Deno.test("the way back to a client is told to both halves", () => {
  const { workers, client, port, halves: [, owner] } = split();
  const { worker, at } = workers.send(client);
  const { rows } = workers.rows[worker]!;
  rows[at + SESSION.arrival] = 7;
  rows[at + SESSION.link + 2] = 0x1234;
  workers.tables[worker]!.tellTwin(at);
  const answers = workers.answer(port);
  const other = workers.rows[owner]!.rows;
  assert.deepEqual([other[answers + SESSION.arrival], other[answers + SESSION.link + 2]], [7, 0x1234]);
});

Deno.test("sessions that have no place or no port any more are counted, and others keep theirs", () => {
  const before = new Workers(2);
  for (const client of CLIENTS) before.portOf(client);
  const next = new Workers(1);
  assert.deepEqual(rehome(before.rows, next.rows, next.homes(10)), { kept: 10, lost: 20 });
  const ports = new Workers(1);
  const homes = { ...ports.homes(), ownerOf: () => undefined };
  assert.deepEqual(rehome(before.rows, ports.rows, homes), { kept: 0, lost: 30 });
});
