import { Ajv2020 } from "ajv/dist/2020.js";
import assert from "node:assert/strict";
import { parse } from "yaml";
import * as z from "zod";
import { RULE_ACTIONS } from "../steering/action.ts";
import { parseConfig, writeConfig } from "./parse.ts";
import { type Config, configSchema } from "./schema.ts";
import { HEAD } from "./testing.ts";

const EXAMPLES = ["example", "minimal"] as const;

const readFile = (name: string): Promise<string> => Deno.readTextFile(new URL(`../../config/${name}`, import.meta.url));
const parseText = (text: string): Config => parseConfig(text, { file: "steering.yaml", cpuCount: 4 });

const DEFAULTS: Config = {
  version: 1,
  interfaces: [{
    name: "eth0",
    attach: "auto",
    zeroCopy: "auto",
    queues: "all",
    umem: { chunks: 4096, chunkSize: 2048, headroom: 0 },
    rings: { rx: 2048, tx: 2048, fill: 4096, completion: 2048 },
  }],
  workers: { count: 4, cpus: [], wait: "adaptive" },
  steering: [],
  guard: { allow: [], deny: [] },
  lists: [],
  forwarding: {
    ports: { first: 61000, last: 65535 },
    addresses: [],
    nameServers: [],
    sessions: 65_536,
    arrival: "strict",
    tableSize: 65_537,
  },
  capture: { directory: "/var/lib/xdpsteer" },
  control: { socket: "/run/xdpsteer/control.sock", group: null, http: "127.0.0.1:9469", settle: 5 },
  log: { level: "info", format: "auto" },
};

Deno.test("parseConfig() fills in the defaults", () => {
  assert.deepEqual(parseText(HEAD), DEFAULTS);
  assert.deepEqual(parseText(`${HEAD}steering: [{ name: dns, ports: 53 }]`).steering, [
    {
      name: "dns",
      ports: [{ first: 53, last: 53 }],
      worker: "hash",
      action: { kind: "count" },
      addresses: "own",
      fragments: "drop",
    },
  ]);
});

Deno.test("parseConfig() takes a section without content for one that is left out", () => {
  assert.deepEqual(parseText(`${HEAD}workers:\nsteering:\n  # - name: dns\ncontrol:\nlog:\n`), DEFAULTS);
});

const EVERY_KEY = `
version: 1
interfaces:
  - name: wan.100
    attach: native
    zero_copy: require
    queues: [0, 3]
    umem: { chunks: 65536, chunk_size: 4096, headroom: 2326 }
    rings: { rx: 64, tx: 128, fill: 32768, completion: 256 }
workers: { count: 2, cpus: [5, 7], wait: busy }
steering:
  - { name: a, ports: [1, "2", "3-5", 65535], worker: 1, action: pass, fragments: pass }
  - name: b
    ports: 6-6
    worker: hash
    action: drop
    sources: { deny: [worse] }
    limit:
      per_source: { packets: 20k/s, burst: 5, bytes: 64KiB/s, burst_bytes: 1MB }
      total: { bytes: 1GB/s }
      ipv4_prefix: 24
      ipv6_prefix: 56
      ban: 90s
      mode: observe
  - name: c
    ports: 7
    action:
      forward:
        to: [game.example.com:7, { srv: _g._udp.example.com, weight: 2 }, "10.0.0.11:9000", { address: "[fd00::1]:80", weight: 0, max_sessions: 9, backup: true }]
        affinity: source
        slow_start: 5m
        fail_open: 50%
        mode: dsr
        tunnel: gre
        remap_port: 9
        idle_timeout: 5
        health: { check: udp, port: 9, send: { hex: "ff 00" }, expect: ho, interval: 2, timeout: 0.1, rise: 1, fall: 4 }
        none_left: pass
guard: { allow: [10.0.0.0/8, "2001:DB8::/32"], deny: [bad, 10.1.0.1] }
lists:
  - { name: bad, entries: [192.0.2.1/32, worse], file: /a, url: "http://x/y", interval: 60, on_bad_line: refuse, wide_prefixes: true }
  - { name: worse, entries: ["::1"] }
forwarding: { name_servers: ["10.0.0.53:8600"], ports: 1000-1999, addresses: [192.0.2.1, "2001:DB8:0::1"], sessions: 1024, arrival: loose, table_size: 251 }
capture: { directory: /srv//captures/ }
control: { socket: /tmp/s, group: 7, http: off, settle: 0 }
log: { level: debug, format: json }
`;

