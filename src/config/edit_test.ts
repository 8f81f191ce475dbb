import fc from "fast-check";
import assert from "node:assert/strict";
import { SteerError } from "../errors.ts";
import { drainRules } from "./drain.ts";
import { editSteering } from "./edit.ts";
import { parseConfig } from "./parse.ts";
import { readOrder, readPortList, setPorts, unsetPorts } from "./remap.ts";
import type { Rule } from "../steering/rule.ts";
import { HEAD } from "./testing.ts";

const OPTIONS = { file: "steering.yaml", cpuCount: 4 };
const CONFIG = parseConfig(HEAD, OPTIONS);

const rulesOf = (text: string): readonly Rule[] => parseConfig(text, OPTIONS).steering;

/** The text after `ports set`. */
function set(
  text: string,
  ports: string,
  worker: number | "hash",
  more: { action?: string; rule?: string } = {},
): string {
  return editSteering(text, setPorts(rulesOf(text), readOrder({ ports, worker, ...more }, CONFIG)), OPTIONS);
}

function unset(text: string, ports: string): string {
  return editSteering(text, unsetPorts(rulesOf(text), readPortList(ports)), OPTIONS);
}

/** What of `before` is not in `after`, and the other way round, line by line. */
function differences(before: string, after: string): string[] {
  const [old, now] = [before.split("\n"), after.split("\n")];
  return [
    ...old.filter((line) => !now.includes(line)).map((line) => `-${line}`),
    ...now
      .filter((line) => !old.includes(line)).map((line) => `+${line}`),
  ];
}

const FILE = `# Edge box 7
${HEAD}
workers: { count:   4 }   # one per core

steering:
  # The game servers.
  - name: game   # EU
    ports:
      - 7777     # lobby
      - "27015-27030"   # matches
    worker:    0

  - { name:  tele, ports: [9090,  9091 , "1-10"],   worker: 1 } # metrics
  # Name service.
  - name: 'dns'
    ports: 53
    action: "echo" # for now

# The end.
log: { level: info }
`;

Deno.test("a worker changes in place, and nothing else", () => {
  assert.deepEqual(differences(FILE, set(FILE, "7777,27015-27030", 2)), ["-    worker:    0", "+    worker:    2"]);
  assert.deepEqual(differences(FILE, set(FILE, "9090,9091,1-10", "hash")), [
    '-  - { name:  tele, ports: [9090,  9091 , "1-10"],   worker: 1 } # metrics',
    '+  - { name:  tele, ports: [9090,  9091 , "1-10"],   worker: hash } # metrics',
  ]);
});

Deno.test("a key that was left to its default is written after the others", () => {
  assert.deepEqual(differences(FILE, set(FILE, "53", 3, { action: "count" })), [
    '-    action: "echo" # for now',
    "+    worker: 3",
    "+    action: count # for now",
  ]);
  const flow = "{ name: a, ports: [1, 2,], }";
  assert.equal(
    set(`${HEAD}steering: [${flow}]`, "1,2", 3, { action: "drop" }),
    `${HEAD}steering: [{ name: a, ports: [1, 2,], worker: 3, action: drop, }]`,
  );
});

Deno.test("a port that leaves takes its line or its item along, and a range is split where it stands", () => {
  assert.deepEqual(differences(FILE, unset(FILE, "7777")), ["-      - 7777     # lobby"]);
  assert.deepEqual(differences(FILE, unset(FILE, "27016-27017")), [
    '-      - "27015-27030"   # matches',
    "+      - 27015   # matches",
    '+      - "27018-27030"',
  ]);
  for (
    const [ports, left] of [
      ["9090", '9091 , "1-10"'],
      ["9091", '9090,  "1-10"'],
      ["1-10", "9090,  9091"],
      ["9090,9091", '"1-10"'],
      ["9091,1-10", "9090"],
      ["2-9", "9090,  9091 , 1, 10"],
    ] as const
  ) assert.ok(unset(FILE, ports).includes(`ports: [${left}],`), `${ports}: ${unset(FILE, ports)}`);
});

Deno.test("a rule without ports goes with its lines; comments between the rules stay", () => {
  assert.deepEqual(differences(FILE, unset(FILE, "53")), [
    "-  - name: 'dns'",
    "-    ports: 53",
    '-    action: "echo" # for now',
  ]);
  const none = unset(FILE, "1-65535");
  assert.deepEqual(rulesOf(none), []);
  for (const comment of ["# Edge box 7", "  # The game servers.", "  # Name service.", "# The end."]) {
    assert.ok(none.split("\n").includes(comment), comment);
  }
});

