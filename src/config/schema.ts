/**
 * The configuration language: every key with its limits, its default and its description. Types, checks and the JSON
 * schema for editors all come from here.
 *
 * Sizes are per queue. Keys are snake_case in YAML and camelCase in the checked {@linkcode Config}. Each schema goes
 * both ways: what it makes of a file, z.encode() makes a file of again.
 *
 * @module
 */

import * as z from "zod";
import { MAX_INTERFACES } from "../steering/arrivals.ts";
import type { Rule } from "../steering/rule.ts";
import { hasControls } from "../text.ts";
import { ACTION_WORDS, actionSchema } from "./actions.ts";
import { addressesSchema } from "./addresses.ts";
import { captureSchema, captureSection } from "./capture.ts";
import { forwardingSchema } from "./forwarding.ts";
import { guardSection, listsSection, sourcesSchema } from "./guard.ts";
import { limitSchema } from "./limit.ts";
import { portsSchema } from "./ports.ts";
import { choice, map, powerOfTwo, section, whole, written } from "./shapes.ts";
import { complain, complainAboutKind, complainAboutNumber, complainAboutText, type Wording } from "./wording.ts";

/**
 * A configuration that has passed every check: what {@linkcode configSchema} makes of a file, with `workers.count`
 * resolved.
 */
export type Config = Omit<CheckedFile, "workers"> & { readonly workers: WorkersConfig };

/** One network interface whose packets are steered. Sizes in bytes; rings in entries of each socket. */
export type InterfaceConfig = z.output<typeof networkInterface>;

/** The processing threads: `count` of them, worker i on CPU `cpus[i]`. */
export type WorkersConfig = Omit<z.output<typeof workers>, "count"> & { readonly count: number };

/** Where the control API listens; `group` and `http` are null where there is none. */
export type ControlConfig = z.output<typeof control>;

/** Most workers one process runs. */
export const MAX_WORKERS = 64;
/** Most rules one configuration holds. */
export const MAX_RULES = 4096;
/** Bytes the kernel keeps before every packet, ahead of `headroom` (include/uapi/linux/bpf.h). */
export const XDP_PACKET_HEADROOM = 256;
/** Bytes of a full Ethernet frame: 14 of header, 1500 of payload. */
export const FULL_FRAME = 1514;

/** Also where the kernel would take such a name: on a terminal it may look like another. */
function faultOfName(name: string): string {
  return hasControls(name) ? "has control characters in it" : "is not valid";
}

function faultOfPath(path: string): string {
  if (hasControls(path)) return "has control characters in it";
  return path.startsWith("/") ? "is too long" : "is not absolute";
}

/** A list of ids in which each may stand once. */
function ids(item: z.ZodInt, noun: string): z.ZodArray<z.ZodInt> {
  return z.array(item, { error: complainAboutKind(`${noun}s`, `a list of ${noun} ids`) })
    .superRefine((list, context) => {
      const seen = new Set<number>();
      for (const [index, id] of list.entries()) {
        const message = `${noun} ${id} is listed twice: expected each ${noun} once`;
        if (seen.has(id)) context.addIssue({ code: "custom", path: [index], message });
        seen.add(id);
      }
    })
    .meta({ uniqueItems: true });
}

const interfaceName = complainAboutText(
  "interface name",
  '1 to 127 bytes without white space, "/" or ":"',
  faultOfName,
);
const headroom = complainAboutNumber("headroom", `0 to ${roomFor(4096)} bytes`);
const umem = map("umem", {
  chunks: powerOfTwo("chunks", 64, 65536).default(4096)
    .describe("Number of chunks, each for one packet: a power of two, 64 to 65536. Default 4096."),
  // 65536 chunks of 4096 bytes are 256 MiB: every address fits the 31 bits the data path counts on.
  chunk_size: z.literal([2048, 4096], { error: complain("chunk_size", "2048 or 4096 bytes", () => "is not possible") })
    .default(2048).describe("Size of a chunk in bytes: 2048 or 4096. Default 2048."),
  // The upper limit depends on chunk_size: check.ts knows it.
  headroom: z.int({ error: headroom }).min(0, { error: headroom })
    .meta({ maximum: roomFor(4096) }).default(0)
    .describe(
      "Free bytes before each packet. A chunk holds 256 bytes for the kernel, the headroom and a full frame of 1514 " +
        `bytes, so the maximum is ${roomFor(2048)} with chunk_size 2048 and ${roomFor(4096)} with 4096. Default 0.`,
    ),
});

/** The largest headroom that leaves room for a full frame in a chunk of this size; all in bytes. */
export function roomFor(chunkSize: number): number {
  return chunkSize - XDP_PACKET_HEADROOM - FULL_FRAME;
}