Deno.test("parseConfig() reads every key", () => {
  assert.deepEqual(parseText(EVERY_KEY), {
    version: 1,
    interfaces: [{
      name: "wan.100",
      attach: "native",
      zeroCopy: "require",
      queues: [0, 3],
      umem: { chunks: 65536, chunkSize: 4096, headroom: 2326 },
      rings: { rx: 64, tx: 128, fill: 32768, completion: 256 },
    }],
    workers: { count: 2, cpus: [5, 7], wait: "busy" },
    steering: [
      {
        name: "a",
        ports: [{ first: 1, last: 1 }, { first: 2, last: 2 }, { first: 3, last: 5 }, { first: 65535, last: 65535 }],
        worker: 1,
        action: { kind: "pass" },
        addresses: "own",
        fragments: "pass",
      },
      {
        name: "b",
        ports: [{ first: 6, last: 6 }],
        worker: "hash",
        action: { kind: "drop" },
        sources: { allow: [], deny: ["worse"] },
        addresses: "own",
        fragments: "drop",
        limit: {
          perSource: { packets: 20_000, burst: 5, bytes: 65_536, burstBytes: 1_000_000 },
          total: { packets: null, burst: null, bytes: 1e9, burstBytes: null },
          ipv4Prefix: 24,
          ipv6Prefix: 56,
          ban: 90,
          mode: "observe",
        },
      },
      {
        name: "c",
        ports: [{ first: 7, last: 7 }],
        worker: "hash",
        action: {
          kind: "forward",
          to: [
            { name: "10.0.0.11:9000", address: "10.0.0.11", port: 9000, weight: 1 },
            { name: "[fd00::1]:80", address: "fd00::1", port: 80, weight: 0, maxSessions: 9, backup: true },
          ],
          names: [
            { name: "game.example.com:7", host: "game.example.com", port: 7, weight: 1 },
            { name: "_g._udp.example.com", host: "_g._udp.example.com", port: null, weight: 2 },
          ],
          mode: "dsr",
          clientAddress: "none",
          source: "box",
          tunnel: "gre",
          remapPort: 9,
          idleTimeout: 5,
          drainTimeout: 600,
          affinity: "source",
          answers: null,
          slowStart: 300,
          failOpen: 50,
          health: {
            check: "udp",
            port: 9,
            send: { hex: "ff 00" },
            expect: "ho",
            interval: 2,
            timeout: 0.1,
            rise: 1,
            fall: 4,
          },
          noneLeft: "pass",
        },
        addresses: "own",
        fragments: "drop",
      },
    ],
    guard: { allow: ["10.0.0.0/8", "2001:db8::/32"], deny: ["bad", "10.1.0.1"] },
    lists: [
      {
        name: "bad",
        entries: ["192.0.2.1", "worse"],
        file: "/a",
        url: "http://x/y",
        interval: 60,
        onBadLine: "refuse",
        widePrefixes: true,
      },
      {
        name: "worse",
        entries: ["::1"],
        file: null,
        url: null,
        interval: 3600,
        onBadLine: "skip",
        widePrefixes: false,
      },
    ],
    forwarding: {
      ports: { first: 1000, last: 1999 },
      addresses: ["192.0.2.1", "2001:db8::1"],
      sessions: 1024,
      nameServers: [{ address: "10.0.0.53", port: 8600 }],
      arrival: "loose",
      tableSize: 251,
    },
    capture: { directory: "/srv/captures" },
    control: { socket: "/tmp/s", group: 7, http: null, settle: 0 },
    log: { level: "debug", format: "json" },
  });
});