Deno.test("a new rule comes last, written as the last one is", () => {
  assert.deepEqual(differences(FILE, set(FILE, "5000-5001", 3)), [
    "+  - name: ports-5000-5001",
    '+    ports: "5000-5001"',
    "+    worker: 3",
    "+    action: count",
  ]);
  const flow = `${HEAD}steering:\n- { name: a, ports: 1 }`; // and no line end
  assert.equal(set(flow, "2,4", 0), `${flow}\n- { name: ports-2_4, ports: [2, 4], worker: 0, action: count }`);
});

Deno.test("an action with settings is written in one line, without what is the default; a word takes its place", () => {
  const map = '{ forward: { to: ["10.0.0.1:53", { address: "[fd00::1]:53", weight: 2 }], idle_timeout: 5 } }';
  const text = `${HEAD}steering:\n  - { name: web, ports: 27015-27030, worker: 0, action: ${map} } # web\n`;
  assert.equal(
    set(text, "27015", 1),
    text.replace("27015-27030", '"27016-27030"') +
      `  - { name: port-27015, ports: 27015, worker: 1, action: ${map} }\n`,
  );
  assert.equal(set(text, "27015-27030", 0, { action: "count" }), text.replace(map, "count"));
  const lines =
    `${HEAD}steering:\n  - name: web\n    ports: 5\n    action:\n      forward:\n        to: ["10.0.0.1:53"] # one\n`;
  assert.throws(() => set(lines, "5", 0, { action: "count" }), /action of rule "web" is more than a word/);
});

Deno.test("the first rule finds its place in a file without any", () => {
  const item = "{ name: port-5, ports: 5, worker: 1, action: count }";
  assert.equal(set(HEAD, "5", 1), `${HEAD}steering:\n  - ${item}\n`);
  assert.equal(set(`${HEAD}steering:  # none\nlog: {}\n`, "5", 1), `${HEAD}steering:  # none\n  - ${item}\nlog: {}\n`);
  assert.equal(set(`${HEAD}steering: [] # none\n`, "5", 1), `${HEAD}steering: [${item}] # none\n`);
  assert.equal(set(`${HEAD}steering: null # none\n`, "5", 1), `${HEAD}steering: [${item}] # none\n`);
  const json = JSON.stringify({ version: 1, interfaces: [{ name: "eth0" }] });
  assert.deepEqual(rulesOf(set(json, "5", 1)), [
    {
      name: "port-5",
      ports: [{ first: 5, last: 5 }],
      worker: 1,
      action: { kind: "count" },
      addresses: "own",
      fragments: "drop",
    },
  ]);
});

Deno.test("ports that get a rule of their own are written with the limit of the rule that they come from", () => {
  const limit = "limit: { per_source: { packets: 500/s, burst: 50 }, total: { bytes: 1MB/s }, ban: 10m }";
  const text = `${HEAD}steering:\n  - { name: a, ports: [5, 6], ${limit} }\n`;
  const edited = set(text, "5", 1);
  const [first, second] = rulesOf(edited);
  assert.notEqual(first!.limit, undefined);
  assert.deepEqual(second!.limit, first!.limit);
  assert.match(
    edited,
    /limit: \{ per_source: \{ packets: "500\/s", burst: 50 \}, total: \{ bytes: "1MB\/s" \}, ban: "10m" \}/,
  );
});

Deno.test("line ends and a byte order mark stay as they are", () => {
  const windows = `\uFEFF${FILE.replaceAll("\n", "\r\n")}`;
  for (const edited of [set(windows, "5", 1), set(windows, "7777", 3), unset(windows, "53,27020")]) {
    assert.ok(edited.startsWith("\uFEFF#"));
    assert.equal(edited.replaceAll("\r\n", "").includes("\n"), false);
  }
});

