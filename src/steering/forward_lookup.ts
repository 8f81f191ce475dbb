/**
 * What a worker looks up in the forward table for a packet.
 *
 * @module
 */
import { finishHash, flowHash, mix } from "../packet/flow_hash.ts";
import { portInPacket, type UdpPacket } from "../packet/udp.ts";
import { mtuOf } from "./arrivals.ts";
import {
  BACKEND,
  BACKEND_IPV6,
  BACKEND_RANGE,
  backendAt,
  FORWARD,
  type ForwardTable,
  INDEX_MASK,
  sourceAt,
  SOURCES,
} from "./forward_table.ts";
import { NO_BACKEND } from "./maglev.ts";
import { routeMtuTo } from "./route_mtus.ts";
import { sameAddress } from "./session_row.ts";

/** The same on every box, so that boxes side by side choose the same backend. */
export const FLOW_SEED = 0;

/**
 * The row of the backend with this address and port, or -1: one with a range of ports is not found. Hot path: no
 * allocation.
 *
 * @param address Where the address stands in `view`.
 * @param port As it stands in the packet, as a little-endian halfword.
 */
export function findBackend(
  table: ForwardTable,
  view: DataView,
  address: number,
  port: number,
  isIpv6: boolean,
): number {
  if (port === 0) return -1; // rows of ranges have it
  const { backends, index } = table;
  const first = view.getInt32(address, true);
  let hash = mix(port, first);
  for (let word = 4; isIpv6 && word < 16; word += 4) hash = mix(hash, view.getInt32(address + word, true));
  for (let slot = finishHash(hash) & INDEX_MASK; index[slot] !== 0; slot = (slot + 1) & INDEX_MASK) {
    const row = index[slot]! - 1;
    const at = backendAt(row);
    if (
      backends[at] === first && backends[at + BACKEND.port] === port &&
      ((backends[at + BACKEND.flags]! & BACKEND_IPV6) !== 0) === isIpv6 &&
      (!isIpv6 || (backends[at + 1] === view.getInt32(address + 4, true) &&
        backends[at + 2] === view.getInt32(address + 8, true) &&
        backends[at + 3] === view.getInt32(address + 12, true)))
    ) return row;
  }
  return -1;
}

/**
 * The row of a backend with this address whose range has this port, or -1: the first, or one of those behind it. Hot
 * path: no allocation.
 *
 * @param skip How many such rows are passed over.
 */
export function findRange(
  table: ForwardTable,
  view: DataView,
  address: number,
  port: number,
  isIpv6: boolean,
  skip: number,
): number {
  const { backends, index } = table;
  const first = view.getInt32(address, true);
  const number = portInPacket(port); // swapping twice
  let hash = mix(0, first);
  for (let word = 4; isIpv6 && word < 16; word += 4) hash = mix(hash, view.getInt32(address + word, true));
  let left = skip;
  for (let slot = finishHash(hash) & INDEX_MASK; index[slot] !== 0; slot = (slot + 1) & INDEX_MASK) {
    const row = index[slot]! - 1;
    const at = backendAt(row);
    const flags = backends[at + BACKEND.flags]!;
    if ((flags & BACKEND_RANGE) === 0 || ((flags & BACKEND_IPV6) !== 0) !== isIpv6) continue;
    if (backends[at + BACKEND.firstPort]! > number || backends[at + BACKEND.lastPort]! < number) continue;
    if (sameAddress(view, address, backends, at + BACKEND.address, isIpv6) && left-- === 0) return row;
  }
  return -1;
}

/**
 * The port that a backend gets a rule's packets on, as it stands in packets. Hot path: no allocation.
 *
 * @param backend Index of the first word of the backend's row; `forward` that of the rule's forward.
 * @param port That the client has sent to.
 */
export function portAt({ backends, forwards }: ForwardTable, backend: number, forward: number, port: number): number {
  if ((backends[backend + BACKEND.flags]! & BACKEND_RANGE) === 0) return backends[backend + BACKEND.port]!;
  const first = backends[backend + BACKEND.firstPort]!;
  return portInPacket(first === 0 ? port : (first + port - forwards[forward + FORWARD.firstPort]!) & 0xffff);
}

/**
 * The backend row that a new flow belongs to, or NO_BACKEND. Hot path: no allocation.
 *
 * @param forward Index of the first word of the rule's forward.
 */
export function chooseBackend(table: ForwardTable, view: DataView, packet: UdpPacket, forward: number): number {
  const { forwards, maglev } = table;
  const at = forwards[forward + (packet.isIpv6 ? FORWARD.maglev6 : FORWARD.maglev4)]!;
  const size = forwards[forward + (packet.isIpv6 ? FORWARD.size6 : FORWARD.size4)]!;
  if (size === 0) return NO_BACKEND;
  return maglev[at + (flowHash(view, packet, FLOW_SEED) >>> 0) % size]!;
}

/** The places of addresses of the box that a session can be translated to, a bit for each. Hot path. */
export function sourcePlaces({ sources }: ForwardTable, isIpv6: boolean): number {
  return sources[isIpv6 ? SOURCES.places6 : SOURCES.places4]! || 1; // 0: the one that the route names
}

/** The place of the address that stands at `at` in a packet of a backend, or -1. Hot path: no allocation. */
export function findSource(table: ForwardTable, view: DataView, at: number, isIpv6: boolean, row: number): number {
  const { backends, sources } = table;
  const places = sources[isIpv6 ? SOURCES.places6 : SOURCES.places4]!;
  if (places === 0) return sameAddress(view, at, backends, backendAt(row) + BACKEND.source, isIpv6) ? 0 : -1;
  for (let place = 0; places >> place !== 0; place++) {
    const isThere = ((places >> place) & 1) !== 0;
    if (isThere && sameAddress(view, at, sources, sourceAt(isIpv6, place), isIpv6)) return place;
  }
  return -1;
}

/** Where those addresses are kept. Hot path: no allocation. */
export function sourceWords({ backends, sources }: ForwardTable, isIpv6: boolean): Int32Array {
  return sources[isIpv6 ? SOURCES.places6 : SOURCES.places4] === 0 ? backends : sources;
}

/** The first word there of one of them. Hot path. @param backend Index of the first word of the backend's row. */
export function sourceOf({ sources }: ForwardTable, isIpv6: boolean, backend: number, address: number): number {
  const places = sources[isIpv6 ? SOURCES.places6 : SOURCES.places4];
  return places === 0 ? backend + BACKEND.source : sourceAt(isIpv6, address);
}

/**
 * The largest IP packet that may go to a client: by the interface it leaves by, and by the kernel's route. Hot path: no
 * allocation.
 *
 * @param client Where the client's address begins in `words`.
 * @param way The arrival of the client's packets, by which the packet leaves.
 * @param ipBytes Of the packet.
 */
export function mtuToClient(
  { arrivals, routeMtus }: ForwardTable,
  words: Int32Array,
  client: number,
  isIpv6: boolean,
  way: number,
  ipBytes: number,
): number {
  const mtu = mtuOf(arrivals, way);
  const ofRoute = routeMtuTo(routeMtus, words, client, isIpv6, way, ipBytes);
  return ofRoute < mtu ? ofRoute : mtu;
}
