/**
 * `action: forward` and what belongs to it: backends, health checks, translation ports.
 *
 * @module
 */
import * as z from "zod";
import { formatAddress, formatEndpoint } from "../packet/address.ts";
import { MAX_SOURCES } from "../steering/forward_table.ts";
import { isPrime } from "../steering/maglev.ts";
import {
  AFFINITIES,
  AFFINITY_TABLE,
  type Backend,
  type BackendName,
  CLIENT_ADDRESS_TABLE,
  CLIENT_ADDRESSES,
  DNS_TYPES,
  type DnsType,
  type Forward,
  FORWARD_MODE_TABLE,
  FORWARD_MODES,
  HEALTH_CHECK_TABLE,
  HEALTH_CHECKS,
  TUNNEL_TABLE,
  TUNNELS,
} from "../steering/forward.ts";
import {
  BACKEND,
  backendFault,
  bytesOf,
  OWN_ADDRESS,
  ownAddressFault,
  readBackend,
  readHost,
  readNamed,
  readOwnAddress,
} from "./backend.ts";
import { durationText, quantity, readDuration } from "./limit.ts";
import { payloadSchema } from "./payload.ts";
import { LAST_PORT, type PortRange, readPorts } from "./ports.ts";
import { choice, map, orNull, plainMap, powerOfTwo, section, whole, written } from "./shapes.ts";
import { complain, complainAboutKind, complainAboutNumber, complainAboutText, show } from "./wording.ts";

const aboutBackend = complainAboutText("backend", BACKEND, backendFault);
const aboutWeight = complainAboutNumber("weight", "0 to 1000");
const aboutMost = complainAboutNumber("max_sessions", "1 to 100000000");
const yesOrNo = (noun: string): z.ZodBoolean => z.boolean({ error: complainAboutKind(noun, "true or false") });
const address = z.string({ error: aboutBackend })
  .refine((text) => (readBackend(text) ?? readNamed(text)) !== undefined, { error: aboutBackend });
const aboutService = complainAboutText(
  "srv",
  'the name of an SRV record like "_game._udp.example.com"',
  () => "is no name",
);
const service = z.string({ error: aboutService })
  .refine((text) => readHost(text) !== undefined, { error: aboutService });