Deno.test("what cannot be changed without changing more is refused, and says what it is", () => {
  const refuse = (steering: string, says: RegExp, ports = "1"): void => {
    const text = `${HEAD}workers: { count: &n 4 }\nsteering:\n${steering}`;
    assert.throws(() => set(text, ports, 2), (error) => error instanceof SteerError && says.test(error.message));
  };
  refuse(
    "  - { name: a, ports: 5, worker: &w 0 }\n  - { name: b, ports: 1, worker: *w }\n",
    /worker .*is the alias \*w/,
  );
  refuse("  - { name: b, ports: 1, worker: &w 0 }\n  - { name: a, ports: 5, worker: *w }\n", /has the anchor &w/);
  refuse("  - { name: a, ports: [5, *n], worker: 0 }\n", /an alias or an anchor is among the ports/, "4");
  const alias = `${HEAD}workers: { count: &n 4 }
steering: [{ name: a, ports: *n, worker: 0 }]
`;
  assert.throws(() => set(alias, "6", 0, { rule: "a" }), /ports of rule "a" is the alias \*n/);
});

/** A rule as somebody may write it. */
const written = fc.record({
  flow: fc.boolean(),
  flowPorts: fc.boolean(),
  worker: fc.constantFrom(undefined, 0, 1, 2, 3, "hash"),
  action: fc.constantFrom(undefined, "count", "echo", "pass", "drop"),
  comment: fc.constantFrom("", " # one", "   #two: [}", "\t# 'three"),
  above: fc.constantFrom("", "  # above\n", "\n\n", "# at the margin\n", "      # far in\n\n"),
  ports: fc.integer({ min: 1, max: 4 }),
  quote: fc.constantFrom('"', "'"),
});

interface Written {
  readonly flow: boolean;
  readonly flowPorts: boolean;
  readonly worker: number | string | undefined;
  readonly action: string | undefined;
  readonly comment: string;
  readonly above: string;
  readonly ports: number;
  readonly quote: string;
}

/** Ports of rule n lie between 100 n and 100 n + 99. */
function ruleText(rule: Written, index: number): string {
  const { flow, flowPorts, worker, action, comment, quote } = rule;
  const items = Array.from({ length: rule.ports }, (_, at) => {
    const first = (index + 1) * 100 + at * 20;
    return at % 2 === 0 ? `${first}` : `${quote}${first}-${first + 9}${quote}`;
  });
  const list = items.length === 1 && flowPorts ? items[0]! : `[${items.join(" ,  ")}]`;
  const others = [
    ...(worker === undefined ? [] : [`worker: ${worker}`]),
    ...(action === undefined ? [] : [`action: ${quote}${action}${quote}`]),
  ];
  if (flow) return `  - { ${[`name: r${index}`, `ports: ${list}`, ...others].join(",  ")} }${comment}\n`;
  const ports = flowPorts
    ? `    ports:   ${list}${comment}\n`
    : `    ports:\n${items.map((item) => `      -   ${item}${comment}\n`).join("")}`;
  return `  - name:  r${index}${comment}\n${ports}${others.map((line) => `    ${line}${comment}\n`).join("")}`;
}

const order = fc.record({
  from: fc.integer({ min: 90, max: 500 }),
  length: fc.constantFrom(0, 0, 1, 5, 30, 100, 400),
  also: fc.constantFrom("", ",300", ",120-125,320", ",60000"),
  worker: fc.constantFrom<number | "hash">(0, 1, 2, 3, "hash"),
  action: fc.constantFrom("count", "echo", "pass", "drop"),
  unset: fc.boolean(),
});

