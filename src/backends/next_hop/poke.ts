/**
 * Resolving a neighbour by a packet: where the kernel has one to send, it looks for the next hop. The way for a process
 * that may not touch the neighbour tables, and for what they do not do by themselves.
 *
 * @module
 */
import { createSocket } from "node:dgram";
import { logger } from "../../log.ts";

/** RFC 863: thrown away by whoever listens, and answered by nobody. */
const DISCARD_PORT = 9;
const SCOPE_LINK = "20";
/** IFA_F_TENTATIVE and IFA_F_DADFAILED: an address that is not sent from, yet or at all. */
const NOT_USABLE = 0x40 | 0x08;

const log = logger("next_hop");

/** Sends an empty UDP datagram to a destination, 4 or 16 bytes. */
export function pokeDestination(destination: Uint8Array): void {
  const isIpv6 = destination.length === 16;
  const socket = createSocket(isIpv6 ? "udp6" : "udp4");
  const done = (error?: Error | null): void => {
    if (error) {
      log.debug("Cannot send to a destination to have its neighbour resolved: {error}", { error: error.message });
    }
    socket.close();
  };
  socket.once("error", done);
  socket.send(new Uint8Array(), DISCARD_PORT, isIpv6 ? ipv6Text(destination) : destination.join("."), done);
}

/**
 * True where the kernel would look for a neighbour without a packet at hand. For IPv6 it then asks from the device's
 * link-local address only, and sends nothing where there is none, or it is not known to be nobody else's yet.
 */
export function canSolicit(ifindex: number, neighbour: Uint8Array): boolean {
  if (neighbour.length === 4) return true;
  const addresses = Deno.readTextFileSync("/proc/net/if_inet6").split("\n").map((line) => line.split(/\s+/));
  return addresses.some(([, index, , scope, flags]) =>
    parseInt(index ?? "", 16) === ifindex && scope === SCOPE_LINK && (parseInt(flags!, 16) & NOT_USABLE) === 0
  );
}

function ipv6Text(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: 8 }, (_, group) => view.getUint16(group * 2).toString(16)).join(":");
}
