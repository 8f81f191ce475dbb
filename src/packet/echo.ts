/**
 * Turns a UDP packet round in place.
 *
 * @module
 */
import { finishUdpChecksum } from "./checksum.ts";
import { IPV4, IPV6, UDP, type UdpPacket } from "./udp.ts";

/** Byte order does not matter to a swap; the machine's own is the fast one. */
const LITTLE = true;
const { source: IPV4_SOURCE, destination: IPV4_DESTINATION } = IPV4;
const { source: IPV6_SOURCE, destination: IPV6_DESTINATION } = IPV6;
const PORTS = UDP.source;

/**
 * Swaps MAC addresses, IP addresses and ports, and completes an unfinished UDP checksum; a swap leaves a finished one, and the
 * IPv4 header's, as right as it was. VLAN tags and payload stay. Hot path: no allocation.
 *
 * @returns False, and changes nothing, when nobody could be answered: the source or the destination is a group or broadcast
 * address, or there is no source port.
 */
export function echoUdp(view: DataView, packet: UdpPacket): boolean {
  const { ethernet, ip, udp } = packet;
  if (packet.sourcePort === 0 || ((view.getUint8(ethernet) | view.getUint8(ethernet + 6)) & 1) !== 0) return false;
  finishUdpChecksum(view, packet);

  const destinationMac = view.getInt32(ethernet, LITTLE);
  const destinationMacTail = view.getUint16(ethernet + 4, LITTLE);
  view.setInt32(ethernet, view.getInt32(ethernet + 6, LITTLE), LITTLE);
  view.setUint16(ethernet + 4, view.getUint16(ethernet + 10, LITTLE), LITTLE);
  view.setInt32(ethernet + 6, destinationMac, LITTLE);
  view.setUint16(ethernet + 10, destinationMacTail, LITTLE);

  if (packet.isIpv6) {
    for (let offset = 0; offset < 16; offset += 4) {
      swapWords(view, ip + IPV6_SOURCE + offset, ip + IPV6_DESTINATION + offset);
    }
  } else {
    swapWords(view, ip + IPV4_SOURCE, ip + IPV4_DESTINATION);
  }

  const ports = view.getInt32(udp + PORTS, LITTLE);
  view.setInt32(udp + PORTS, (ports << 16) | (ports >>> 16), LITTLE);
  return true;
}

function swapWords(view: DataView, left: number, right: number): void {
  const word = view.getInt32(left, LITTLE);
  view.setInt32(left, view.getInt32(right, LITTLE), LITTLE);
  view.setInt32(right, word, LITTLE);
}