Deno.test("any change of any file says what was asked, and rules it does not touch keep every byte", () => {
  const files = fc.array(written, { maxLength: 4 });
  fc.assert(
    fc.property(files, fc.array(order, { minLength: 1, maxLength: 4 }), fc.boolean(), (rules, orders, ends) => {
      const blocks = rules.map((rule, index) => `${rule.above}${ruleText(rule, index)}`);
      const frame = {
        start: `# start\n${HEAD}workers: { count: 4 } # four\nsteering: # rules\n`,
        end: "# end\nlog: {}  # l",
      };
      let text = `${frame.start}${blocks.join("")}${frame.end}${ends ? "\n" : ""}`;
      let whole = new Set(rules.map((_, index) => `r${index}`));
      for (const { from, length, also, worker, action, unset: takesAway } of orders) {
        const before = rulesOf(text);
        const ports = `${from}-${from + length}${also}`;
        const after = takesAway
          ? unsetPorts(before, readPortList(ports))
          : setPorts(before, readOrder({ ports, worker, action }, CONFIG));
        text = editSteering(text, after, OPTIONS);
        assert.deepEqual(rulesOf(text), after);
        whole = new Set([...whole].filter((name) =>
          JSON.stringify(before.find((rule) => rule.name === name)) ===
            JSON.stringify(after.find((rule) => rule.name === name))
        ));
      }
      assert.ok(text.startsWith(frame.start) && text.endsWith(`${frame.end}${ends ? "\n" : ""}`), text);
      for (const [index, rule] of rules.entries()) {
        if (whole.has(`r${index}`)) assert.ok(text.includes(ruleText(rule, index)), text);
        for (const line of rule.above.split("\n")) assert.ok(text.includes(line), text);
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("a file that is JSON stays JSON, whatever changes", () => {
  const to = ["10.0.0.11:9000", { address: "10.0.0.12:9000", weight: 2 }];
  const start = {
    version: 1,
    interfaces: [{ name: "eth0" }],
    workers: { count: 4 },
    steering: [
      { name: "game", ports: [7777, "27015-27030"] },
      { name: "web", ports: 80, worker: 0, action: { forward: { to } } },
      { name: "tap", ports: "90-99", capture: "/var/lib/xdpsteer/a.pcapng" },
    ],
  };
  const changes: readonly ((text: string) => string)[] = [
    (text) => set(text, "27020", "hash", { action: "drop" }),
    (text) => set(text, "7777,27015-27030", "hash", { action: "echo" }),
    (text) => set(text, "80", 3, { rule: "true" }),
    (text) => set(text, "90-99", 2, { rule: "renamed" }),
    (text) => unset(text, "80"),
    (text) => unset(text, "7777,27015-27030,80,90-99"),
  ];
  for (const spaces of [0, 2]) {
    for (
      const file of [start, { ...start, steering: [] }, { ...start, steering: null }, { ...start, steering: undefined }]
    ) {
      const text = JSON.stringify(file, null, spaces);
      for (const change of changes) {
        const after = change(text);
        assert.doesNotThrow(() => JSON.parse(after), after);
      }
    }
  }
});

Deno.test("a rule that only gets another name takes its capture along in the file", () => {
  const text = `${HEAD}steering:\n  - { name: tap, ports: 9, worker: 0, capture: /var/lib/xdpsteer/a.pcapng }\n`;
  assert.deepEqual(differences(text, set(text, "9", 0, { rule: "new" })), [
    "-  - { name: tap, ports: 9, worker: 0, capture: /var/lib/xdpsteer/a.pcapng }",
    '+  - { name: new, ports: 9, worker: 0, action: count, capture: { file: "/var/lib/xdpsteer/a.pcapng" } }',
  ]);
});

Deno.test("a backend that drains is found in the file beside others that are names", () => {
  const line = (to: string): string =>
    `${HEAD}steering:\n  - { name: web, ports: 53, action: { forward: { to: [${to}] } } }\n`;
  const before = line('game.example.com:53, "10.0.0.1:53", { srv: _a._udp.b }, "10.0.0.2:53"');
  const rules = drainRules(rulesOf(before), "10.0.0.2:53", true);
  const after = line('game.example.com:53, "10.0.0.1:53", { srv: _a._udp.b }, { address: "10.0.0.2:53", drain: true }');
  assert.equal(editSteering(before, rules, OPTIONS), after);
});

Deno.test("other backends take the place of those in the file, however the rest of the action is written", () => {
  const lines = (to: string): string =>
    `${HEAD}steering:\n  - name: web\n    ports: 5\n    action:\n      forward:\n        mode: nat # as ever\n` +
    `        to:${to}\n        health: { check: udp } # often\n`;
  const after = lines(' ["10.0.0.3:53", "10.0.0.4:53"]');
  const order = readOrder({ ports: "5", to: "10.0.0.3:53,10.0.0.4:53" }, CONFIG);
  const edited = (before: string): string => editSteering(before, setPorts(rulesOf(before), order), OPTIONS);
  assert.equal(edited(lines(' ["10.0.0.1:53"]')), after);
  assert.equal(
    edited(lines("\n          - 10.0.0.1:53\n          - address: 10.0.0.2:53\n            weight: 2")),
    after,
  );
  for (const to of ["\n          - 10.0.0.1:53 # one", ' &to ["10.0.0.1:53"]', ' [&one "10.0.0.1:53"]']) {
    assert.throws(() => edited(lines(to)), SteerError);
  }
});
