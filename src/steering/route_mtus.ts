/**
 * MTUs of routes to clients, where they are less than that of the interface: `ip route … mtu 1300`.
 *
 * They are few, and matter to large answers only: those are compared with every prefix, longest first, which costs what
 * fits the least of them one comparison.
 *
 * @module
 */
import { cameBy, NO_ARRIVAL } from "./arrivals.ts";

/** The kernel's way to a prefix. */
export interface RouteMtu {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly prefixLength: number;
  /** Where packets leave; {@linkcode NO_ARRIVAL}: by several interfaces. */
  readonly arrival: number;
  /** 0: as the interface says. */
  readonly mtu: number;
}

/** The arrival of a route by an interface that is not steered: no packet leaves by it. */
export const NOWHERE = -2;
/** Of each IP version. */
export const MAX_ROUTE_MTUS = 256;
const NO_LIMIT = 0x7fffffff;
/** Words of a row, and where its parts are: the mask lies behind the prefix. */
const ADDRESS_WORDS = 4;
const ROW = { prefix: 0, mask: ADDRESS_WORDS, arrival: 2 * ADDRESS_WORDS, mtu: 2 * ADDRESS_WORDS + 1 } as const;
const ROW_WORDS = 10;
const [LEAST, COUNT, ROWS] = [0, 1, 2];
const FAMILY_WORDS = ROWS + MAX_ROUTE_MTUS * ROW_WORDS;
/** Of both IP versions. */
export const ROUTE_MTU_WORDS = 2 * FAMILY_WORDS;

/**
 * The largest IP packet that the route to a client allows, bytes; without a limit where the packet is small enough for
 * all routes. Hot path: no allocation.
 *
 * @param address Where the client's address begins in `words`, as it stands in packets.
 * @param way The arrival by which the packet leaves.
 */
export function routeMtuTo(
  mtus: Int32Array,
  words: Int32Array,
  address: number,
  isIpv6: boolean,
  way: number,
  ipBytes: number,
): number {
  const family = isIpv6 ? FAMILY_WORDS : 0;
  if (ipBytes <= mtus[family + LEAST]!) return NO_LIMIT;
  const end = family + ROWS + mtus[family + COUNT]! * ROW_WORDS;
  for (let row = family + ROWS; row < end; row += ROW_WORDS) {
    let word = 0;
    const last = isIpv6 ? ADDRESS_WORDS : 1;
    while (word < last && ((words[address + word]! ^ mtus[row + word]!) & mtus[row + ROW.mask + word]!) === 0) word++;
    if (word < last) continue;
    const arrival = mtus[row + ROW.arrival]!;
    return arrival === NO_ARRIVAL || cameBy(way, arrival) ? mtus[row + ROW.mtu]! : NO_LIMIT;
  }
  return NO_LIMIT;
}

/**
 * Writes all rows: those that say something, which are routes with an MTU and those without one inside their prefixes.
 *
 * @returns False where they are too many: then packets may be as large as their interface allows.
 */
export function writeRouteMtus(mtus: Int32Array, routes: readonly RouteMtu[]): boolean {
  const fit = [4, 16].map((bytes, index) => {
    const family = index * FAMILY_WORDS;
    const telling = tellingRoutes(routes.filter(({ address }) => address.length === bytes));
    const isFit = telling.length <= MAX_ROUTE_MTUS;
    const written = isFit ? telling : [];
    mtus[family + LEAST] = written.reduce((least, { mtu }) => mtu === 0 ? least : Math.min(least, mtu), NO_LIMIT);
    mtus[family + COUNT] = written.length;
    written.forEach((route, number) => writeRow(mtus, family + ROWS + number * ROW_WORDS, route));
    return isFit;
  });
  return fit.every((isFit) => isFit);
}

/** Longest first, without those that say what the next longer route around them says. */
function tellingRoutes(routes: readonly RouteMtu[]): RouteMtu[] {
  const shortestFirst = routes.toSorted((one, other) => one.prefixLength - other.prefixLength);
  const telling: RouteMtu[] = [];
  // Without a route that has an MTU, which is nearly always so, the others need not be looked at.
  const shortest = shortestFirst.find(({ mtu }) => mtu !== 0)?.prefixLength ?? Infinity;
  for (const route of shortestFirst) {
    if (route.prefixLength < shortest) continue;
    if (route.mtu === 0 && !telling.some((around) => contains(around, route))) continue;
    telling.unshift(route);
  }
  return telling;
}

function contains({ address, prefixLength }: RouteMtu, inner: RouteMtu): boolean {
  return prefixLength <= inner.prefixLength &&
    address.every((byte, index) => ((byte ^ inner.address[index]!) & maskByte(prefixLength, index)) === 0);
}

function maskByte(prefixLength: number, index: number): number {
  const bits = Math.min(8, Math.max(0, prefixLength - index * 8));
  return 0xff << (8 - bits) & 0xff;
}

function writeRow(mtus: Int32Array, at: number, { address, prefixLength, arrival, mtu }: RouteMtu): void {
  const bytes = new Uint8Array(mtus.buffer, mtus.byteOffset + at * 4, ROW_WORDS * 4).fill(0);
  bytes.set(address);
  bytes.set(address.map((_, index) => maskByte(prefixLength, index)), ROW.mask * 4);
  mtus[at + ROW.arrival] = arrival;
  mtus[at + ROW.mtu] = mtu === 0 ? NO_LIMIT : mtu;
}
