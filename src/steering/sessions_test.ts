import assert from "node:assert/strict";
import { IPV4, UdpPacket } from "../packet/udp.ts";
import { BACKEND, backendAt, createForwardTables, FORWARD, forwardAt, viewForwardTables } from "./forward_table.ts";
import { RANK } from "./ranked_set.ts";
import { RANK_SHIFT, SESSION, ticksOf } from "./session_row.ts";
import { REFUSED, SessionTable } from "./sessions.ts";

const RULE_SLOTS = 8;
const RULE = 1;
const IDLE_S = 30;
const BACKENDS = 4;
const KEY = { low: 0x1234567, high: -0x7654321 };
const SECOND = ticksOf(1000);

/** A session table, the forward table it follows, and packets to look up in it. */
class Rig {
  table;
  readonly forward = viewForwardTables(createForwardTables(RULE_SLOTS), RULE_SLOTS)[0]!;
  readonly view = new DataView(new ArrayBuffer(64));
  readonly packet = new UdpPacket();
  now = 1000;

  readonly #options;

  constructor({ capacity = 64, portCount = 64 }: { capacity?: number; portCount?: number }) {
    this.#options = { capacity, firstPort: 61000, portCount, key: KEY, ruleSlots: RULE_SLOTS };
    this.table = new SessionTable(this.#options);
    this.packet.ip = 0;
    this.packet.udp = 32;
    this.forward.forwardOfRule[RULE] = 1;
    this.forward.forwards[forwardAt(0) + FORWARD.idle] = IDLE_S;
    for (let row = 0; row < BACKENDS; row++) this.generation(row, 1);
    this.table.follow(this.forward);
  }

  /** Another process goes on with the rows. */
  handOver(): void {
    const { words, liveOfBackend, evicted, refused } = this.table;
    this.table = new SessionTable({ ...this.#options, rows: words.buffer, liveOfBackend: liveOfBackend.buffer });
    this.table.follow(this.forward);
    this.table.takeRows(this.forward, { evicted, refused: [...refused] });
  }

  generation(row: number, generation: number): void {
    this.forward.backends[backendAt(row) + BACKEND.generation] = generation;
  }

  /** The session of a client, or -1. */
  find(client: number): number {
    this.#client(client);
    return this.table.findByClient(this.view, this.packet, this.#hash());
  }

  /** A client's first packet. */
  add(client: number, backend = 0, addresses = 1): number {
    this.#client(client);
    return this.table.add(this.view, this.packet, this.#hash(), backend, RULE, this.now, addresses);
  }

  /** A client's packet, as the worker treats it. */
  send(client: number, backend = 0): number {
    const found = this.find(client);
    if (found < 0) return this.add(client, backend);
    this.table.touchByClient(found, RULE, this.now);
    return found;
  }

  answer(at: number): void {
    const { words } = this.table;
    const found = this.table.findByAnswer(
      words[at + SESSION.translationPort]!,
      words[at + SESSION.backend]!,
      words[at + SESSION.address]!,
    );
    assert.equal(found, at);
    this.table.touchByAnswer(found, this.now);
  }

  rank(at: number): number {
    return (this.table.words[at + SESSION.flags]! >> RANK_SHIFT) & 3;
  }

  /** A client that is in a conversation. */
  converse(client: number, backend = 0): number {
    for (let round = 0; round < 4; round++) {
      const at = this.send(client, backend);
      assert.ok(at >= 0);
      this.answer(at);
    }
    const at = this.find(client);
    assert.equal(this.rank(at), RANK.conversation);
    return at;
  }

  #hash(): number {
    return this.table.hashOf(this.view, this.packet);
  }

  #client(client: number): void {
    this.view.setInt32(IPV4.source, client);
    this.view.setInt32(IPV4.destination, 0x0a000001);
    this.view.setInt32(32, client << 16 | 7777);
  }
}

Deno.test("SessionTable reaches the number of sessions that its ports allow, with each backend", () => {
  const rig = new Rig({ capacity: 4096, portCount: 1000 });
  const ports = new Set<number>();
  for (let client = 0; client < 1000; client++) {
    const at = rig.add(client, 2);
    assert.ok(at >= 0, `client ${client}`);
    ports.add(rig.table.words[at + SESSION.translationPort]!);
  }
  assert.equal(ports.size, 1000);
  assert.ok(Math.min(...ports) >= 61000 && Math.max(...ports) < 62000);
  for (let client = 1000; client < 2000; client++) assert.ok(rig.add(client, 3) >= 0);
  assert.equal(rig.table.live, 2000);
  assert.equal(rig.table.evicted, 0);
  assert.equal(rig.table.liveOfBackend[2], 1000);
});

Deno.test("SessionTable multiplies its ports by the addresses there are", () => {
  const rig = new Rig({ capacity: 4096, portCount: 100 });
  for (let client = 0; client < 300; client++) assert.ok(rig.add(client, 0, 0b111) >= 0);
  assert.equal(rig.table.evicted, 0);
  const used = [0, 0, 0];
  for (let client = 0; client < 300; client++) {
    const at = rig.find(client);
    const { words } = rig.table;
    const address = words[at + SESSION.address]!;
    used[address] = used[address]! + 1;
    assert.equal(rig.table.findByAnswer(words[at + SESSION.translationPort]!, 0, address), at);
  }
  assert.deepEqual(used, [100, 100, 100]);
});

Deno.test("SessionTable lets a stranger give way, and neither a conversation nor who was answered", () => {
  const rig = new Rig({ capacity: 64, portCount: 8 });
  for (let client = 0; client < 4; client++) rig.converse(client);
  for (let client = 4; client < 6; client++) rig.answer(rig.send(client));
  rig.send(6);
  rig.send(7);
  for (let client = 100; client < 1000; client++) assert.ok(rig.add(client) >= 0);
  for (let client = 0; client < 6; client++) assert.ok(rig.find(client) >= 0, `client ${client} is still there`);
  assert.equal(rig.table.live, 8);
  assert.equal(rig.table.evicted, 900);
});

Deno.test("SessionTable: a source that sends twice, answered, is no conversation and gives way to no one who is", () => {
  const rig = new Rig({ capacity: 64, portCount: 8 });
  for (let client = 0; client < 4; client++) rig.converse(client);
  for (let source = 100; source < 1000; source++) {
    for (let packet = 0; packet < 2; packet++) {
      const at = rig.send(source);
      assert.ok(at >= 0);
      rig.answer(at);
    }
  }
  for (let client = 0; client < 4; client++) assert.ok(rig.find(client) >= 0);
});

Deno.test("SessionTable: who only sends, each second or so, is in a conversation too", () => {
  const rig = new Rig({});
  for (let packet = 0; packet < 4; packet++) {
    rig.send(1);
    rig.now += SECOND;
  }
  assert.equal(rig.rank(rig.find(1)), RANK.conversation);
  for (let packet = 0; packet < 100; packet++) rig.send(2);
  assert.equal(rig.rank(rig.find(2)), RANK.stranger);
});

Deno.test("SessionTable: when all are conversations the longest silent gives way, never one heard of within 5 s", () => {
  const rig = new Rig({ capacity: 64, portCount: 8 });
  for (let client = 0; client < 8; client++) {
    rig.converse(client);
    rig.now += SECOND / 2;
  }
  assert.equal(rig.add(100), -1); // client 0 was heard of 4 s ago
  assert.deepEqual([...rig.table.refused], [0, 1, 0]);
  assert.equal(REFUSED.ports, 1);
  rig.now += 2 * SECOND;
  assert.ok(rig.add(101) >= 0);
  assert.equal(rig.find(0), -1);
  for (let client = 1; client < 8; client++) assert.ok(rig.find(client) >= 0);
});

Deno.test("SessionTable: rows run out too, also for sessions without a translation port", () => {
  const rig = new Rig({ capacity: 16, portCount: 64 });
  for (let client = 0; client < 16; client++) assert.ok(rig.add(client, 0, 0) >= 0);
  for (let client = 16; client < 64; client++) assert.ok(rig.add(client, 0, client % 2) >= 0);
  assert.equal(rig.table.live, 16);
  for (let round = 0; round < 5; round++) {
    for (let client = 0; client < 64; client++) if (rig.find(client) >= 0) rig.send(client);
    rig.now += SECOND;
  }
  assert.equal(rig.add(1000, 0, 0), -1);
  assert.deepEqual([...rig.table.refused], [1, 0, 0]);
});

Deno.test("SessionTable: a session ends with its rule's time as it is now, and with its backend", () => {
  const rig = new Rig({});
  const at = rig.send(1);
  rig.now += ticksOf(IDLE_S * 1000);
  assert.ok(!rig.table.isOver(at, rig.now));
  rig.forward.forwards[forwardAt(0) + FORWARD.idle] = 5;
  rig.table.follow(rig.forward);
  assert.ok(rig.table.isOver(at, rig.now));
  rig.table.expire(rig.now, 64);
  assert.equal(rig.table.live, 0);
  const other = rig.send(2, 3);
  rig.generation(3, 2);
  assert.ok(rig.table.isOver(other, rig.now));
  rig.table.expire(rig.now, 64);
  assert.equal(rig.table.live, 0);
  assert.equal(rig.table.liveOfBackend[3], 0);
});

Deno.test("SessionTable: a session that moves keeps its rank, and gives its port back", () => {
  const rig = new Rig({ portCount: 4 });
  const at = rig.converse(1);
  const port = rig.table.words[at + SESSION.translationPort]!;
  assert.ok(rig.table.move(at, 2, rig.now, 1));
  assert.equal(rig.rank(at), RANK.conversation);
  assert.equal(rig.table.findByAnswer(port, 0, 0), -1);
  rig.answer(at);
  for (let client = 10; client < 14; client++) assert.ok(rig.add(client, 0) >= 0);
  assert.ok(rig.table.move(at, 2, rig.now, 0), "to a backend that sees the client itself");
  assert.equal(rig.table.words[at + SESSION.translationPort], 0);
  assert.ok(rig.table.move(at, 2, rig.now, 1), "and back");
  rig.answer(at);
});

/**
 * Adds clients that say nothing more.
 *
 * @returns For each: how many came since its port was given back; Infinity where nobody had it before.
 */
function floodPorts(rig: Rig, clients: number, first = 100_000): number[] {
  const holders = new Map<number, number>();
  const freed = new Map<number, number>();
  return Array.from({ length: clients }, (_, number) => {
    const at = rig.add(first + number);
    assert.ok(at >= 0);
    const port = rig.table.words[at + SESSION.translationPort]!;
    for (const [held, client] of holders) {
      if (rig.find(client) >= 0) continue;
      holders.delete(held);
      freed.set(held, number);
    }
    holders.set(port, first + number);
    return number - (freed.get(port) ?? -Infinity);
  });
}

const PORTS_OF_FLOOD = 320;

Deno.test("SessionTable: a port that was given back under pressure stays free while others are used, so that late answers reach nobody", () => {
  const rig = new Rig({ capacity: 4096, portCount: PORTS_OF_FLOOD });
  const since = floodPorts(rig, 3 * PORTS_OF_FLOOD);
  assert.ok(since.slice(0, PORTS_OF_FLOOD).every((adds) => adds === Infinity), "all of them are used before");
  const least = Math.min(...since.slice(2 * PORTS_OF_FLOOD));
  assert.ok(least >= 15, `one was used again after ${least} others: a 16th of ${PORTS_OF_FLOOD} is to be free`);
  assert.ok(rig.table.live > PORTS_OF_FLOOD * 0.9, `${rig.table.live} sessions`);
});

Deno.test("SessionTable: the ports that stay free are a part of what conversations leave, and conversations can have all", () => {
  const rig = new Rig({ capacity: 4096, portCount: PORTS_OF_FLOOD });
  const conversations = PORTS_OF_FLOOD - 32;
  for (let client = 0; client < conversations; client++) rig.converse(client);
  for (let number = 0; number < 1000; number++) {
    assert.ok(rig.add(100_000 + number) >= 0);
    const others = rig.table.live - conversations;
    assert.ok(number < 32 || others >= 29, `${others} of 32 ports have newcomers`);
  }
  for (let client = conversations; client < PORTS_OF_FLOOD; client++) {
    rig.converse(client);
    rig.now += 1;
  }
  assert.equal(rig.table.live, PORTS_OF_FLOOD);
  for (let client = 0; client < PORTS_OF_FLOOD; client++) assert.ok(rig.find(client) >= 0, `conversation ${client}`);
});

Deno.test("takeRows() makes from the rows what another table had: sessions, ports, ranks and counts", () => {
  const rig = new Rig({ capacity: 64, portCount: 24 });
  const clients = Array.from({ length: 50 }, (_, client) => client);
  for (const client of clients) {
    if (client % 5 === 0) rig.converse(client, client % BACKENDS);
    else rig.add(client, client % BACKENDS);
  }
  for (const client of clients.filter((client) => client % 7 === 3)) rig.table.remove(rig.find(client));
  const standing = (): unknown => {
    const { words, live, liveOfBackend, evicted, refused } = rig.table;
    const sessions = clients.map((client) => {
      const at = rig.find(client);
      if (at < 0) return null;
      const [port, backend, address] = [SESSION.translationPort, SESSION.backend, SESSION.address].map((word) =>
        words[at + word]!
      );
      assert.equal(rig.table.findByAnswer(port!, backend!, address!), at, "an answer finds its session");
      return [at, port, backend, rig.rank(at)];
    });
    return { sessions, live, liveOfBackend: [...liveOfBackend.subarray(0, BACKENDS)], evicted, refused: [...refused] };
  };
  const before = standing();
  rig.handOver();
  assert.deepEqual(standing(), before);
  // Rows that were free are used again, and ports that are taken are not given twice.
  for (let client = 100; client < 114; client++) assert.ok(rig.add(client, client % BACKENDS) >= 0);
  const ends = [...clients, ...Array.from({ length: 14 }, (_, index) => 100 + index)].flatMap((client) => {
    const at = rig.find(client);
    return at < 0 ? [] : [`${rig.table.words[at + SESSION.backend]} ${rig.table.words[at + SESSION.translationPort]}`];
  });
  assert.equal(new Set(ends).size, ends.length);
  assert.ok(rig.table.live <= 64);
  rig.now += ticksOf(IDLE_S * 1000) + 1;
  rig.table.expire(rig.now, 64);
  assert.equal(rig.table.live, 0);
});

Deno.test("takeRows() leaves out a session that was half made when its thread ended, and gives its port to others", () => {
  const rig = new Rig({ capacity: 64, portCount: 24 });
  for (let client = 0; client < 4; client++) rig.converse(client);
  const { words } = rig.table;
  const [half, twice, whole] = [0, 1, 2].map((client) => rig.find(client)) as [number, number, number];
  words[half + SESSION.flags] = words[half + SESSION.flags]! & ~1; // as while it is made, or moved
  const ofTwo = Math.max(twice, whole);
  words[ofTwo + SESSION.translationPort] = words[Math.min(twice, whole) + SESSION.translationPort]!;
  rig.handOver();
  assert.equal(rig.table.live, 2);
  assert.deepEqual([rig.find(0), rig.find(3) >= 0], [-1, true]);
  const ports = new Set([whole, twice].filter((at) => at !== ofTwo).map((at) => words[at + SESSION.translationPort]));
  ports.add(words[rig.find(3) + SESSION.translationPort]);
  for (let client = 10; client < 32; client++) ports.add(words[rig.add(client) + SESSION.translationPort]);
  assert.equal(ports.size, 24, "each port is one session's");
});

Deno.test("takeRows() of a table that was in use gives each free port once", () => {
  const rig = new Rig({ capacity: 64, portCount: 24 });
  for (let client = 0; client < 20; client++) rig.add(client);
  for (let client = 3; client < 20; client += 2) rig.table.remove(rig.find(client));
  const { evicted, refused } = rig.table;
  rig.table.prepareRows(rig.forward);
  rig.table.takeRows(rig.forward, { evicted, refused: [...refused] });
  for (let client = 100; client < 113; client++) assert.ok(rig.add(client) >= 0);
  const ports = new Set<number>();
  for (
    const client of [
      0,
      1,
      2,
      4,
      6,
      8,
      10,
      12,
      14,
      16,
      18,
      ...Array.from({ length: 13 }, (_, index) => 100 + index),
    ]
  ) {
    ports.add(rig.table.words[rig.find(client) + SESSION.translationPort]!);
  }
  assert.equal(ports.size, 24);
});
