/**
 * Link headers as they are kept for writing: 24 bytes that end where the IP header begins, whatever their real length.
 * Six words are then written in front of any packet, with or without VLAN tags; what comes before the real header is
 * headroom.
 *
 * @module
 */
import type { UdpPacket } from "./udp.ts";

/** Words of a kept link header. */
export const LINK_WORDS = 6;
const LINK_BYTES = LINK_WORDS * 4;
const MAC_BYTES = 6;
/** Ethernet's smallest frame without its checksum, bytes: a shorter one has been padded to this. */
const SMALLEST_FRAME = 60;

/** Byte order does not matter to a copy; the machine's own is the fast one. */
const LITTLE = true;

/**
 * Keeps the link header of a packet, turned round: the one its answer needs. Hot path: no allocation.
 *
 * @param out Kept there, at byte `at`.
 * @returns Its real length in bytes.
 */
export function keepReturnLink(view: DataView, packet: UdpPacket, out: DataView, at: number): number {
  const { ethernet, ip } = packet;
  const length = ip - ethernet;
  const start = at + LINK_BYTES - length;
  // The tags and the EtherType, then the MAC addresses, each in the other's place.
  for (let offset = 2 * MAC_BYTES; offset < length; offset += 2) {
    out.setUint16(start + offset, view.getUint16(ethernet + offset, LITTLE), LITTLE);
  }
  out.setInt32(start, view.getInt32(ethernet + MAC_BYTES, LITTLE), LITTLE);
  out.setUint16(start + 4, view.getUint16(ethernet + MAC_BYTES + 4, LITTLE), LITTLE);
  out.setInt32(start + MAC_BYTES, view.getInt32(ethernet, LITTLE), LITTLE);
  out.setUint16(start + MAC_BYTES + 4, view.getUint16(ethernet + 4, LITTLE), LITTLE);
  return length;
}

/** One VLAN tag, as it stands in a frame. */
export interface VlanTag {
  readonly protocol: number;
  readonly id: number;
}

/** Keeps a link header made of its parts. @returns Its real length in bytes. */
export function keepLink(
  out: DataView,
  at: number,
  link: {
    readonly destination: Uint8Array;
    readonly source: Uint8Array;
    readonly vlan: readonly VlanTag[];
    readonly etherType: number;
  },
): number {
  const length = 2 * MAC_BYTES + 4 * link.vlan.length + 2;
  let to = at + LINK_BYTES - length;
  for (const mac of [link.destination, link.source]) for (const byte of mac) out.setUint8(to++, byte);
  for (const { protocol, id } of link.vlan) {
    out.setUint16(to, protocol);
    out.setUint16(to + 2, id);
    to += 4;
  }
  out.setUint16(to, link.etherType);
  return length;
}

/**
 * Writes a kept link header in front of the IP header at `ip`. Hot path: no allocation.
 *
 * @param words Where it is kept, at word `from`. The 24 bytes in front of `ip` have to be the packet's own chunk's.
 */
export function writeLink(view: DataView, ip: number, words: Int32Array, from: number): void {
  const start = ip - LINK_BYTES;
  view.setInt32(start, words[from]!, LITTLE);
  view.setInt32(start + 4, words[from + 1]!, LITTLE);
  view.setInt32(start + 8, words[from + 2]!, LITTLE);
  view.setInt32(start + 12, words[from + 3]!, LITTLE);
  view.setInt32(start + 16, words[from + 4]!, LITTLE);
  view.setInt32(start + 20, words[from + 5]!, LITTLE);
}

/**
 * How much of a frame to send: nothing of what follows the IP packet, but for the padding of a short frame.
 *
 * @param linkBytes Of the link header it leaves with.
 * @param present Bytes there are, from that header on.
 */
export function frameBytes(packet: UdpPacket, linkBytes: number, present: number): number {
  const bytes = linkBytes + packet.ipBytes;
  if (bytes >= SMALLEST_FRAME) return bytes;
  return present < SMALLEST_FRAME ? present : SMALLEST_FRAME;
}
