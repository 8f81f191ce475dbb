/**
 * Every bound of the program, just at it and just over it: what `check` accepts there is room for, and nothing more is
 * accepted.
 */
import assert from "node:assert/strict";
import { LIMIT } from "../bpf/layout.gen.ts";
import { orRefused } from "../engine/room.ts";
import { SteerError } from "../errors.ts";
import { createForwardTables, indexBackends, MAX_BACKENDS, viewForwardTables } from "../steering/forward_table.ts";
import { BACKEND, BACKEND_KNOWN, BACKEND_ROWS, backendAt } from "../steering/forward_table.ts";
import { RuleSlots } from "../steering/slots.ts";
import { MAX_FILE_SIZE } from "./problems.ts";
import { MAX_RULES, MAX_WORKERS } from "./schema.ts";
import { complaints } from "./testing.ts";

const ANYWHERE = "capture: { directory: / }";
const TOP = "version: 1\n";
const HEAD = `${TOP}interfaces: [{ name: eth0 }]\n`;
const list = (count: number, item: (index: number) => string): string =>
  `[${Array.from({ length: count }, (_, index) => item(index)).join(", ")}]`;
const backend = (index: number): string => `"10.${1 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}:9000"`;
/** Rules that forward, `perRule` backends each, all different. */
const forwarding = (count: number, perRule: number, more = ""): string => {
  const rule = (index: number): string => {
    const first = index * perRule;
    const to = list(Math.min(perRule, count - first), (at) => backend(first + at));
    return `{ name: r${index}, ports: ${index + 1}, action: { forward: { to: ${to} } } }`;
  };
  return `${HEAD}${more}steering: ${list(Math.ceil(count / perRule), rule)}`;
};
const interfaces = (settings: string): string => `${TOP}interfaces: [{ name: eth0, ${settings} }]`;
const rule = (settings: string): string => `${HEAD}steering: [{ name: a, ports: 1, ${settings} }]\n${ANYWHERE}`;
const forward = (settings: string): string => rule(`action: { forward: { to: ["10.0.0.1:1"], ${settings} } }`);
const health = (settings: string): string => forward(`health: { check: udp, ${settings} }`);

interface Bound {
  readonly text: (value: number) => string;
  readonly most: number;
  /** What is one too many; default: one more. */
  readonly over?: number;
  readonly says: RegExp;
}