const ring = (name: string, size: number, role: string): z.ZodDefault<z.ZodLiteral<number>> =>
  powerOfTwo(name, 64, 32768).default(size)
    .describe(`Entries of the ${name} ring, which ${role}: a power of two, 64 to 32768. Default ${size}.`);

const rings = map("rings", {
  rx: ring("rx", 2048, "brings packets to a worker"),
  tx: ring("tx", 2048, "takes packets to the device"),
  fill: ring("fill", 4096, "offers free chunks to the kernel"),
  completion: ring("completion", 2048, "returns sent chunks"),
});

const QUEUES = "all, or a list of queue ids from 0 to 255";
const queue = whole(complainAboutNumber("queue", "0 to 255"), 0, 255);
const networkInterface = map("interface", {
  name: z.string({ error: interfaceName }).regex(/^[^\s/:]{1,127}$/, { error: interfaceName })
    .refine(
      (name) => !hasControls(name) && name !== "." && name !== ".." && new TextEncoder().encode(name).length <= 127,
      {
        error: interfaceName,
      },
    )
    .meta({ examples: ["eth0"] }).describe(
      'Name of the interface, or an alternative name of it: 1 to 127 bytes without white space, "/" or ":".',
    ),
  attach: choice("attach", ["auto", "native", "generic"], ["shared"]).default("auto")
    .describe(
      "XDP mode. native: in the driver; generic: in the kernel stack; auto: native if the driver supports it, " +
        "else generic.",
    ),
  zero_copy: choice("zero_copy", ["auto", "require", "off"]).default("auto")
    .describe(
      "Zero-copy into UMEM. require: fail without it; off: always copy; auto: zero-copy if the driver supports " +
        "it, else copy.",
    ),
  queues: z.union([
    z.literal("all"),
    ids(queue, "queue").min(1, { error: `queues is an empty list: expected ${QUEUES}` }),
  ], { error: complain("queues", QUEUES, () => "is not known") }).default("all")
    .describe("The rx queues to serve: all, or a list of ids from 0 to 255."),
  umem: umem.prefault({}).describe("Packet memory of each queue."),
  rings: rings.prefault({}).describe("Ring sizes, in entries."),
});

const count = complainAboutNumber("count", `a number from 1 to ${MAX_WORKERS}, or auto`, "is not known");
const cpu = whole(complainAboutNumber("cpu", "0 to 1023"), 0, 1023);
const workers = map("workers", {
  count: z.union([whole(count, 1, MAX_WORKERS), z.literal("auto")], { error: count }).default("auto")
    .describe(`Number of workers, 1 to ${MAX_WORKERS}; auto: one per CPU in cpus, or one per CPU of the machine.`),
  cpus: ids(cpu, "cpu").max(MAX_WORKERS, { error: `cpus is too long: expected at most ${MAX_WORKERS} CPUs` })
    .default([]).describe(
      "CPUs for the workers, 0 to 1023: worker i runs on the i-th CPU listed. The other threads of xdpsteer " +
        "avoid these CPUs if there are others. Empty: workers are not pinned.",
    ),
  wait: choice("wait", ["adaptive", "poll", "busy"]).default("adaptive")
    .describe(
      "What a worker does without packets: sleep (poll), spin (busy), or spin briefly and then sleep (adaptive).",
    ),
});

const ruleName = complainAboutText("rule name", "1 to 64 characters of A-Z a-z 0-9 _ . -", faultOfName);
const worker = complainAboutNumber("worker", `a worker id from 0 to ${MAX_WORKERS - 1}, or hash`, "is not known");
/** Schema of a rule. */
export const ruleSchema: z.ZodType<Rule> = map("rule", {
  name: z.string({ error: ruleName }).regex(/^[A-Za-z0-9_.-]{1,64}$/, { error: ruleName })
    .describe("Unique name of the rule in counters and logs: 1 to 64 characters of A-Z a-z 0-9 _ . -"),
  ports: portsSchema
    .describe(
      'UDP destination ports, 1 to 65535: a port, a range "first-last", or a list of these. A port can be in ' +
        "several rules if they have no address in common.",
    ),
  addresses: addressesSchema.prefault("own")
    .describe(
      "Destination addresses of the packets. own: the addresses of this machine, as they are at any time; any: " +
        "whatever the address is; or addresses and prefixes. Packets to other addresses pass to the kernel stack.",
    ),
  sources: sourcesSchema,
  worker: z.union([whole(worker, 0, MAX_WORKERS - 1), z.literal("hash")], { error: worker })
    .default("hash").describe(
      "The worker that gets the packets: its id, counted from 0, or hash to spread them by flow.",
    ),
  action: actionSchema.prefault("count").describe(`${ACTION_WORDS}.`),
  fragments: choice("fragments", ["drop", "pass"]).default("drop")
    .describe(
      "What happens to first fragments of larger datagrams to these ports. drop: they are dropped and counted; pass: " +
        "they go to the kernel stack, which answers that nobody listens. Other fragments always go to the kernel " +
        "stack.",
    ),
  limit: limitSchema.optional().describe(
    "How much the rule takes, in total and from each source. The XDP program drops what is more, before any worker.",
  ),
  capture: captureSchema.optional(),
});

