/**
 * Turns a UDP packet round in place.
 *
 * @module
 */
import { finishUdpChecksum } from "./checksum.ts";
import { decrementHops } from "./hops.ts";
import { IPV4, IPV6, UDP, type UdpPacket } from "./udp.ts";

/** Byte order does not matter to a swap; the machine's own is the fast one. */
const LITTLE = true;
const { source: IPV4_SOURCE, destination: IPV4_DESTINATION } = IPV4;
const { source: IPV6_SOURCE, destination: IPV6_DESTINATION } = IPV6;
const PORTS = UDP.source;

/**
 * Swaps MAC addresses, IP addresses and ports, decrements the TTL or hop limit, and completes an unfinished UDP
 * checksum; a swap leaves a finished one as right as it was. VLAN tags and payload stay. Hot path: no allocation.
 *
 * The packet must be answerable and have hops left.
 */
export function echoUdp(view: DataView, packet: UdpPacket): void {
  const { ethernet, ip, udp } = packet;
  finishUdpChecksum(view, packet);
  decrementHops(view, packet);

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
}

function swapWords(view: DataView, left: number, right: number): void {
  const word = view.getInt32(left, LITTLE);
  view.setInt32(left, view.getInt32(right, LITTLE), LITTLE);
  view.setInt32(right, word, LITTLE);
}
