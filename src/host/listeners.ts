/**
 * UDP ports that programs of this box listen on, as the kernel lists its sockets in /proc/net.
 *
 * @module
 */

export interface Listener {
  readonly port: number;
  /** The own address that it listens on; undefined: all. */
  readonly address?: Uint8Array<ArrayBuffer>;
  /** True where the kernel may have given it the port because it had not asked for one. */
  readonly ephemeral: boolean;
}

const TABLES = ["/proc/self/net/udp", "/proc/self/net/udp6"] as const;
const RANGE = "/proc/sys/net/ipv4/ip_local_port_range";
/** Of a socket that is not connected. */
const UNCONNECTED = /^0+:0000$/;

/**
 * Unconnected UDP sockets of this network namespace that packets from outside may reach: those of loopback addresses
 * are left out. A millisecond for each few thousand sockets.
 *
 * @param read Gives a file's text, or undefined where it cannot be read.
 */
export function udpListeners(read: (path: string) => string | undefined = readText): Listener[] {
  const [low = 0, high = 0] = (read(RANGE) ?? "").trim().split(/\s+/).map(Number);
  const found = new Map<string, Listener>();
  for (const table of TABLES) {
    for (const line of (read(table) ?? "").split("\n").slice(1)) {
      const [, local = "", remote = ""] = line.trim().split(/\s+/);
      const [address = "", port = ""] = local.split(":");
      if (!UNCONNECTED.test(remote) || isLoopback(address)) continue;
      const number = parseInt(port, 16);
      const isAny = /^0+$/.test(address);
      found.set(isAny ? port : local, {
        port: number,
        ephemeral: low <= number && number <= high,
        ...isAny ? {} : { address: bytesOf(address) },
      });
    }
  }
  return [...found.values()];
}

/** How the first words of an IPv4 address in an IPv6 one are printed. */
const MAPPED = "0000000000000000FFFF0000";

/** The bytes of a printed address; IPv4 ones for an IPv6 socket with such an address. */
function bytesOf(printed: string): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.fromHex(printed);
  for (let word = 0; word < bytes.length; word += 4) bytes.subarray(word, word + 4).reverse();
  return printed.startsWith(MAPPED) ? bytes.slice(12) : bytes;
}

/** The kernel prints addresses as words in the order of the machine, which is little-endian. */
function isLoopback(address: string): boolean {
  if (address.length === 8) return address.endsWith("7F");
  return address === "00000000000000000000000001000000" ||
    (address.startsWith(MAPPED) && address.endsWith("7F"));
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}