const seconds = (noun: string, from: number, to: number): z.ZodNumber => {
  const error = complain(
    noun,
    `${from} to ${to} seconds`,
    (input) => typeof input === "number" ? "is out of range" : "is not a number",
  );
  return z.number({ error }).min(from, { error }).max(to, { error });
};
const aboutName = complainAboutText("name", 'a name like "www.example.com"', () => "is not possible");
const dnsName = z.string({ error: aboutName }).max(253, { error: aboutName })
  .regex(/^(?:\.|(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?)$/, { error: aboutName });
const times = (noun: string): z.ZodInt => whole(complainAboutNumber(noun, "1 to 100"), 1, 100);

const health = map("health", {
  check: choice("check", HEALTH_CHECKS).describe(
    `${HEALTH_CHECKS.map((check) => `${check}: ${HEALTH_CHECK_TABLE[check]}`).join("; ")}.`,
  ),
  port: orNull(whole(complainAboutNumber("port", `1 to ${LAST_PORT}`), 1, LAST_PORT))
    .describe("Port to check. Default: the backend's port."),
  name: dnsName.optional().describe("The name that a dns check asks for. Default a.root-servers.net."),
  type: choice("type", Object.keys(DNS_TYPES) as DnsType[]).optional().describe(
    "The type of record that a dns check asks for. Default A.",
  ),
  send: payloadSchema("send").default("xdpsteer").describe(
    "Payload of a UDP check: text, which is sent as UTF-8, or a map with hex or base64 for bytes of any value. " +
      'Default "xdpsteer".',
  ),
  expect: orNull(payloadSchema("expect")).describe(
    "What the answer to a UDP check must begin with: text, or a map with hex or base64. Default: any answer is " +
      "accepted.",
  ),
  interval: seconds("interval", 0.1, 300).default(1).describe("Seconds between two checks. Default 1."),
  timeout: seconds("timeout", 0.01, 60).default(0.5).describe("Seconds to wait for an answer. Default 0.5."),
  rise: times("rise").default(2).describe("Successful checks in a row that make a backend healthy. Default 2."),
  fall: times("fall").default(3).describe("Failed checks in a row that make a backend unhealthy. Default 3."),
});

const backends = z.array(
  z.union([
    address,
    plainMap("backend", {
      address: address.optional().meta({ examples: ["10.0.0.12:9000"] })
        .describe(`The backend: ${BACKEND}, or a name and port like "game.example.com:7777".`),
      srv: service.optional().meta({ examples: ["_game._udp.example.com"] }).describe(
        "In place of address: the name of an SRV record, whose targets are the backends, with its ports, weights and " +
          "priorities.",
      ),
      weight: whole(aboutWeight, 0, 1000).default(1).describe(
        "Its share of new sessions relative to the other backends, 0 to 1000; 0: it gets none, and those it has end by " +
          "themselves. Default 1.",
      ),
      max_sessions: whole(aboutMost, 1, 100_000_000).optional().describe(
        "Sessions that it may have, with all workers and rules together: with so many, new ones go to other backends. " +
          "Default: no limit.",
      ),
      backup: yesOrNo("backup").optional().describe(
        "true: new sessions go to it only while no other backend is healthy. Default false.",
      ),
      drain: yesOrNo("drain").optional().describe(
        "true: it gets no new sessions, and those it has end by themselves. xdpsteer backends drain --save writes it. " +
          "Default false.",
      ),
    }),
  ], { error: aboutBackend }),
  { error: complainAboutKind("to", "a list of backends") },
).min(1, { error: `to is an empty list: expected at least one backend, ${BACKEND}` })
  .max(256, { error: "to has too many backends: expected at most 256" })
  .superRefine((list, context) => {
    const seen = new Set<string>();
    for (const [index, backend] of list.entries()) {
      const { address, srv } = typeof backend === "string" ? { address: backend, srv: undefined } : backend;
      if ((address === undefined) === (srv === undefined)) {
        const found = address === undefined ? "neither address nor srv" : "both address and srv";
        context.addIssue({ code: "custom", path: [index], message: `backend has ${found}: expected one of them` });
        continue;
      }
      const name = srv ?? (readBackend(address!) ?? readNamed(address!))?.name ?? address!;
      const message = `backend ${show(name)} is listed twice: expected it once, with a weight of 2`;
      if (seen.has(name)) context.addIssue({ code: "custom", path: [index], message });
      seen.add(name);
    }
  })
  .meta({ examples: [["10.0.0.11:9000", { address: "10.0.0.12:9000", weight: 2 }]] });

const someTime = (noun: string, example: string): ReturnType<typeof quantity> =>
  quantity(noun, `seconds, or a time like ${example} or 5m, from 1 second to 1 hour`, {
    read: readHour,
    write: durationText,
    example,
    numbers: true,
  });
const readHour = (value: number | string): number | undefined => {
  const seconds = readDuration(value);
  return seconds !== undefined && seconds <= 3600 ? seconds : undefined;
};
const passive = map("passive", {
  no_answer: whole(complainAboutNumber("no_answer", "1 to 1000000"), 1, 1_000_000).default(5).describe(
    "So many sessions that ask a backend in vain for as long as `within`, while it answers nobody, or so many ICMP errors " +
      "in that time, make it unhealthy. Default 5.",
  ),
  within: someTime("within", "10s").prefault("10s").describe("Seconds, or a time like 10s or 5m. Default 10s."),
  unreachable: yesOrNo("unreachable").default(true).describe(
    "Whether ICMP errors count that say that packets do not get to the backend, as of a closed port. Default true.",
  ),
  pause: someTime("pause", "10s").prefault("30s").describe(
    "After this time a backend without an active check is used again; one that has a check when that succeeds. Default " +
      "30s.",
  ),
});

const aboutPercent = complain("fail_open", "a part of the backends like 50%, from 1% to 100%", () => "is not possible");
const percentText = z.string({ error: aboutPercent }).regex(/^(100|[1-9]\d?)%$/, { error: aboutPercent })
  .meta({ examples: ["50%"] });
const percent = written<typeof percentText, number>(percentText, (text) => parseInt(text), (part) => `${part}%`);

/** Modes of forwarding that translate addresses and ports, and those that do not. */
export const TRANSLATING: readonly string[] = FORWARD_MODES.filter((mode) => FORWARD_MODE_TABLE[mode].translates);
export const KEEPING: readonly string[] = FORWARD_MODES.filter((mode) => !FORWARD_MODE_TABLE[mode].translates);

const forwardMap = map("forward", {
  to: backends.describe(
    `The backends, each ${BACKEND}, a name and port, or a map with address or srv, weight, max_sessions, backup and drain.`,
  ),
  mode: choice("mode", FORWARD_MODES).default("nat").describe(
    `${FORWARD_MODES.map((mode) => `${mode}: ${FORWARD_MODE_TABLE[mode].words}`).join("; ")}.`,
  ),
  client_address: choice("client_address", CLIENT_ADDRESSES).default("none").describe(
    `With ${TRANSLATING.join(" or ")}: how backends are told the client's address and port. ${
      CLIENT_ADDRESSES.map((kind) => `${kind}: ${CLIENT_ADDRESS_TABLE[kind]}`).join("; ")
    }. Default none.`,
  ),
  tunnel: orNull(choice("tunnel", TUNNELS)).describe(
    `With ${KEEPING.join(" or ")}: what packets to backends are wrapped in, so that backends may be in other ` +
      `networks. ${TUNNELS.map((kind) => `${kind}: ${TUNNEL_TABLE[kind]}`).join("; ")}. Default: nothing.`,
  ),
  remap_port: orNull(whole(complainAboutNumber("remap_port", `1 to ${LAST_PORT}`), 1, LAST_PORT))
    .describe(
      `With ${
        KEEPING.join(" or ")
      }: the destination port that backends receive packets on. They still answer from the service's ` +
        `port. With ${TRANSLATING.join(" or ")} each backend has its own port. Default: the service's port.`,
    ),
  idle_timeout: whole(complainAboutNumber("idle_timeout", "1 to 86400 seconds"), 1, 86_400).default(60)
    .describe("Seconds without a packet after which a session ends. Default 60."),
  drain_timeout: whole(complainAboutNumber("drain_timeout", "0 to 86400 seconds"), 0, 86_400).default(600).describe(
    "Seconds that sessions may continue with a backend that is removed from the rule; 0: they move at once. Default 600.",
  ),
  affinity: choice("affinity", AFFINITIES).default("flow").describe(
    `What a packet's backend is chosen by. ${
      AFFINITIES.map((affinity) => `${affinity}: ${AFFINITY_TABLE[affinity]}`).join("; ")
    }. Default flow.`,
  ),
  answers: orNull(whole(complainAboutNumber("answers", "1 to 1000000"), 1, 1_000_000)).describe(
    "Answers to each of a client's packets after which a session ends, 1 for DNS and RADIUS. Default: it ends by " +
      "idle_timeout alone.",
  ),
  slow_start: orNull(someTime("slow_start", "30s")).describe(
    "Seconds, or a time like 30s or 5m, up to an hour, in which the share of a backend that comes, or comes back, grows " +
      "to its weight. Default: it has it at once.",
  ),
  fail_open: orNull(percent).describe(
    'With fewer healthy backends than this part, like "50%", all are used, unless there is a healthy backup. Default: ' +
      "only healthy ones.",
  ),
  health: orNull(health).describe("How backends are checked. Without it they count as healthy."),
  passive: passive.optional().describe(
    "What clients' packets meet with counts against backends. The last one that is left stays in use. Default: it does " +
      "not count.",
  ),
  none_left: choice("none_left", ["drop", "pass"]).default("drop").describe(
    "What happens to packets while no backend is healthy: drop, or pass to the kernel stack.",
  ),
});

type Listed = z.output<typeof backends>[number];

/** What the file lists, by whether it has to be looked up. */
function backendsOf(list: readonly Listed[]): Pick<Forward, "names" | "to"> {
  const to: Backend[] = [];
  const names: BackendName[] = [];
  for (const item of list) {
    const { address, srv, weight = 1, max_sessions, backup, drain } = typeof item === "string"
      ? { address: item } as Partial<Exclude<Listed, string>>
      : item;
    const settings = {
      weight,
      ...(max_sessions === undefined ? {} : { maxSessions: max_sessions }),
      ...(backup === true ? { backup: true as const } : {}),
      ...(drain === true ? { drain: true as const } : {}),
    };
    const literal = address === undefined ? undefined : readBackend(address);
    const host = srv === undefined ? undefined : readHost(srv)!;
    if (literal !== undefined) to.push({ ...literal, ...settings });
    else if (host !== undefined) names.push({ name: host, host, port: null, ...settings });
    else names.push({ ...readNamed(address!)!, ...settings });
  }
  return { to, names };
}

/** A backend as the file has it. */
function inFile(backend: Backend | BackendName): Listed {
  const { name, port, weight, maxSessions, backup, drain } = backend;
  const settings = {
    ...(maxSessions === undefined ? {} : { max_sessions: maxSessions }),
    ...(backup === true ? { backup } : {}),
    ...(drain === true ? { drain } : {}),
  };
  if (port === null) return { srv: name, weight, ...settings };
  return weight === 1 && Object.keys(settings).length === 0 ? name : { address: name, weight, ...settings };
}

/** Schema of the settings of `action: forward`. */
export const forwardSchema: z.ZodType<Forward> = written<typeof forwardMap, Forward>(
  forwardMap,
  ({ to, ...settings }) => ({ ...settings, ...backendsOf(to) }),
  // A union tries all that it may be: what is no map is for the schema to refuse.
  (value) => {
    if (typeof value !== "object" || value === null) return value;
    const { names, to, ...settings } = value;
    return { ...settings, to: [...to, ...names].map(inFile) } as never;
  },
).describe("Send packets to backends, and their answers back.");

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
      "and a session's client not by those that lead to backends, unless it began there; loose: by any. Default strict.",
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
