/**
 * `action: forward` and what belongs to it: backends and health checks.
 *
 * @module
 */
import * as z from "zod";
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
  PACKET_SOURCES,
  SOURCE_TABLE,
  TUNNEL_TABLE,
  TUNNELS,
} from "../steering/forward.ts";
import { BACKEND, backendFault, readBackend, readHost, readNamed } from "./backend.ts";
import { durationText, quantity, readDuration } from "./limit.ts";
import { payloadSchema } from "./payload.ts";
import { LAST_PORT } from "./ports.ts";
import { choice, map, orNull, plainMap, whole, written, yesOrNo } from "./shapes.ts";
import { complain, complainAboutKind, complainAboutNumber, complainAboutText, show } from "./wording.ts";

const aboutBackend = complainAboutText("backend", BACKEND, backendFault);
const aboutWeight = complainAboutNumber("weight", "0 to 1000");
const aboutMost = complainAboutNumber("max_sessions", "1 to 100000000");
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

/** What a UDP check sends by default. */
const UDP_PAYLOAD = "xdpsteer";

const health = map("health", {
  check: choice("check", HEALTH_CHECKS).describe(
    `${HEALTH_CHECKS.map((check) => `${check}: ${HEALTH_CHECK_TABLE[check]}`).join("; ")}.`,
  ),
  port: orNull(whole(complainAboutNumber("port", `1 to ${LAST_PORT}`), 1, LAST_PORT))
    .describe("Port to check. Default: the backend's port, the first one of a range, or the rule's first port."),
  name: dnsName.optional().describe("The name that a dns check asks for. Default a.root-servers.net."),
  type: choice("type", Object.keys(DNS_TYPES) as DnsType[]).optional().describe(
    "The type of record that a dns check asks for. Default A.",
  ),
  send: payloadSchema("send").default(UDP_PAYLOAD).describe(
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
}).superRefine(({ check, name, type, send, expect }, context) => {
  // A default that somebody has written out cannot be told from one that is not there.
  const given = {
    name: ["dns", name !== undefined],
    type: ["dns", type !== undefined],
    send: ["udp", send !== UDP_PAYLOAD],
    expect: ["udp", expect !== null],
  } as const;
  for (const [key, [kind, isGiven]] of Object.entries(given)) {
    if (!isGiven || check === kind) continue;
    const message = `${key} belongs to check: ${kind}, and check is ${check}: expected no ${key}`;
    context.addIssue({ code: "custom", path: [key], message });
  }
});

const backends = z.array(
  z.union([
    address,
    plainMap("backend", {
      address: address.optional().meta({ examples: ["10.0.0.12:9000"] })
        .describe(
          `The backend: ${BACKEND}, or a name and port like "game.example.com:7777". A range like ` +
            '"10.0.0.12:9000-9999" takes as many ports as the rule has; without a port, packets keep theirs.',
        ),
      srv: service.optional().meta({ examples: ["_game._udp.example.com"] }).describe(
        "In place of address: the name of an SRV record, whose targets are the backends, with its ports, weights and " +
          "priorities. It is asked for as it stands: _SERVICE._udp.NAME as a rule, without underscores with Consul.",
      ),
      weight: whole(aboutWeight, 0, 1000).default(1).describe(
        "Its share of new sessions relative to the other backends, 0 to 1000; 0: it gets none, and those it has end " +
          "by themselves. Each backend that a name means has it; of an SRV record, times its own. Default 1.",
      ),
      max_sessions: whole(aboutMost, 1, 100_000_000).optional().describe(
        "Sessions that it may have, with all workers and rules together: with so many, new ones go to other " +
          "backends. Default: no limit.",
      ),
      backup: yesOrNo("backup").optional().describe(
        "true: new sessions go to it only while no other backend is healthy. Default false.",
      ),
      drain: yesOrNo("drain").optional().describe(
        "true: it gets no new sessions, and those it has end by themselves. xdpsteer backends drain --save writes " +
          "it. Default false.",
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
    "So many sessions that ask a backend in vain for as long as `within`, while it answers nobody, or so many ICMP " +
      "errors in that time, make it unhealthy. Default 5.",
  ),
  within: someTime("within", "10s").prefault("10s").describe("Seconds, or a time like 10s or 5m. Default 10s."),
  unreachable: yesOrNo("unreachable").default(true).describe(
    "Whether ICMP errors count that say that packets do not get to the backend, as of a closed port. Default true.",
  ),
  pause: someTime("pause", "10s").prefault("30s").describe(
    "After this time a backend without an active check is used again; one that has a check when that succeeds. " +
      "Default 30s.",
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
    `The backends, each ${BACKEND}, a name and port, or a map with address or srv, weight, max_sessions, backup and ` +
      'drain. A range like "10.0.0.12:9000-9999" takes as many ports as the rule has, and packets to "10.0.0.12" ' +
      "keep the port that they came for.",
  ),
  mode: choice("mode", FORWARD_MODES).default("nat").describe(
    `${FORWARD_MODES.map((mode) => `${mode}: ${FORWARD_MODE_TABLE[mode].words}`).join("; ")}.`,
  ),
  client_address: choice("client_address", CLIENT_ADDRESSES).default("none").describe(
    `With ${TRANSLATING.join(" or ")}: how backends are told the client's address and port. ${
      CLIENT_ADDRESSES.map((kind) => `${kind}: ${CLIENT_ADDRESS_TABLE[kind]}`).join("; ")
    }. Default none.`,
  ),
  source: choice("source", PACKET_SOURCES).default("box").describe(
    `With ${TRANSLATING.join(" or ")}: whom backends see. ${
      PACKET_SOURCES.map((source) => `${source}: ${SOURCE_TABLE[source]}`).join("; ")
    }. Default box.`,
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
    "Seconds that sessions may continue with a backend that is removed from the rule; 0: they move at once. Default " +
      "600.",
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
    "Seconds, or a time like 30s or 5m, up to an hour, in which the share of a backend that comes, or comes back, " +
      "grows to its weight. Default: it has it at once.",
  ),
  fail_open: orNull(percent).describe(
    'With fewer healthy backends than this part, like "50%", all are used, unless there is a healthy backup. ' +
      "Default: only healthy ones.",
  ),
  health: orNull(health).describe("How backends are checked. Without it they count as healthy."),
  passive: passive.optional().describe(
    "What clients' packets meet with counts against backends. The last one that is left stays in use. Default: it " +
      "does not count.",
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