const SOCKET = "an absolute path of at most 107 bytes";
const socketPath = complainAboutText("socket", SOCKET, faultOfPath);
const GROUP = "none, or the name or number of a group";
const groupText = complainAboutText("group", GROUP, "is not possible");
const groupName: Wording = (refusal) =>
  typeof refusal.input === "number"
    ? complainAboutNumber("group", "none, a name, or a number from 0 to 4294967294")(refusal)
    : groupText(refusal);
const HTTP = 'off, or a loopback address and port like "127.0.0.1:9469" or "[::1]:9469", since it asks for no password';
const httpAddress = complainAboutText("http", HTTP, "is not possible");
const group = z.union([
  z.string({ error: groupName }).regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/, { error: groupName }),
  z.int({ error: groupName }).min(0, { error: groupName }).max(4_294_967_294, { error: groupName }),
], { error: groupName }).meta({ examples: ["netops"] });
const http = z.string({ error: httpAddress })
  .regex(/^(off|(127(\.[0-9]{1,3}){3}|\[::1\]):[0-9]{1,5})$/, { error: httpAddress })
  .refine(isLoopback, { error: httpAddress })
  .meta({ examples: ["127.0.0.1:9469", "[::1]:9469", "off"] });
const control = map("control", {
  socket: z.string({ error: socketPath }).regex(/^\//, { error: socketPath })
    .refine((path) => !hasControls(path) && new TextEncoder().encode(path).length <= 107, { error: socketPath })
    .default("/run/xdpsteer/control.sock").describe(
      `Unix socket of the control API: ${SOCKET}. A stale socket there is replaced; anything else is an error.`,
    ),
  group: written<typeof group, string | number | null>(
    group,
    (value) => value === "none" ? null : value,
    (value) => value ?? "none",
  ).prefault("none")
    .describe("Group whose members may also use the socket (mode 0660); none: its owner only (mode 0600)."),
  http: written<typeof http, string | null>(http, (value) => value === "off" ? null : value, (value) => value ?? "off")
    .prefault("127.0.0.1:9469")
    .describe("Read-only HTTP server for metrics, health and dashboard: a loopback address and port, or off."),
  settle: whole(complainAboutNumber("settle", "0 to 60 seconds"), 0, 60).default(5).describe(
    "Seconds that a file which loses more than half of at least four rules must stay as it is before it is put in " +
      "force: it may be half of what is being written. 0: at once. Default 5.",
  ),
});

function isLoopback(text: string): boolean {
  if (text === "off") return true;
  const [, host = "", port] = /^(.*):(\d+)$/.exec(text) ?? [];
  return Number(port) >= 1 && Number(port) <= 65535 && host.split(".").every((part) => !(Number(part) > 255));
}

const log = map("log", {
  level: choice("level", ["debug", "info", "warn", "error"]).default("info")
    .describe("The lowest level that is logged."),
  format: choice("format", ["auto", "text", "json"]).default("auto")
    .describe("text: for people; json: one object per line; auto: text if standard error is a terminal, else json."),
});

/** Schema of the whole file. */
export const configSchema = map("the file", {
  version: z.literal(1, { error: complain("version", "1", () => "is not supported") })
    .describe("Version of the configuration language: 1."),
  interfaces: z.array(networkInterface, {
    error: complainAboutKind("interfaces", "a list with at least one interface"),
  }).min(1, { error: "interfaces is an empty list: expected at least one interface" })
    .max(MAX_INTERFACES, { error: `interfaces has too many: expected at most ${MAX_INTERFACES}` })
    .describe("The network interfaces to steer packets on."),
  workers: section(workers, {}).describe("The processing threads."),
  steering: section(
    z.array(ruleSchema, { error: complainAboutKind("steering", "a list of rules") })
      .max(MAX_RULES, { error: `steering has too many rules: expected at most ${MAX_RULES}` }),
    [],
  ).describe("The rules. Packets that match no rule pass to the kernel stack."),
  guard: guardSection,
  lists: listsSection,
  forwarding: forwardingSchema,
  capture: section(captureSection, {}).describe("Where captures of rules may be."),
  control: section(control, {}).describe("How it is controlled: where the API listens, and when a saved file counts."),
  log: section(log, {}).describe("What is logged, and how."),
}, "a map with version, interfaces and steering");

/** What {@linkcode configSchema} makes of a file: all defaults filled in. */
export type CheckedFile = z.output<typeof configSchema>;
