/**
 * What workers need to know to forward: rules, backends, and how to reach them. There are two in shared memory, of
 * which one is in force (published.ts): the control thread writes the idle one whenever rules, health or next hops
 * change.
 *
 * After a change of rules a table has those of before too, for packets that were steered by them: there is room for
 * twice what a configuration may have.
 *
 * @module
 */
import { finishHash, mix } from "../packet/flow_hash.ts";
import { LINK_WORDS } from "../packet/link_header.ts";
import { ARRIVAL_WORDS } from "./arrivals.ts";
import { ROUTE_MTU_WORDS } from "./route_mtus.ts";
import {
  CLIENT_ADDRESSES,
  type ClientAddress,
  type Forward,
  FORWARD_MODE_TABLE,
  FORWARD_MODES,
  type ForwardMode,
  type Tunnel,
  TUNNELS,
} from "./forward.ts";

/** Backends a configuration can have, in all rules together. */
export const MAX_BACKENDS = 1024;
/** Rules that forward a configuration can have. */
export const MAX_FORWARDS = 64;
/**
 * Entries that the Maglev tables of a configuration can have together: one of the usual size for each rule and IP
 * version. Those that are not filled cost no memory.
 */
export const MAGLEV_ENTRIES = 2 * MAX_FORWARDS * 65_537;
/** What a table has room for. Row 0 is given to no backend. */
export const BACKEND_ROWS = 2 * MAX_BACKENDS + 1;
export const FORWARD_ROWS = 2 * MAX_FORWARDS;
export const MAGLEV_ROOM = 2 * MAGLEV_ENTRIES;
/** Words of a backend's row. Addresses as they stand in packets, an IPv4 address in the first of four words. */
export const BACKEND = {
  address: 0,
  /** What the box sends from. */
  source: 4,
  /** Port, as it stands in a packet read as a little-endian halfword; 0 with {@linkcode BACKEND_RANGE}. */
  port: 8,
  flags: 9,
  /** By which it is reached, and its packets come; see arrivals.ts. */
  arrival: 10,
  /** Largest IP packet on the way, bytes. */
  mtu: 11,
  /** Link header to its next hop; see packet/link_header.ts. */
  link: 12,
  linkBytes: 12 + LINK_WORDS,
  /** Differs for each backend that has the row after another; 0 where it has none. */
  generation: 13 + LINK_WORDS,
  /** Sessions that it may have; 0: as many as there are. */
  maxSessions: 14 + LINK_WORDS,
  /** Row of the backend that its sessions go to when it must not be used any more; 0: any that may. */
  moveTo: 15 + LINK_WORDS,
  /** With {@linkcode BACKEND_RANGE}: its ports, as numbers. From 0 on: packets keep theirs. */
  firstPort: 16 + LINK_WORDS,
  lastPort: 17 + LINK_WORDS,
} as const;
const BACKEND_SHIFT = 5;

/** The row has been given to a backend. */
export const BACKEND_KNOWN = 1;
export const BACKEND_IPV6 = 2;
/** It sees its clients' own addresses, or did: its answers are for them. */
export const BACKEND_KEEPS = 4;
/** It has many ports: which one is a packet's follows from the port that it came for. */
export const BACKEND_RANGE = 16;
/** The next hop's link address is known, and its interface is one of ours. */
export const BACKEND_REACHABLE = 8;

/**
 * Words of a rule that forwards. `mode`: one of {@linkcode FORWARD_MODE}, and above that one of
 * {@linkcode CLIENT_HEADER} or {@linkcode TUNNEL_FORMAT}, at {@linkcode WRAP_SHIFT}. `remapPort`: 0, or the port as it
 * stands in a packet read as a little-endian halfword. `choice`: how its backends are chosen, bits of
 * {@linkcode CHOICE}. `answers`: with {@linkcode CHOICE.answers}, how many end a session.
 */
