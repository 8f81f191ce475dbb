import assert from "node:assert/strict";
import { parseConfig } from "./parse.ts";
import { complaints, HEAD, keysOf, problemsOf } from "./testing.ts";
import { YamlFile } from "./yaml_file.ts";

const MAP = "expected a map with version, interfaces and steering";

/** What is wrong with a file as a whole, or as YAML. */
const FILES: readonly (readonly [what: string, text: string | Uint8Array, ...expected: string[]])[] = [
  ["an empty file", "", `0:0 the file is empty: ${MAP}`],
  ["a file of comments", "# nothing\n---\n# here\n", `0:0 the file is empty: ${MAP}`],
  ["10 MB", "#".repeat(10_000_000), "0:0 the file is 10.0 MB: expected at most 1 MiB"],
  ["a NUL byte", new Uint8Array([0x61, 0x00]), "0:0 is not text (byte 0x00 at offset 1): expected a YAML file"],
  ["Latin-1", new Uint8Array([0x61, 0xe9, 0x62]), "0:0 is not text (byte 0xe9 at offset 1): expected a YAML file"],
  [
    "a cut character",
    new Uint8Array([0x61, 0xe2, 0x82]),
    "0:0 is not text (byte 0xe2 at offset 1): expected a YAML file",
  ],
  ["a list", "- 1", `1:1 the file is a list: ${MAP}`],
  ["a text", "hello", `1:1 the file is text: ${MAP}`],
  ["a wrong version", 'version: "1"\ninterfaces: [{ name: e }]', '1:10 version "1" is not supported: expected 1'],
  [
    "missing keys",
    "# comment\nlog: {}",
    '2:1 missing key "version": expected 1',
    '2:1 missing key "interfaces": expected a list with at least one interface',
  ],
  ["no interface", "version: 1\ninterfaces: []", "2:13 interfaces is an empty list: expected at least one interface"],
  [
    "a key twice",
    `${HEAD}version: 1`,
    '3:1 key "version" appears twice: expected it once, and it is on line 1 already',
  ],
  ["an open list", `${HEAD}steering: [\nlog: {}`, "4:1 a list or map in brackets is not closed: expected ]"],
  ["an open quote", `${HEAD}log: { level: "info }`, '3:15 a quoted text does not end: expected a closing "'],
  ["a tab", `${HEAD}log:\n\tlevel: info`, "4:1 a tab is used for indentation: expected spaces"],
  ["a missing colon", `version 1\n${HEAD}`, '1:1 a line without ":", expected "key: value"'],
  ["two documents", `${HEAD}---\nversion: 1`, "3:1 a second YAML document starts here: expected only one"],
  ["an unknown tag", `${HEAD}log: !x {}`, "3:6 tag !x is not known: expected a value without a tag"],
  ["an unknown alias", `${HEAD}log: *x`, '3:6 alias "*x" has no anchor: expected "&x" before it'],
  ["a circular alias", `${HEAD}log: &x [*x]`, '3:10 alias "*x" stands for what it is part of: expected another anchor'],
  [
    "an alias bomb",
    `${HEAD}log: [&x 1${", *x".repeat(10_000)}]`,
    "3:40009 too many anchors and aliases: expected at most 10000",
  ],
  ["deep nesting", "[".repeat(1_000_000), "1:64 too deeply nested: expected at most 64 levels"],
];

for (const [what, text, ...expected] of FILES) {
  Deno.test(`parseConfig() complains about ${what}`, () => assert.deepEqual(complaints(text), expected));
}

Deno.test("parseConfig() names both rules when ports overlap", () => {
  const text = `${HEAD}steering:
  - name: game
    ports: 27000-27100
  - name: dns
    ports: 53
  - name: voice
    ports:
      - 5060
      - 27050-27200
      - 53
`;
  assert.deepEqual(complaints(text), [
    '11:9 ports 27050-27100 of rule "voice" are already in rule "game" on line 5: expected each port once',
    '12:9 port 53 of rule "voice" is already in rule "dns" on line 7: expected each port once',
  ]);
});

Deno.test("parseConfig() points at the alias when two uses of one anchor clash", () => {
  const text = `${HEAD}steering:\n  - &dns { name: dns, ports: 53, wroker: 1 }\n  - *dns\n`;
  assert.deepEqual(complaints(text), [
    '4:34 unknown key "wroker": did you mean "worker"?',
    '5:5 rule name "dns" is used twice: expected another, line 4 has it already',
    '5:5 port 53 of rule "dns" is already in rule "dns" on line 4: expected each port once',
  ]);
});

Deno.test("parseConfig() reports schema, cross-field and syntax problems at once, in the order of the file", () => {
  const text = `version: 2
interfaces:
  - name: eth0
    queues: [0, 900]
workers: { count: 2 }
steering:
  - name: a
    ports: 80
    worker: 2
    colour: red
  - name: a
    ports: [80, x]
log: { level: "info }
`;
  assert.deepEqual(complaints(text), [
    "1:10 version 2 is not supported: expected 1",
    "4:17 queue 900 is out of range: expected 0 to 255",
    "9:13 worker 2 does not exist: expected 0 to 1, or hash, since workers.count is 2",
    `10:5 unknown key "colour": expected one of: ${keysOf("steering")}`,
    '11:11 rule name "a" is used twice: expected another, line 7 has it already',
    '12:13 port 80 of rule "a" is already in rule "a" on line 8: expected each port once',
    '12:17 port "x" is not a port: expected 1 to 65535, or a range like "27015-27030"',
    '13:15 a quoted text does not end: expected a closing "',
  ]);
});

Deno.test("parseConfig() lists 50 problems and counts the rest", () => {
  const ports = Array.from({ length: 60 }, () => "0").join(", ");
  const problems = problemsOf(`${HEAD}steering: [{ name: a, ports: [${ports}] }]`);
  assert.equal(problems.length, 51);
  assert.deepEqual(problems.at(-1), { line: 0, column: 0, message: "and 10 more problems", snippet: "" });
});

Deno.test("parseConfig() throws an error that reads as a whole", () => {
  assert.throws(() => parseConfig(`${HEAD}log: { level: loud }`, { file: "a.yaml", cpuCount: 1 }), {
    name: "ConfigError",
    exitCode: 3,
    message: 'a.yaml:3:15: level "loud" is not known: expected one of: debug, info, warn, error\n' +
      "log: { level: loud }\n              ^",
  });
});

Deno.test("parseConfig() does not read on a text that is broken a thousand times, and takes no comment for a mistake", () => {
  const { findings } = new YamlFile(`${'""'.repeat(2000)}\n---\nsecond`);
  assert.ok(findings.length > 0 && !findings.some(({ message }) => message.includes("second YAML document")));
  parseConfig(new TextEncoder().encode(`${HEAD}log: {}\n${"# a comment\n\n".repeat(5000)}`), {
    file: "f",
    cpuCount: 2,
  });
});