const BOUNDS: Readonly<Record<string, Bound>> = {
  "bytes of the file": {
    text: (bytes) => `${HEAD}#`.padEnd(bytes, "x"),
    most: MAX_FILE_SIZE,
    says: /^0:0 the file is larger than 1 MiB: expected at most 1 MiB$/,
  },
  "levels of nesting": {
    text: (levels) => `${HEAD}x-a: ${"[".repeat(levels)}${"]".repeat(levels)}`,
    most: 58,
    over: 64,
    says: /too deeply nested: expected at most 64 levels/,
  },
  "bytes of an interface's name": {
    text: (bytes) => `${TOP}interfaces: [{ name: ${"é".repeat(bytes >> 1)}${"x".repeat(bytes & 1)} }]`,
    most: 127,
    says: /interface name ".*" is not valid: expected 1 to 127 bytes/,
  },
  "a queue's id": { text: (id) => interfaces(`queues: [${id}]`), most: 255, says: /queue 256 is out of range/ },
  "chunks": { text: (count) => interfaces(`umem: { chunks: ${count} }`), most: 65536, says: /chunks 65537/ },
  "headroom of small chunks": {
    text: (bytes) => interfaces(`umem: { headroom: ${bytes} }`),
    most: 278,
    says: /headroom 279 is too large/,
  },
  "headroom of large chunks": {
    text: (bytes) => interfaces(`umem: { chunk_size: 4096, headroom: ${bytes} }`),
    most: 2326,
    says: /headroom 2327 is too large/,
  },
  ...Object.fromEntries(["rx", "tx", "fill", "completion"].map((ring) => [
    `entries of the ${ring} ring`,
    {
      text: (entries) => interfaces(`rings: { ${ring}: ${entries} }`),
      most: 32768,
      over: 65536,
      says: new RegExp(`${ring} 65536 is out of range`),
    } satisfies Bound,
  ])),
  "workers": {
    text: (count) => `${HEAD}workers: { count: ${count} }`,
    most: MAX_WORKERS,
    says: /count 65 is out of range/,
  },
  "CPUs": {
    text: (count) => `${HEAD}workers: { cpus: ${list(count, String)} }`,
    most: MAX_WORKERS,
    says: /cpus is too long: expected at most 64 CPUs/,
  },
  "a CPU's id": { text: (cpu) => `${HEAD}workers: { cpus: [${cpu}] }`, most: 1023, says: /cpu 1024 is out of range/ },
  "rules": {
    text: (count) => `${HEAD}steering: ${list(count, (index) => `{ name: r${index}, ports: ${index + 1} }`)}`,
    most: MAX_RULES,
    says: /steering has too many rules: expected at most 4096/,
  },
  "characters of a rule's name": {
    text: (length) => `${HEAD}steering: [{ name: ${"x".repeat(length)}, ports: 1 }]`,
    most: 64,
    says: /rule name ".*" is not valid: expected 1 to 64 characters/,
  },
  "a port": {
    text: (port) => `${HEAD}steering: [{ name: a, ports: ${port} }]`,
    most: 65535,
    says: /port 65536 is out/,
  },
  "a rule's worker": {
    text: (worker) => `${HEAD}workers: { count: 64 }\nsteering: [{ name: a, ports: 1, worker: ${worker} }]`,
    most: 63,
    says: /worker 64 is out of range/,
  },
  "rules with a capture": {
    text: (count) =>
      `${HEAD}steering: ${
        list(count, (at) => `{ name: r${at}, ports: ${at + 1}, capture: /v/${at}.pcapng }`)
      }\n${ANYWHERE}`,
    most: 128,
    says: /capture number 129: expected at most 128 rules with a capture/,
  },
  "bytes of a capture's path": {
    text: (bytes) => rule(`capture: /${"d/".repeat((bytes - 9) >> 1)}${bytes & 1 ? "" : "d"}a.pcapng`),
    most: 1024,
    says: /file ".*" is longer than 1024 bytes/,
  },
  "bytes of the directory for captures": {
    text: (bytes) => `${HEAD}capture: { directory: /${"d".repeat(bytes - 1)} }`,
    most: 1000,
    says: /directory ".*" is too long: expected an absolute path of at most 1000 bytes/,
  },
  "bytes captured of a packet": {
    text: (bytes) => rule(`capture: { file: /a.pcapng, snap: ${bytes} }`),
    most: 65535,
    says: /snap 65536 is out of range/,
  },
  "packets of which one is captured": {
    text: (count) => rule(`capture: { file: /a.pcapng, sample: ${count} }`),
    most: 1_000_000_000,
    says: /sample 1000000001 is out of range/,
  },
  "bytes of a capture file": {
    text: (bytes) => rule(`capture: { file: /a.pcapng, rotate: { size: ${bytes} } }`),
    most: 2 ** 40,
    says: /size 1099511627777 is not possible/,
  },
  "seconds until a file counts that loses most rules": {
    text: (seconds) => `${HEAD}control: { settle: ${seconds} }`,
    most: 60,
    says: /settle 61 is out of range/,
  },
  "seconds of a capture file": {
    text: (seconds) => rule(`capture: { file: /a.pcapng, rotate: { seconds: ${seconds} } }`),
    most: 604_800,
    says: /seconds 604801 is out of range/,
  },
  "files of a capture": {
    text: (count) => rule(`capture: { file: /a.pcapng, rotate: { keep: ${count} } }`),
    most: 1000,
    says: /keep 1001 is out of range/,
  },
  "rules that forward": {
    text: (count) => forwarding(count, 1, "forwarding: { table_size: 251 }\n"),
    most: 64,
    says: /rule number 65 that forwards: expected at most 64 with table_size 251/,
  },
  "rules that forward, with tables of the usual size": {
    text: (count) => forwarding(count, 1),
    most: 64,
    says: /rule number 65 that forwards: expected at most 64 with table_size 65537/,
  },
  "rules that forward, with tables of the largest size": {
    text: (count) => forwarding(count, 1, "forwarding: { table_size: 655373 }\n"),
    most: 6,
    says: /rule number 7 that forwards: expected at most 6 with table_size 655373/,
  },
  "backends of a rule": {
    text: (count) => forwarding(count, count),
    most: 256,
    says: /to has too many backends: expected at most 256/,
  },
  "backends of a rule with the smallest table": {
    text: (count) => forwarding(count, count, "forwarding: { table_size: 251 }\n"),
    most: 251,
    says: /to lists 252 backends and table_size is 251: expected no more backends/,
  },
  "backends of all rules": {
    text: (count) => forwarding(count, 250),
    most: MAX_BACKENDS,
    says: /backend number 1025 of all rules: expected at most 1024 different ones/,
  },
  "a backend's weight": {
    text: (weight) => rule(`action: { forward: { to: [{ address: "10.0.0.1:1", weight: ${weight} }] } }`),
    most: 1000,
    says: /weight 1001 is out of range/,
  },
  "a backend's port": {
    text: (port) => rule(`action: { forward: { to: ["10.0.0.1:${port}"] } }`),
    most: 65535,
    says: /backend "10\.0\.0\.1:65536" has the port 65536, which is out of range \(1 to 65535\)/,
  },
  "remap_port": { text: (port) => forward(`mode: dsr, remap_port: ${port}`), most: 65535, says: /remap_port 65536/ },
  "idle_timeout": { text: (seconds) => forward(`idle_timeout: ${seconds}`), most: 86_400, says: /idle_timeout 86401/ },
  ...Object.fromEntries(([["interval", 300], ["timeout", 60], ["rise", 100], ["fall", 100], ["port", 65535]] as const)
    .map(([key, most]) => [
      `${key} of a health check`,
      {
        text: (value) => health(`${key}: ${value}`),
        most,
        says: new RegExp(`${key} ${most + 1} is out of range`),
      } satisfies Bound,
    ])),
  ...Object.fromEntries(["send", "expect"].map((key) => [
    `characters of ${key}`,
    {
      text: (length) => health(`${key}: ${"x".repeat(length)}`),
      most: 512,
      says: new RegExp(`${key} ".*" is not possible`),
    } satisfies Bound,
  ])),
  ...Object.fromEntries(["send", "expect"].map((key) => [
    `bytes of ${key}`,
    {
      text: (length) => health(`${key}: { hex: "${"ff".repeat(length)}" }`),
      most: 512,
      says: /hex ".*" is 513 bytes long/,
    } satisfies Bound,
  ])),
  "sessions": {
    text: (count) => `${HEAD}forwarding: { sessions: ${count} }`,
    most: 1_048_576,
    over: 2_097_152,
    says: /sessions 2097152 is out of range/,
  },
  "table_size": {
    text: (size) => `${HEAD}forwarding: { table_size: ${size} }`,
    most: 655_373,
    over: 655_379,
    says: /table_size 655379 is not possible/,
  },
  "workers that share the translation ports": {
    text: (workers) => forwarding(1, 1, `workers: { count: ${workers} }\nforwarding: { ports: "61000-61007" }\n`),
    most: 8,
    says: /ports "61000-61007" are fewer than the 9 workers/,
  },
  "the last translation port": {
    text: (port) => `${HEAD}forwarding: { ports: "61000-${port}" }`,
    most: 65535,
    says: /ports "61000-65536" is not possible/,
  },
  "bytes of the control socket's path": {
    text: (bytes) => `${HEAD}control: { socket: ${"/".padEnd(bytes, "x")} }`,
    most: 107,
    says: /socket ".*" is too long: expected an absolute path of at most 107 bytes/,
  },
  "a group's number": {
    text: (group) => `${HEAD}control: { group: ${group} }`,
    most: 4_294_967_294,
    says: /group 4294967295 is out of range/,
  },
  "the port of http": {
    text: (port) => `${HEAD}control: { http: "127.0.0.1:${port}" }`,
    most: 65535,
    says: /http "127\.0\.0\.1:65536" is not possible/,
  },
};