Deno.test("writeConfig() writes what parseConfig() reads as the same configuration", async () => {
  const captures =
    "steering: [{ name: a, ports: 1, capture: /a.pcapng }, { name: b, ports: 2, capture: { file: /b.pcapng, " +
    "snap: 99, sample: 3, rotate: { size: 1MiB, seconds: 60, keep: 0 } } }]\ncapture: { directory: / }";
  const files = await Promise.all(EXAMPLES.map((name) => readFile(`steering.${name}.yaml`)));
  for (const text of [HEAD, EVERY_KEY, HEAD + captures, ...files]) {
    const config = parseText(text);
    assert.deepEqual(parseText(writeConfig(config)), config);
  }
});

Deno.test("parseConfig() counts the workers: as told, else as many as cpus, else as the machine has CPUs", () => {
  const count = (workers: string, cpuCount: number): number =>
    parseConfig(`${HEAD}workers: ${workers}`, { file: "steering.yaml", cpuCount }).workers.count;
  assert.equal(count("{ count: 3 }", 8), 3);
  assert.equal(count("{ cpus: [0, 2] }", 8), 2);
  assert.equal(count("{}", 8), 8);
  assert.equal(count("{}", 256), 64);
});

Deno.test("parseConfig() takes bytes with a byte order mark, CRLF, anchors and aliases", () => {
  const text =
    `\uFEFF${HEAD}steering:\n- { name: a, ports: &p [53], worker: &w 3 }\n- { name: b, ports: 54, worker: *w }`;
  const config = parseConfig(new TextEncoder().encode(text.replaceAll("\n", "\r\n")), { file: "", cpuCount: 4 });
  assert.deepEqual(config.steering.map(({ worker }) => worker), [3, 3]);
});

Deno.test("parseConfig() takes addresses of the whole loopback network", () => {
  for (const http of ["127.0.0.1:1", "127.255.255.254:65535", "[::1]:9469"]) {
    assert.equal(parseText(`${HEAD}control: { http: "${http}" }`).control.http, http);
  }
});

Deno.test("the example file spells out the defaults and shows all actions", async () => {
  const config = parseText(await readFile("steering.example.yaml"));
  assert.deepEqual({ ...config, steering: [], lists: [] }, DEFAULTS);
  assert.deepEqual(config.lists.map(({ interval, onBadLine }) => [interval, onBadLine]), [[3600, "skip"]]);
  const actions = new Set<string>(config.steering.map(({ action }) => action.kind));
  assert.deepEqual(actions, new Set<string>(RULE_ACTIONS));
});

Deno.test("the README's table of keys has all actions", async () => {
  const [row] = (await readFile("../README.md")).match(/^\| `steering\[\]\.action`.*$/m)!;
  const missing = RULE_ACTIONS.filter((kind) => !new RegExp(`\`${kind}\\b`).test(row));
  assert.deepEqual(missing, [], "add them to README.md");
});

Deno.test("the minimal file has at most ten lines", async () => {
  const text = await readFile("steering.minimal.yaml");
  assert.ok(text.trimEnd().split("\n").length <= 10);
  const { workers, steering } = parseText(text);
  assert.equal(workers.count, 2);
  assert.deepEqual(steering.map(({ ports, worker }) => [ports[0]?.first, worker]), [[8080, 0], [9090, 1]]);
});

