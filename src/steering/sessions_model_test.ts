/** The session table against a plain Map: random operations, and clients whose hashes meet. */
import assert from "node:assert/strict";
import { IPV4, UdpPacket } from "../packet/udp.ts";
import { BACKEND, backendAt, createForwardTables, FORWARD, forwardAt, viewForwardTables } from "./forward_table.ts";
import { RANK } from "./ranked_set.ts";
import { RANK_SHIFT, SESSION, ticksOf } from "./session_row.ts";
import { SIZE } from "../../tests/support/sizes.ts";
import { SessionTable } from "./sessions.ts";

const OPERATIONS = SIZE.modelOperations;
const CLIENTS = 96;
const CAPACITY = 16;
/** Every other while only so many clients send, and most get into conversations. */
const REGULARS = 18;
const WHILE = 10_000;
const PORTS = 6;
const BACKENDS = 4;
const IDLE_S = 20;
const SPOKE = ticksOf(5000);
const SECOND = ticksOf(1000);

/** How many of two places a mask has. */
const placesIn = (mask: number): number => (mask & 1) + (mask >> 1);

/** What a client's session should be. */
interface Model {
  at: number;
  backend: number;
  /** Bits of places that it may be translated to; 0: it is not translated. */
  addresses: number;
  lastSeen: number;
  clientSeen: number;
  answered: boolean;
  evidence: number;
  rank: number;
}

