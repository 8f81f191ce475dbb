/**
 * How a worker chooses backends where a rule does not want one for each flow, or a backend may have only so many
 * sessions. Rules that say nothing about it are served by {@linkcode chooseBackend} alone.
 *
 * @module
 */
import { flowHash, mix, sourceHash } from "../packet/flow_hash.ts";
import type { UdpPacket } from "../packet/udp.ts";
import { FLOW_SEED } from "./forward_lookup.ts";
import { BACKEND, backendAt, CHOICE, FORWARD, type ForwardTable } from "./forward_table.ts";
import { NO_BACKEND } from "./maglev.ts";
import type { SessionTable } from "./sessions.ts";

/** Every backend that was looked at has as many sessions as it may have. */
export const ALL_FULL = 0x10000;

/** Entries that are looked at for a backend with room: it is found if one in a hundred entries is of such a one. */
const LOOKS = 256;

// An import is looked up at each use, a module's own constant is part of the code.
const { source: BY_SOURCE, bounded: BOUNDED } = CHOICE;
const { maglev4: MAGLEV4, maglev6: MAGLEV6, size4: SIZE4, size6: SIZE6, choice: CHOICE_WORD } = FORWARD;
const { maxSessions: MAX_SESSIONS } = BACKEND;
const noBackend = NO_BACKEND;
const allFull = ALL_FULL;
const seed = FLOW_SEED;

export class Chooser {
  /** Where the packets of rules whose packets are spread go on in the table. */
  #turn = 0;
  /** Of what {@linkcode spread} found. */
  row = 0;
  hash = 0;

  constructor(private readonly sessions: SessionTable) {}

  /**
   * The row of the backend for a new session, NO_BACKEND, or ALL_FULL. Hot path: no allocation.
   *
   * @param forward Index of the first word of the rule's forward.
   */
  choose(table: ForwardTable, view: DataView, packet: UdpPacket, forward: number): number {
    const { forwards, maglev } = table;
    const size = forwards[forward + (packet.isIpv6 ? SIZE6 : SIZE4)]!;
    if (size === 0) return noBackend;
    const at = forwards[forward + (packet.isIpv6 ? MAGLEV6 : MAGLEV4)]!;
    const choice = forwards[forward + CHOICE_WORD]!;
    const hash = (choice & BY_SOURCE) !== 0 ? sourceHash(view, packet, seed) : flowHash(view, packet, seed);
    let entry = (hash >>> 0) % size;
    if ((choice & BOUNDED) === 0) return maglev[at + entry]!;
    for (let look = 0; look < LOOKS; look++) {
      const row = maglev[at + entry]!;
      if (row === noBackend || this.#hasRoom(table, row)) return row;
      entry = entry + 1 === size ? 0 : entry + 1;
    }
    return allFull;
  }

  /**
   * Where a packet goes whose rule spreads packets: {@linkcode row} is its backend's, NO_BACKEND or ALL_FULL, and
   * {@linkcode hash} its session's. Hot path: no allocation.
   *
   * @returns The session that its flow has with the backend, or -1.
   */
  spread(table: ForwardTable, view: DataView, packet: UdpPacket, forward: number, flow: number): number {
    const { forwards, maglev } = table;
    const size = forwards[forward + (packet.isIpv6 ? SIZE6 : SIZE4)]!;
    this.row = noBackend;
    if (size === 0) return -1;
    const at = forwards[forward + (packet.isIpv6 ? MAGLEV6 : MAGLEV4)]!;
    const isBounded = (forwards[forward + CHOICE_WORD]! & BOUNDED) !== 0;
    for (let look = 0; look < LOOKS; look++) {
      // Its entries stand in an order that looks like chance, so any run of them is spread by weight.
      this.#turn = this.#turn + 1 >= size ? 0 : this.#turn + 1;
      const row = maglev[at + this.#turn]!;
      if (row === noBackend) return -1;
      this.row = row;
      this.hash = mix(flow, row); // tells the sessions of one flow with several backends apart
      const session = this.sessions.findByClient(view, packet, this.hash);
      if (session >= 0 || !isBounded || this.#hasRoom(table, row)) return session;
    }
    this.row = allFull;
    return -1;
  }

  #hasRoom({ backends }: ForwardTable, row: number): boolean {
    const most = backends[backendAt(row) + MAX_SESSIONS]!;
    return most === 0 || this.sessions.liveWith(row) < most;
  }
}
