/**
 * `forwarding:`, the settings that all rules with `forward` share.
 *
 * @module
 */
import * as z from "zod";
import { formatAddress, formatEndpoint } from "../packet/address.ts";
import { MAX_SOURCES } from "../steering/forward_table.ts";
import { isPrime } from "../steering/maglev.ts";
import { bytesOf, OWN_ADDRESS, ownAddressFault, readOwnAddress } from "./backend.ts";
import { LAST_PORT, type PortRange, readPorts } from "./ports.ts";
import { choice, map, powerOfTwo, section, written } from "./shapes.ts";
import { complain, complainAboutKind, complainAboutText, show } from "./wording.ts";

export const DEFAULT_TRANSLATION_PORTS = "61000-65535";
export const DEFAULT_TABLE_SIZE = 65_537;

const PORTS = 'a range like "61000-65535"';
const aboutPorts = complainAboutText("ports", PORTS, (text) => {
  const outcome = readPorts(text);
  return typeof outcome !== "string" || !text.includes("-") ? "is not a range" : "is not possible";
});
const aboutSize = complain("table_size", "a prime from 251 to 655373", () => "is not possible");
const rangeText = z.string({ error: aboutPorts }).regex(/^\d{1,5}-\d{1,5}$/, { error: aboutPorts })
  .refine((text) => readRange(text) !== undefined, { error: aboutPorts });
const ADDRESSES = `at most ${MAX_SOURCES} addresses of each IP version`;
const aboutAddress = complainAboutText("address", OWN_ADDRESS, ownAddressFault);
const ownAddresses = z.array(
  z.string({ error: aboutAddress }).refine((text) => readOwnAddress(text) !== undefined, { error: aboutAddress }),
  { error: complainAboutKind("addresses", `a list of ${ADDRESSES}`) },
).superRefine((list, context) => {
  const known: string[] = [];
  for (const [index, text] of list.entries()) {
    const address = readOwnAddress(text) ?? text;
    const isIpv6 = address.includes(":");
    const complain = (message: string): void => context.addIssue({ code: "custom", path: [index], message });
    if (known.includes(address)) complain(`address ${show(address)} is listed twice: expected each address once`);
    else if (known.filter((other) => other.includes(":") === isIpv6).length === MAX_SOURCES) {
      complain(`address ${show(address)} is one too many: expected ${ADDRESSES}`);
    }
    known.push(address);
  }
}).meta({ uniqueItems: true, maxItems: 2 * MAX_SOURCES });
const SERVER = 'a DNS server like "10.0.0.53", "10.0.0.53:8600" or "[fd00::53]:53"';
const aboutServer = complainAboutText("name server", SERVER, () => "is no address of a server");
const nameServers = z.array(
  z.string({ error: aboutServer }).refine((text) => readServer(text) !== undefined, { error: aboutServer }),
  { error: complainAboutKind("name_servers", "a list of DNS servers") },
).max(8, { error: "name_servers has too many servers: expected at most 8" });
const forwardingMap = map("forwarding", {
  name_servers: written<typeof nameServers, readonly NameServer[]>(
    nameServers,
    (list) => list.map((text) => readServer(text)!),
    (list) => list.map(formatEndpoint),
  ).prefault([]).meta({ examples: [["10.0.0.53", "10.0.0.54:8600"]] }).describe(
    "DNS servers that backends' names are looked up with, asked in this order. Default: those of /etc/resolv.conf.",
  ),
  ports: written<typeof rangeText, PortRange>(
    rangeText,
    (text) => readRange(text)!,
    ({ first, last }) => `${first}-${last}`,
  ).prefault(DEFAULT_TRANSLATION_PORTS)
    .describe(
      `Translation ports, which backends see and answer to, divided among the workers: ${PORTS}. No rule may ` +
        `list them, and they should be outside of net.ipv4.ip_local_port_range. Their number limits the sessions ` +
        `per backend.`,
    ),
  addresses: written<typeof ownAddresses, readonly string[]>(
    ownAddresses,
    (list) => list.map((text) => readOwnAddress(text)!),
    (list) => [...list],
  ).prefault([])
    .describe(
      `Addresses of this box that sessions are translated to, ${ADDRESSES}: each allows as many sessions again per ` +
        "backend. The backends' answers must reach this box at each of them. Without one for an IP version: the " +
        "address that the route to the backend names. A change applies at once, also to existing sessions.",
    ),
  sessions: powerOfTwo("sessions", 1024, 1_048_576).default(65_536).describe(
    "Maximum number of sessions per worker: a power of two, 1024 to 1048576; 140 bytes each. Default 65536.",
  ),
  arrival: choice("arrival", ["strict", "loose"]).default("strict").describe(
    "By which interfaces packets may come, as with rp_filter. strict: answers by the one that leads to the backend, " +
      "and a session's client not by those that lead to backends, unless it began there; loose: by any. Default " +
      "strict.",
  ),
  table_size: z.int({ error: aboutSize }).refine(isPrimeSize, { error: aboutSize })
    .default(DEFAULT_TABLE_SIZE)
    .describe(
      "Size of each rule's Maglev table: a prime, best about a hundred times the number of backends. Default 65537.",
    ),
});

/** Schema of the section `forwarding:`. */
export const forwardingSchema = section(forwardingMap, {}).describe("Settings that all rules with forward share.");

function isPrimeSize(size: number): boolean {
  return size >= 251 && size <= 655_373 && isPrime(size);
}

function readRange(text: string): PortRange | undefined {
  const [first = 0, last = 0] = text.split("-").map(Number);
  return first >= 1 && last <= LAST_PORT && first <= last ? { first, last } : undefined;
}

/** A DNS server. */
export interface NameServer {
  readonly address: string;
  readonly port: number;
}

function readServer(text: string): NameServer | undefined {
  const bare = bytesOf(text);
  if (bare !== undefined) return { address: formatAddress(bare), port: 53 };
  const [, ipv6, ipv4, digits] = /^(?:\[([^\]]*)\]|([^:[\]]*)):([1-9]\d{0,4})$/.exec(text) ?? [];
  const host = ipv6 ?? ipv4;
  if (host === undefined || Number(digits) > LAST_PORT) return undefined;
  const bytes = bytesOf(host);
  return bytes?.length === (ipv6 === undefined ? 4 : 16)
    ? { address: formatAddress(bytes), port: Number(digits) }
    : undefined;
}