for (const [what, { text, most, over = most + 1, says }] of Object.entries(BOUNDS)) {
  Deno.test(`check knows the bound of ${what}`, () => {
    assert.deepEqual(complaints(text(most)), []);
    const [complaint = "it is accepted"] = complaints(text(over));
    assert.match(complaint, says);
  });
}

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

/** Two configurations at the bound after one another that have no name in common, and a third. */
function replaceAll(slots: RuleSlots, most: number, always: readonly string[]): void {
  for (let generation = 1; generation <= 5; generation++) {
    const plan = slots.plan([...names(`${generation}-`, most), ...always], generation);
    plan.flip();
    const given = plan.slots;
    assert.equal(new Set(given).size, most + always.length);
    assert.ok(given.every((slot) => slot > 0 && slot < slots.capacity));
  }
}

Deno.test("there are slots for two generations of as many rules as there can be, and the answers of all workers", () => {
  replaceAll(new RuleSlots(LIMIT.RULE_SLOTS), MAX_RULES, names("answers", MAX_WORKERS));
  const few = new RuleSlots(4);
  few.plan(["a", "b"], 1).flip();
  assert.throws(() => orRefused("rules", () => few.plan(["c", "d"], 2)), (error) => {
    assert.ok(error instanceof SteerError && error.hint !== undefined);
    assert.equal(error.message, "Too many different rules in a short time: no more than 3 in two generations");
    return true;
  });
});

Deno.test("there are rows for two generations of as many backends as there can be", () => {
  replaceAll(new RuleSlots(BACKEND_ROWS), MAX_BACKENDS, []);
  const [table] = viewForwardTables(createForwardTables(LIMIT.RULE_SLOTS), LIMIT.RULE_SLOTS);
  for (let row = 1; row < BACKEND_ROWS; row++) {
    table!.backends[backendAt(row)] = row;
    table!.backends[backendAt(row) + BACKEND.flags] = BACKEND_KNOWN;
  }
  indexBackends(table!);
  assert.equal(table!.index.filter((entry) => entry !== 0).length, BACKEND_ROWS - 1);
});
