/**
 * By what packets come: an interface, and on it a VLAN. An arrival is one number, and so is the way back.
 *
 * The forward table says of each arrival how large packets may be that leave by it, and whether backends are behind it.
 *
 * @module
 */
import type { UdpPacket } from "../packet/udp.ts";

/** Interfaces a configuration can have. */
export const MAX_INTERFACES = 255;
/** The arrival of what has not been seen yet: that of no packet. */
export const NO_ARRIVAL = -1;
/** In place of a session: a packet did not come by what leads to its sender. */
export const WRONG_ARRIVAL = -2;

/** The interface is the highest byte; below it are the ids of two VLAN tags, the outer one lowest. */
const INTERFACE_SHIFT = 24;
const VLANS_MASK = (1 << INTERFACE_SHIFT) - 1;
const VLAN_BITS = 12;
const VLAN_MASK = (1 << VLAN_BITS) - 1;
const ETHERNET_BYTES = 14;

/** Words of a row. A row whose `known` is 0 has not been given to an arrival. */
const ROW = { arrival: 0, known: 1, mtu: 2, backends: 3 } as const;
const ROW_SHIFT = 2;
/** A row for each interface itself, then an open-addressed table for VLANs: a power of two. */
const VLAN_ROWS_AT = 256;
const VLAN_ROWS = 4096;
/** So that searches are short. VLANs beyond them count as their interface does. */
const MAX_VLANS = VLAN_ROWS >> 1;
/** Words of all rows. */
export const ARRIVAL_WORDS = (VLAN_ROWS_AT + VLAN_ROWS) << ROW_SHIFT;
const NO_LIMIT = 0x7fffffff;

/**
 * The arrival of a packet. Hot path: no allocation.
 *
 * @param from Number of the interface it came by.
 */
export function arrivalOf(view: DataView, { ethernet, ip }: UdpPacket, from: number): number {
  const tags = ip - ethernet - ETHERNET_BYTES;
  if (tags === 0) return from << INTERFACE_SHIFT;
  const outer = view.getUint16(ethernet + ETHERNET_BYTES) & VLAN_MASK;
  return tags === 4
    ? from << INTERFACE_SHIFT | outer
    : pack(from, outer, view.getUint16(ethernet + ETHERNET_BYTES + 4) & VLAN_MASK);
}

/** The arrival of packets with these VLAN tags, outer first: two at most, as workers read them. */
export function arrivalBy(networkInterface: number, vlan: readonly { readonly id: number }[]): number {
  const [outer = 0, inner = 0] = vlan.map(({ id }) => id & VLAN_MASK);
  return pack(networkInterface, outer, inner);
}

/** An id of 0 gives a priority only: the tag might as well not be there. */
function pack(networkInterface: number, outer: number, inner: number): number {
  return networkInterface << INTERFACE_SHIFT | (outer === 0 ? inner : inner << VLAN_BITS | outer);
}

/** The same arrival on an interface of another number; -1: {@linkcode NO_ARRIVAL}. */
export function onInterface(arrival: number, networkInterface: number): number {
  return networkInterface < 0 ? NO_ARRIVAL : networkInterface << INTERFACE_SHIFT | arrival & VLANS_MASK;
}

/** Number of an arrival's interface. Hot path. */
export function interfaceOf(arrival: number): number {
  return arrival >>> INTERFACE_SHIFT;
}

/**
 * Whether a packet came as it should. A packet without a tag may have had one that the NIC has taken off. Hot path.
 */
export function cameBy(arrival: number, expected: number): boolean {
  return arrival === expected ||
    ((arrival & VLANS_MASK) === 0 && arrival >>> INTERFACE_SHIFT === expected >>> INTERFACE_SHIFT);
}

/** The largest IP packet that may leave by an arrival, bytes. Hot path: no allocation. */
export function mtuOf(rows: Int32Array, arrival: number): number {
  const mtu = rows[findRow(rows, arrival) + ROW.mtu]!;
  return mtu === 0 ? NO_LIMIT : mtu; // 0: the kernel has not said
}

/** Whether backends are behind an arrival. Hot path: no allocation. */
export function hasBackends(rows: Int32Array, arrival: number): boolean {
  const at = findRow(rows, arrival);
  return rows[at + ROW.arrival] === arrival && rows[at + ROW.backends] !== 0;
}

/**
 * Writes all rows.
 *
 * @param mtus How large packets may be on the interfaces, and on VLANs that the box has a device for.
 * @param backends The arrivals of all backends.
 */
export function writeArrivals(
  rows: Int32Array,
  mtus: Iterable<{ readonly arrival: number; readonly mtu: number }>,
  backends: Iterable<number>,
): void {
  rows.fill(0);
  let vlans = 0;
  const add = (arrival: number): number => {
    let at = findRow(rows, arrival);
    if (rows[at + ROW.known] !== 0 && rows[at + ROW.arrival] === arrival) return at;
    if ((arrival & VLANS_MASK) !== 0) {
      if (vlans === MAX_VLANS) return -1;
      vlans++;
      at = firstRow(arrival);
      while (rows[at + ROW.known] !== 0) at = nextRow(at);
      rows[at + ROW.mtu] = mtuOfInterface(rows, arrival);
    }
    rows[at + ROW.known] = 1;
    rows[at + ROW.arrival] = arrival;
    return at;
  };
  const sorted = [...mtus].sort((left, right) => (left.arrival & VLANS_MASK) - (right.arrival & VLANS_MASK));
  for (const { arrival, mtu } of sorted) { // interfaces first
    const at = add(arrival);
    if (at >= 0) rows[at + ROW.mtu] = mtu;
  }
  for (const arrival of backends) {
    if (arrival === NO_ARRIVAL) continue;
    // The interface itself too: see cameBy().
    for (const one of [arrival & ~VLANS_MASK, arrival]) {
      const at = add(one);
      if (at >= 0) rows[at + ROW.backends] = 1;
    }
  }
}

function mtuOfInterface(rows: Int32Array, arrival: number): number {
  return rows[(arrival >>> INTERFACE_SHIFT << ROW_SHIFT) + ROW.mtu]!;
}

/** The row of an arrival, else that of its interface. */
function findRow(rows: Int32Array, arrival: number): number {
  if ((arrival & VLANS_MASK) !== 0) {
    for (let at = firstRow(arrival); rows[at + ROW.known] !== 0; at = nextRow(at)) {
      if (rows[at + ROW.arrival] === arrival) return at;
    }
  }
  return arrival >>> INTERFACE_SHIFT << ROW_SHIFT;
}

function firstRow(arrival: number): number {
  return (VLAN_ROWS_AT + (Math.imul(arrival, 0x9e3779b1) >>> 20)) << ROW_SHIFT;
}

function nextRow(at: number): number {
  const row = (at >> ROW_SHIFT) + 1;
  return (row === VLAN_ROWS_AT + VLAN_ROWS ? VLAN_ROWS_AT : row) << ROW_SHIFT;
}
