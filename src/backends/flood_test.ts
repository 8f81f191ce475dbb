/**
 * Floods from made-up sources against the sessions of a box with the documented defaults: two workers, two backends.
 * Time is simulated, so a slow machine changes nothing. What a flood does to a real box is in
 * tests/e2e/forward_flood_test.ts.
 */
import assert from "node:assert/strict";
import { SIZE } from "../../tests/support/sizes.ts";
import { parseConfig } from "../config/parse.ts";
import { IPV4, IPV6, UdpPacket } from "../packet/udp.ts";
import {
  BACKEND,
  backendAt,
  createForwardTables,
  FORWARD,
  forwardAt,
  viewForwardTables,
} from "../steering/forward_table.ts";
import { SESSION, TICK_MS } from "../steering/session_row.ts";
import { SessionTable } from "../steering/sessions.ts";
import { forwarderOptions } from "./translation.ts";

const WORKERS = 2;
const BACKENDS = [1, 2];
const RULE = 1;
const CONVERSATIONS = 200;
const NEWCOMERS = 100;
const TRIES = 3;
/** Of a packet to a backend and its answer. */
const ROUND_TRIP_MS = 1;
const PER_SECOND_MS = 1000;
/** Milliseconds in which conversations begin, before the flood. */
const WARM_MS = 5000;
const FLOOD_S = 40;

interface Flood {
  readonly packetsPerSecond: number;
  readonly seconds: number;
  /** How often each source sends. */
  readonly repeats: number;
  /** Whether backends answer made-up sources. */
  readonly answered: boolean;
  readonly isIpv6: boolean;
}

/** The workers' session tables, as the forwarder uses them. */
class Box {
  readonly tables: readonly SessionTable[];
  readonly #view = new DataView(new ArrayBuffer(64));
  readonly #packet = new UdpPacket();
  #random = 20261128;

  constructor(private readonly isIpv6: boolean) {
    const text = `version: 1\ninterfaces: [{ name: eth0 }]\nworkers: { count: ${WORKERS} }\n`;
    const { forwarding } = parseConfig(text, { file: "steering.yaml", cpuCount: WORKERS });
    const forward = viewForwardTables(createForwardTables(4), 4)[0]!;
    forward.forwardOfRule[RULE] = 1;
    forward.forwards[forwardAt(0) + FORWARD.idle] = 60;
    for (const row of BACKENDS) forward.backends[backendAt(row) + BACKEND.generation] = 1;
    this.tables = Array.from({ length: WORKERS }, (_, worker) => {
      const key = { low: 7 + worker, high: 8 };
      const table = new SessionTable(forwarderOptions(forwarding, worker, WORKERS, key, 4));
      table.follow(forward);
      return table;
    });
    this.#packet.isIpv6 = isIpv6;
    this.#packet.udp = 48;
  }

  /** 32 random bits. */
  next(): number {
    this.#random = Math.imul(this.#random ^ (this.#random >>> 15), 0x2c1b3c6d) + 0x3c6ef372 | 0;
    return this.#random ^ (this.#random >>> 13);
  }

  /** A packet of a client. @returns Whether it was forwarded. */
  send(client: number, ms: number): boolean {
    const now = Math.trunc(ms / TICK_MS);
    const table = this.#tableOf(client);
    const hash = this.#lookAt(client, table);
    const at = table.findByClient(this.#view, this.#packet, hash);
    if (at >= 0 && !table.isOver(at, now)) {
      table.touchByClient(at, RULE, now);
      return true;
    }
    if (at >= 0) table.remove(at);
    const backend = BACKENDS[(client >>> 1) % BACKENDS.length]!;
    return table.add(this.#view, this.#packet, hash, backend, RULE, now, 1) >= 0;
  }

  /** An answer to a client. @returns Whether it is for the session that the client has. */
  answer(client: number, ms: number): boolean {
    const now = Math.trunc(ms / TICK_MS);
    const table = this.#tableOf(client);
    const at = table.findByClient(this.#view, this.#packet, this.#lookAt(client, table));
    if (at < 0) return false;
    const { words } = table;
    assert.equal(table.findByAnswer(words[at + SESSION.translationPort]!, words[at + SESSION.backend]!, 0), at);
    table.touchByAnswer(at, now);
    return true;
  }

  #tableOf(client: number): SessionTable {
    return this.tables[(client >>> 3) % WORKERS]!;
  }

  #lookAt(client: number, table: SessionTable): number {
    this.#view.setInt32(this.isIpv6 ? IPV6.source + 12 : IPV4.source, client);
    this.#view.setInt32(this.#packet.udp, 40_000 << 16 | 7777);
    return table.hashOf(this.#view, this.#packet);
  }
}

/** @returns Packets of conversations that were not answered, and newcomers that were answered. */
function flood({ packetsPerSecond, seconds, repeats, answered, isIpv6 }: Flood): { lost: number; served: number } {
  const box = new Box(isIpv6);
  const conversations = Array.from({ length: CONVERSATIONS }, () => box.next());
  const newcomers = Array.from({ length: NEWCOMERS }, () => box.next());
  const served = new Set<number>();
  const endMs = WARM_MS + seconds * 1000;
  let lost = 0;
  let due = 0;
  let under: number[] = [];
  let again: number[] = [];
  for (let ms = 0; ms < endMs + TRIES * 1000; ms += ROUND_TRIP_MS) {
    for (const client of under) box.answer(client, ms);
    under = [];
    for (const [index, client] of conversations.entries()) {
      if (ms % PER_SECOND_MS === index % PER_SECOND_MS && !box.send(client, ms)) lost++;
      if (ms % PER_SECOND_MS === (index + ROUND_TRIP_MS) % PER_SECOND_MS && ms >= PER_SECOND_MS) {
        if (!box.answer(client, ms)) lost++;
      }
    }
    const isFlooded = ms >= WARM_MS;
    if (isFlooded) due += packetsPerSecond * ROUND_TRIP_MS / 1000;
    const repeated = again;
    again = [];
    for (const source of repeated) box.send(source, ms);
    for (due -= repeated.length; due >= 1; due--) {
      const source = box.next();
      if (!box.send(source, ms)) continue;
      if (answered) under.push(source);
      if (repeats > 1) again.push(source);
    }
    for (const [index, client] of newcomers.entries()) {
      const sinceMs = ms - endMs - index; // not all at once
      if (sinceMs < 0 || served.has(client)) continue;
      if (sinceMs % 1000 === ROUND_TRIP_MS && box.answer(client, ms)) served.add(client);
      else if (sinceMs % 1000 === 0) box.send(client, ms);
    }
  }
  return { lost, served: served.size };
}

for (const packetsPerSecond of [400, 5000, 50_000]) {
  // Far more than the tables hold, in either case.
  const seconds = packetsPerSecond === 50_000 ? SIZE.floodSeconds : FLOOD_S;
  for (const repeats of [1, 2]) {
    const sources = repeats === 1 ? "made-up sources" : "made-up sources that send twice";
    Deno.test(`${packetsPerSecond} packets a second from ${sources}: new clients are served, and conversations lose nothing`, () => {
      for (const answered of [false, true]) {
        for (const isIpv6 of [false, true]) {
          const { lost, served } = flood({ packetsPerSecond, seconds, repeats, answered, isIpv6 });
          const where = `${isIpv6 ? "IPv6" : "IPv4"}, ${answered ? "answered" : "not answered"}`;
          assert.equal(lost, 0, where);
          assert.ok(served >= 95, `${served} of ${NEWCOMERS} served: ${where}`);
        }
      }
    });
  }
}