export const FORWARD = {
  maglev4: 0,
  size4: 1,
  maglev6: 2,
  size6: 3,
  idle: 4,
  mode: 5,
  remapPort: 6,
  choice: 7,
  answers: 8,
  /** The rule's first port, which a backend's range begins with. */
  firstPort: 9,
  /** 1: sessions that ask in vain are counted. */
  watched: 12,
} as const;
const FORWARD_SHIFT = 4;
/** What differs from a backend for each flow, and sessions that end by silence only. */
export const CHOICE = {
  /** The client's address decides alone. */
  source: 1,
  /** Each packet goes to the next backend. */
  each: 2,
  /** Some backend may have only so many sessions. */
  bounded: 4,
  /** Sessions end after so many answers. */
  answers: 8,
} as const;
export const FORWARD_MODE = Object.fromEntries(FORWARD_MODES.map((mode, index) => [mode, index])) as Readonly<
  Record<ForwardMode, number>
>;

/** What is added to packets to backends; 0: nothing. Workers take a path of its own where the word `mode` has one. */
export const WRAP_SHIFT = 4;
export const CLIENT_HEADER = Object.fromEntries(CLIENT_ADDRESSES.map((kind, index) => [kind, index])) as Readonly<
  Record<ClientAddress, number>
>;
/** Nothing is added, and backends see the client's own address: translated sessions without a translation port. */
export const SOURCE_CLIENT = CLIENT_ADDRESSES.length;
/** Behind these, in the order of packet/tunnel.ts. */
export const FIRST_TUNNEL = SOURCE_CLIENT + 1;
export const TUNNEL_FORMAT = Object.fromEntries(TUNNELS.map((kind, index) => [kind, FIRST_TUNNEL + index])) as Readonly<
  Record<Tunnel, number>
>;

/** The word `mode` of a rule. */
export function modeWord(
  { mode, clientAddress, source, tunnel }: Pick<Forward, "mode" | "clientAddress" | "source" | "tunnel">,
): number {
  const { translates } = FORWARD_MODE_TABLE[mode];
  // To sessions it is like direct return: they have no translation port.
  if (translates && source === "client") return FORWARD_MODE.dsr | SOURCE_CLIENT << WRAP_SHIFT;
  const wrap = translates ? CLIENT_HEADER[clientAddress] : tunnel === null ? 0 : TUNNEL_FORMAT[tunnel];
  return FORWARD_MODE[mode] | wrap << WRAP_SHIFT;
}

/** Own addresses that sessions can be translated to, for each IP version. */
export const MAX_SOURCES = 8;
/**
 * Words about them: by IP version, a bit for each place that has one (0: sessions are translated to the address that
 * the route to a backend names), then the addresses by place, and the places' generations, which differ for each
 * address that has a place after another.
 */
export const SOURCES = {
  places4: 0,
  places6: 1,
  first4: 4,
  first6: 4 + MAX_SOURCES * 4,
  generation4: 4 + MAX_SOURCES * 8,
  generation6: 4 + MAX_SOURCES * 9,
} as const;
const SOURCE_WORDS = SOURCES.generation6 + MAX_SOURCES;

/**
 * Words about sessions whose clients keep their addresses (kept_clients.ts): where the table of these is in memory
 * (zero: there is none), its sets less one, the key of its hash, and the slot that answers count with.
 */
export const KEPT = { addressLow: 0, addressHigh: 1, setMask: 2, keyLow: 3, keyHigh: 4, rule: 5 } as const;
const KEPT_WORDS = 6;

/** A power of two, so large that searches are short. */
const INDEX_SIZE = 8 * MAX_BACKENDS;
export const INDEX_MASK = INDEX_SIZE - 1;
const HALVES = 2;

/** One of the two tables. */
export interface ForwardTable {
  /** Number of the forward by rule slot, plus one; 0: the rule does not forward. */
  readonly forwardOfRule: Uint8Array;
  readonly forwards: Int32Array;
  readonly backends: Int32Array;
  /** Rows by address and port, plus one: open addressing. */
  readonly index: Uint16Array;
  readonly maglev: Uint16Array;
  readonly sources: Int32Array;
  /** See arrivals.ts. */
  readonly arrivals: Int32Array;
  /** See route_mtus.ts. */
  readonly routeMtus: Int32Array;
  /** {@linkcode KEPT} */
  readonly kept: Int32Array;
  /** By forward and backend's row ({@linkcode usableAt}): 1 where the rule's sessions with the backend may go on. */
  readonly usable: Uint8Array;
}