Deno.test("the JSON schema accepts what the parser accepts, and refuses what this version cannot do", async () => {
  const ajv = new Ajv2020({ strictTuples: false, allowUnionTypes: true });
  const accepts = ajv.compile(JSON.parse(await readFile("steering.schema.json")));
  for (const name of EXAMPLES) {
    assert.ok(accepts(parse(await readFile(`steering.${name}.yaml`), { merge: true })), ajv.errorsText(accepts.errors));
  }
  for (
    const good of [
      "workers:\nsteering:\ncontrol:\nlog:\n",
      'steering: [{ name: a, ports: 1 }, { name: b, ports: "2-3" }, { name: c, ports: [4, "5-6"] }]',
      "control: { http: off }",
      "workers: { count: 2, cpus: [0, 1] }",
    ]
  ) {
    parseText(HEAD + good);
    assert.ok(accepts(parse(HEAD + good)), `${good}: ${ajv.errorsText(accepts.errors)}`);
  }
  for (
    const bad of [
      "colour: red",
      "steering: [{ name: a, ports: 0 }]",
      "steering: [{ name: a, ports: [] }]",
      "steering: [{ name: a, ports: 1, action: forward }]",
      "steering: [{ name: a, ports: 1, worker: 64 }]",
      "workers: { cpus: [0, 0] }",
      "control: { http: 0.0.0.0:9469 }",
    ]
  ) {
    assert.throws(() => parseText(HEAD + bad));
    assert.ok(!accepts(parse(HEAD + bad)), bad);
  }
  assert.ok(!accepts({ version: 1, interfaces: [{ name: "eth0", attach: "shared" }] }));
});

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

/** Every key there is, as `section[].key`. */
function keysOf(schema: JsonSchema, path = ""): string[] {
  return [
    ...Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => {
      const here = path === "" ? key : `${path}.${key}`;
      return [here, ...keysOf(inner, here)];
    }),
    ...(schema.items === undefined ? [] : keysOf(schema.items, `${path}[]`)),
    ...(schema.anyOf ?? []).flatMap((branch) => keysOf(branch, path)),
  ];
}

/** The keys that a file says, in the same form. */
function keysIn(value: unknown, path = ""): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => keysIn(item, `${path}[]`));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const here = path === "" ? key : `${path}.${key}`;
    return [here, ...keysIn(inner, here)];
  });
}

Deno.test("the example file and docs/configuration.md have every key", async () => {
  const keys = new Set(keysOf(z.toJSONSchema(configSchema, { io: "input" }) as JsonSchema));
  assert.ok(keys.size >= 60, `${keys.size} keys`);
  const said = new Set(keysIn(parse(await readFile("steering.example.yaml"), { merge: true })));
  assert.deepEqual(
    [...keys.difference(said)],
    [],
    "a comment is not enough: a key that is not in force is not checked",
  );
  const page = await Deno.readTextFile(new URL("../../docs/configuration.md", import.meta.url));
  const documented = new Set(
    page.split(/^### `/m).slice(1).flatMap((section) => {
      const place = section.slice(0, section.indexOf("`"));
      return [...section.matchAll(/^- \*\*`(\w+)`\*\*/gm)].map(([, key]) => `${place}.${key}`);
    }),
  );
  const top = new Set(
    [...page.slice(page.indexOf("## Keys")).split("### ")[0]!.matchAll(/^- \*\*`(\w+)`/gm)].map((m) => m[1]!),
  );
  assert.deepEqual([...keys].filter((key) => !(key.includes(".") ? documented : top).has(key)), []);
});

Deno.test("the JSON schema describes every key", async () => {
  const undescribed: string[] = [];
  const visit = (schema: Record<string, unknown>, path: string): void => {
    for (const [key, value] of Object.entries(schema)) {
      if (typeof value !== "object" || value === null) continue;
      const children = value as Record<string, unknown>;
      if (key === "properties") {
        for (const [name, property] of Object.entries(children)) {
          const { description } = property as { description?: string };
          if (description === undefined) undescribed.push(`${path}${name}`);
          visit(property as Record<string, unknown>, `${path}${name}.`);
        }
      } else visit(children, path);
    }
  };
  visit(JSON.parse(await readFile("steering.schema.json")), "");
  assert.deepEqual(undescribed, []);
});
