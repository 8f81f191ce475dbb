import assert from "node:assert/strict";
import { REACHING_WORKERS } from "./actions.ts";
import { parseConfig } from "./parse.ts";
import { complaints, HEAD, keysOf } from "./testing.ts";

const rule = (capture: string, more = ""): string => `steering: [{ name: a, ports: 53${more}, capture: ${capture} }]`;
const ANYWHERE = "\ncapture: { directory: / }";
const FILE = 'expected an absolute path that ends in ".pcapng"';
const SIZE = "expected bytes from 128KiB to 1TiB, with KiB, MiB, GiB or TiB after the number or nothing";
const two = (first: string, second: string): string =>
  `steering:\n- { name: a, ports: 1, capture: ${first} }\n- { name: b, ports: 2, capture: ${second} }`;

const CASES: Readonly<Record<string, readonly string[]>> = {
  [rule("/x/a.pcapng")]: [],
  [rule("{ file: /x/a.pcapng, rotate: { size: 1048576 } }")]: [],
  [rule("a.pcapng")]: [`3:43 file "a.pcapng" is not absolute: ${FILE}`],
  [rule("/etc/passwd")]: [`3:43 file "/etc/passwd" has another ending: ${FILE}`],
  [rule("/x/.pcapng/")]: [`3:43 file "/x/.pcapng/" has another ending: ${FILE}`],
  [rule("7")]: [`3:43 capture is a number: ${FILE}, or a map`],
  [rule("{}")]: [`3:43 missing key "file": ${FILE}`],
  [rule("{ file: x }")]: [`3:51 file "x" is not absolute: ${FILE}`],
  [rule("{ file: /a.pcapng, snap: 13 }")]: ["3:68 snap 13 is out of range: expected 14 to 65535 bytes"],
  [rule("{ file: /a.pcapng, sample: 0 }")]: ["3:70 sample 0 is out of range: expected 1 to 1000000000"],
  [rule("{ file: /a.pcapng, rotate: { size: 64MB } }")]: [`3:78 size "64MB" is not possible: ${SIZE}`],
  [rule("{ file: /a.pcapng, rotate: { size: 127KiB } }")]: [`3:78 size "127KiB" is not possible: ${SIZE}`],
  [rule("{ file: /a.pcapng, rotate: { keep: -1 } }")]: ["3:78 keep -1 is out of range: expected 0 to 1000 files"],
  [rule("{ file: /a.pcapng, rotate: { seconds: 0 } }")]: [
    "3:81 seconds 0 is out of range: expected 1 to 604800 seconds",
  ],
  [rule("{ file: /a.pcapng, snaplen: 1 }")]: [
    `3:62 unknown key "snaplen": expected one of: ${keysOf("steering", "capture")}`,
  ],
  [rule("/a.pcapng", ", action: drop")]: [
    `3:57 capture is not possible with action "drop": expected ${REACHING_WORKERS}, since only their packets reach a worker`,
  ],
  [rule("{ file: /a.pcapng }", ", action: pass")]: [
    `3:57 capture is not possible with action "pass": expected ${REACHING_WORKERS}, since only their packets reach a worker`,
  ],
  [two("/x/a.pcapng", "/x/b.pcapng")]: [],
  [two("/x/a.pcapng", "/x/../x/a.pcapng")]: [
    '5:33 capture file "/x/../x/a.pcapng" gets into the way of that on line 4: expected a file for each rule',
  ],
  [two("/x/a.pcapng", "{ file: /x/a.2.pcapng }")]: [
    '5:41 capture file "/x/a.2.pcapng" gets into the way of that on line 4: expected a file for each rule',
  ],
  "steering: [{ name: a, ports: 53, action: capture }]": [
    '3:42 action "capture" is not an action: expected the key "capture" beside the action, like "capture: /path/name.pcapng"',
  ],
};

for (const [text, expected] of Object.entries(CASES)) {
  Deno.test(`parseConfig() of ${text}`, () => assert.deepEqual(complaints(HEAD + text + ANYWHERE), expected));
}

Deno.test("a path alone is a capture with all defaults", () => {
  const parse = (text: string): unknown =>
    parseConfig(HEAD + text + ANYWHERE, { file: "", cpuCount: 2 }).steering.map(({ capture }) => capture);
  const defaults = { file: "/x/a.pcapng", snap: 65_535, sample: 1, rotate: { size: 2 ** 26, seconds: null, keep: 5 } };
  assert.deepEqual(parse(rule("/x/a.pcapng")), [defaults]);
  assert.deepEqual(parse(rule("{ file: /x//a.pcapng, snap: 256, rotate: { size: 1GiB, seconds: 9, keep: 0 } }")), [
    { ...defaults, snap: 256, rotate: { size: 2 ** 30, seconds: 9, keep: 0 } },
  ]);
});

Deno.test("more captures than there may be are told at the first one too many", () => {
  const rules = Array.from({ length: 129 }, (_, n) => `- { name: r${n}, ports: ${n + 1}, capture: /x/${n}a.pcapng }`);
  assert.deepEqual(complaints(`${HEAD}steering:\n${rules.join("\n")}${ANYWHERE}`), [
    "132:38 capture number 129: expected at most 128 rules with a capture",
  ]);
});

Deno.test("a capture outside of capture.directory is refused, with what to do", () => {
  const of = (directory: string, file: string): string[] => complaints(`${HEAD}${rule(file)}\n${directory}`);
  const outside = (file: string, directory: string): string[] => [
    `3:43 capture file "${file}" is outside of the directory for captures: expected a file in capture.directory, ` +
    `"${directory}", or another directory there`,
  ];
  const usual = "/var/lib/xdpsteer";
  assert.deepEqual(of("", `${usual}/a.pcapng`), []);
  assert.deepEqual(of("", `${usual}/deeper/a.pcapng`), []);
  for (const file of [`${usual}-2/a.pcapng`, `${usual}/../a.pcapng`, "/etc/a.pcapng", `${usual}.pcapng`]) {
    assert.deepEqual(of("", file), outside(file, usual));
  }
  for (const directory of ["/srv/captures", "/srv//x/../captures/"]) {
    const section = `capture: { directory: ${directory} }`;
    assert.deepEqual(of(section, "/srv/captures/a.pcapng"), []);
    assert.deepEqual(of(section, `${usual}/a.pcapng`), outside(`${usual}/a.pcapng`, directory));
  }
  assert.deepEqual(of("capture: { directory: srv }", "/srv/a.pcapng").slice(1), [
    '4:23 directory "srv" is not absolute: expected an absolute path of at most 1000 bytes',
  ]);
});