Deno.test("SessionTable does what a Map does, over random operations with hashes that meet", () => {
  let state = 20261127;
  const random = (below: number): number => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x3c6ef372 | 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
  const forward = viewForwardTables(createForwardTables(4), 4)[0]!;
  forward.forwardOfRule[1] = 1;
  forward.forwards[forwardAt(0) + FORWARD.idle] = IDLE_S;
  const generations = Array.from({ length: BACKENDS }, () => 1);
  const table = new SessionTable({
    capacity: CAPACITY,
    firstPort: 61000,
    portCount: PORTS,
    key: { low: 1, high: 2 },
    ruleSlots: 4,
  });
  const follow = (): void => {
    generations.forEach((each, row) => forward.backends[backendAt(row) + BACKEND.generation] = each);
    table.follow(forward);
  };
  follow();
  const view = new DataView(new ArrayBuffer(64));
  const packet = new UdpPacket();
  packet.udp = 32;
  const model = new Map<number, Model>();
  let now = 1;

  const lookAt = (client: number): number => {
    view.setInt32(IPV4.source, client);
    view.setInt32(32, client << 16 | 7777);
    return client % 7; // clients meet in seven chains, and with whole hashes
  };
  const isOver = ({ lastSeen }: Model): boolean => now - lastSeen > ticksOf(IDLE_S * 1000);
  const forget = (victims: readonly [number, Model][]): void => {
    for (const [client] of victims) model.delete(client);
  };
  /** Sessions that are no longer in the table; each must have been allowed to go. */
  const gone = (): [number, Model][] =>
    [...model].filter(([client, { at }]) => {
      const hash = lookAt(client);
      return table.findByClient(view, packet, hash) !== at;
    });
  const rankOf = (at: number): number => (table.words[at + SESSION.flags]! >> RANK_SHIFT) & 3;
  /** The rank that gives way among some sessions. */
  const firstRank = (sessions: readonly Model[]): number => {
    const [strangers, guests] = [RANK.stranger, RANK.guest].map((rank) =>
      sessions.filter((session) => session.rank === rank).length
    );
    if (strangers! + guests! === 0) return RANK.conversation;
    return strangers! >= guests! ? RANK.stranger : RANK.guest;
  };

  for (let operation = 0; operation < OPERATIONS; operation++) {
    const client = random(Math.floor(operation / WHILE) % 2 === 0 ? CLIENTS : REGULARS);
    const hash = lookAt(client);
    const known = model.get(client);
    const at = table.findByClient(view, packet, hash);
    assert.equal(at, known?.at ?? -1);
    switch (random(8)) {
      case 0:
      case 1:
      case 2:
      case 3: { // the client sends
        if (known !== undefined) {
          table.touchByClient(at, 1, now);
          if (known.rank !== RANK.conversation) {
            if (known.answered || now - known.clientSeen >= SECOND) {
              known.evidence++;
              known.answered = false;
              known.rank = known.evidence >= 3 ? RANK.conversation : RANK.guest;
            }
            known.clientSeen = now;
          }
          known.lastSeen = now;
          break;
        }
        const backend = random(BACKENDS);
        const addresses = random(4);
        const before = [...model.values()];
        // Those that hold a port of the pools asked.
        const inPool = before.filter((other) =>
          other.backend === backend && other.addresses > 0 &&
          ((addresses >> table.words[other.at + SESSION.address]!) & 1) !== 0
        );
        const made = table.add(view, packet, hash, backend, 1, now, addresses);
        const victims = gone();
        for (const [, victim] of victims) {
          if (isOver(victim)) continue;
          const poolIsFull = addresses > 0 && inPool.length >= PORTS * placesIn(addresses);
          assert.ok(poolIsFull || before.length === CAPACITY, "nobody gives way while there is room");
          if (victim.rank === RANK.conversation) assert.ok(now - victim.lastSeen >= SPOKE);
          if (before.length < CAPACITY && placesIn(addresses) === 1) assert.equal(victim.rank, firstRank(inPool));
        }
        forget(victims);
        if (made < 0) {
          assert.equal(victims.length, 0);
          if (before.length < CAPACITY) assert.ok(addresses > 0 && inPool.length >= PORTS * placesIn(addresses));
          break;
        }
        model.set(client, {
          at: made,
          backend,
          addresses,
          lastSeen: now,
          clientSeen: now,
          answered: false,
          evidence: 0,
          rank: RANK.stranger,
        });
        break;
      }
      case 4:
      case 5: { // the backend answers
        if (known === undefined || known.addresses === 0) break;
        const { words } = table;
        const found = table.findByAnswer(
          words[at + SESSION.translationPort]!,
          known.backend,
          words[at + SESSION.address]!,
        );
        assert.equal(found, at);
        table.touchByAnswer(at, now);
        known.lastSeen = now;
        if (known.rank === RANK.conversation) break;
        known.answered = true;
        known.rank = Math.max(known.rank, RANK.guest);
        break;
      }
      case 6: // time passes, and what is over goes
        if (random(4) === 0) now += random(random(40) === 0 ? 400 : 8);
        if (random(50) === 0) {
          table.expire(now, CAPACITY);
          forget([...model].filter(([, session]) => isOver(session)));
        }
        break;
      default: // a backend goes, or a session moves
        if (random(200) === 0) {
          const row = random(BACKENDS);
          generations[row] = generations[row]! + 1;
          follow();
          for (const session of model.values()) {
            if (session.backend === row) assert.ok(table.isOver(session.at, now));
          }
          table.expire(now, CAPACITY);
          forget([...model].filter(([, session]) => session.backend === row || isOver(session)));
        } else if (known !== undefined) {
          const backend = random(BACKENDS);
          const addresses = random(4);
          const stays = backend === known.backend && known.addresses > 0 &&
            ((addresses >> table.words[at + SESSION.address]!) & 1) !== 0;
          const port = table.words[at + SESSION.translationPort];
          const moved = table.move(at, backend, now, addresses);
          forget(gone());
          assert.equal(model.get(client), known, "a session that moves stays");
          if (!moved) break;
          if (stays) assert.equal(table.words[at + SESSION.translationPort], port);
          Object.assign(known, { backend, addresses, answered: stays && known.answered });
        }
    }
    if (operation % 1000 !== 0) continue;
    assert.equal(table.live, model.size);
    const ofBackend = Array.from({ length: BACKENDS }, () => 0);
    for (const session of model.values()) {
      assert.equal(rankOf(session.at), session.rank);
      ofBackend[session.backend] = ofBackend[session.backend]! + 1;
    }
    assert.deepEqual([...table.liveOfBackend.subarray(0, BACKENDS)], ofBackend);
  }
  assert.ok(table.evicted > 100 && table.refused[0]! > 0 && table.refused[1]! > 0, "the table was full at times");
});