function bytesOf(ruleSlots: number): readonly number[] {
  const padded = (ruleSlots + 3) & ~3;
  return [
    padded,
    FORWARD_ROWS << (FORWARD_SHIFT + 2),
    BACKEND_ROWS << (BACKEND_SHIFT + 2),
    INDEX_SIZE * 2,
    MAGLEV_ROOM * 2,
    SOURCE_WORDS * 4,
    ARRIVAL_WORDS * 4,
    ROUTE_MTU_WORDS * 4,
    KEPT_WORDS * 4,
    FORWARD_ROWS * BACKEND_ROWS,
  ];
}

/** Memory for both tables; pages nobody writes to cost nothing. */
export function createForwardTables(ruleSlots: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HALVES * bytesOf(ruleSlots).reduce((sum, bytes) => sum + bytes, 0));
}

export function viewForwardTables(memory: SharedArrayBuffer, ruleSlots: number): readonly ForwardTable[] {
  const sizes = bytesOf(ruleSlots);
  let at = 0;
  const next = (part: number): [SharedArrayBuffer, number] => [memory, (at += sizes[part]!) - sizes[part]!];
  return Array.from({ length: HALVES }, () => ({
    forwardOfRule: new Uint8Array(...next(0), ruleSlots),
    forwards: new Int32Array(...next(1), FORWARD_ROWS << FORWARD_SHIFT),
    backends: new Int32Array(...next(2), BACKEND_ROWS << BACKEND_SHIFT),
    index: new Uint16Array(...next(3), INDEX_SIZE),
    maglev: new Uint16Array(...next(4), MAGLEV_ROOM),
    sources: new Int32Array(...next(5), SOURCE_WORDS),
    arrivals: new Int32Array(...next(6), ARRIVAL_WORDS),
    routeMtus: new Int32Array(...next(7), ROUTE_MTU_WORDS),
    kept: new Int32Array(...next(8), KEPT_WORDS),
    usable: new Uint8Array(...next(9), FORWARD_ROWS * BACKEND_ROWS),
  }));
}

/** Index of the first word of a backend's row. */
export function backendAt(row: number): number {
  return row << BACKEND_SHIFT;
}

/** Index of the first word of a forward. */
export function forwardAt(forward: number): number {
  return forward << FORWARD_SHIFT;
}

/** Index in {@linkcode ForwardTable.usable} of a forward's first backend; add the row. Hot path: no allocation. */
export function usableAt(forward: number): number {
  return forward * BACKEND_ROWS;
}

/** Index of the first word of a translation address. Hot path: no allocation. */
export function sourceAt(isIpv6: boolean, place: number): number {
  return (isIpv6 ? SOURCES.first6 : SOURCES.first4) + (place << 2);
}

/** Index of the generation of a translation address. Hot path: no allocation. */
export function sourceGenerationAt(isIpv6: boolean, place: number): number {
  return (isIpv6 ? SOURCES.generation6 : SOURCES.generation4) + place;
}

/** Makes the rows that are given away findable by address and port. */
export function indexBackends({ backends, index }: ForwardTable): void {
  index.fill(0);
  for (let row = 0; row < BACKEND_ROWS; row++) {
    const at = backendAt(row);
    const flags = backends[at + BACKEND.flags]!;
    if ((flags & BACKEND_KNOWN) === 0) continue;
    let slot = hashOfWords(backends, at, backends[at + BACKEND.port]!, (flags & BACKEND_IPV6) !== 0) & INDEX_MASK;
    while (index[slot] !== 0) slot = (slot + 1) & INDEX_MASK;
    index[slot] = row + 1;
  }
}

export function hashOfWords(words: Int32Array, at: number, port: number, isIpv6: boolean): number {
  let hash = mix(port, words[at]!);
  for (let word = 1; isIpv6 && word < 4; word++) hash = mix(hash, words[at + word]!);
  return finishHash(hash);
}
