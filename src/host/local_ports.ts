/**
 * Ports that the kernel gives to the box's own programs.
 *
 * @module
 */
import type { PortRange } from "../config/ports.ts";
import { logger } from "../log.ts";

const RANGE = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports";

const log = logger("forwarding");

/** Logs a warning where the kernel may give one of these translation ports to a program. */
export function warnOfPrograms(translation: PortRange): void {
  const taken = takenByPrograms(translation);
  if (taken === undefined) return;
  const ports = `${taken.first}-${taken.last}`;
  log.warn(
    "Translation ports {ports} are also given to programs of this box, whose answers would be dropped: " +
      "sysctl -w net.ipv4.ip_local_reserved_ports={ports}, or set forwarding.ports to others",
    { ports },
  );
}

/** The part of `ports` that the kernel may give to a program's socket, or undefined where that is none. */
function takenByPrograms(ports: PortRange): PortRange | undefined {
  const [low = 0, high = 0] = read(RANGE).split(/\s+/).map(Number);
  const overlap = { first: Math.max(low, ports.first), last: Math.min(high, ports.last) };
  if (overlap.first > overlap.last) return undefined;
  const reserved = read(RESERVED).split(",").map((text) => text.split("-").map(Number));
  const isReserved = reserved.some(([first = 0, last = first]) => first <= overlap.first && overlap.last <= last);
  return isReserved ? undefined : overlap;
}

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return "";
  }
}
