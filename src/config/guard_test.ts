/** What is wrong with who may send. */
import assert from "node:assert/strict";
import { complaints, HEAD } from "./testing.ts";

const ENTRY = 'expected a prefix like "192.0.2.0/24", an address, or the name of a list';
const NAME = "expected 1 to 64 characters of A-Z a-z 0-9 _ . -, the first a letter";

/** `text` stands from line 3 on. */
const CASES: readonly (readonly [text: string, ...expected: string[]])[] = [
  ["guard: { deny: [192.0.2.1, 2001:db8::/32, bad] }\nlists: [{ name: bad, file: /a }]"],
  ["guard:\nlists:"],
  ["guard: { deny: 10.0.0.0/8 }", `3:16 deny is text: expected a list, each item ${ENTRY.slice(9)}`],
  ["guard: { block: [] }", '3:10 unknown key "block": expected one of: allow, deny'],
  [
    "guard: { deny: [10.0.0.1/8] }",
    '3:17 entry "10.0.0.1/8" has bits set behind its prefix: use "10.0.0.0/8" for the network, or "10.0.0.1" for ' +
    `the host: ${ENTRY}`,
  ],
  [
    "guard: { deny: [10.0.0.0/33] }",
    `3:17 entry "10.0.0.0/33" has the prefix length 33, which is out of range (0 to 32): ${ENTRY}`,
  ],
  ["guard: { deny: [bad] }", '3:17 there is no list "bad": expected a prefix, or a list under lists'],
  [
    "guard: { deny: [balls] }\nlists: [{ name: bad, file: /a }, { name: ball, file: /b }]",
    '3:17 there is no list "balls": did you mean "ball"?',
  ],
  [
    "guard: { deny: [x-balls] }\nlists: [{ name: x-ball, file: /b }]",
    '3:17 there is no list "x-balls": did you mean "x-ball"?',
  ],
  [
    "steering: [{ name: a, ports: 1, sources: { allow: [x] } }]\nlists: [{ name: bad, file: /a }]",
    '3:52 there is no list "x": expected one of: bad',
  ],
  [
    "guard: { allow: [10.0.0.0/8], deny: [10.1.0.0/16, 10.0.0.0/8] }",
    '3:51 "10.0.0.0/8" is denied here and allowed on line 3: expected one of them',
  ],
  [
    "guard:\n  allow: [good]\n  deny: [bad]\nlists:\n  - { name: good, entries: [inner] }\n" +
    '  - { name: inner, entries: ["2001:DB8::/32"] }\n  - { name: bad, entries: ["2001:db8:0::/32"] }',
    '5:10 "2001:db8::/32" of list "bad" is denied here and allowed by list "good" on line 4: expected one of them',
  ],
  ["guard: { allow: [10.0.0.0/8] }\nsteering: [{ name: a, ports: 1, sources: { deny: [10.0.0.0/8] } }]"],
  ["lists: [{ name: a }]", "3:9 list has nothing in it: expected entries, file or url"],
  ["lists: [{ name: 1a, file: /a }]", `3:17 list name "1a" is not valid: ${NAME}`],
  [
    "lists: [{ name: a, file: /a }, { name: a, file: /b }]",
    '3:40 list name "a" is used twice: expected another, line 3 has it already',
  ],
  ["lists: [{ name: a, file: b }]", '3:26 file "b" is not absolute: expected an absolute path'],
  [
    "lists: [{ name: a, url: ftp://x/y }]",
    '3:25 url "ftp://x/y" cannot be read: expected an address that begins with https:// or http://',
  ],
  [
    "lists: [{ name: a, url: http://x/, interval: 0 }]",
    "3:46 interval 0 is out of range: expected 1 to 604800 seconds",
  ],
  ["lists: [{ name: a, entries: [a] }]", '3:30 list "a" names itself: expected none of it'],
  [
    "lists:\n  - { name: a, entries: [b] }\n  - { name: b, entries: [10.0.0.0/8, c] }\n  - { name: c, entries: [a] }",
    '6:26 lists name each other in a circle: "a" in "b" in "c" in "a": expected none of it',
  ],
];

for (const [text, ...expected] of CASES) {
  Deno.test(`parseConfig() ${expected.length === 0 ? "takes" : "refuses"} ${text.replaceAll(/\s+/g, " ")}`, () => {
    assert.deepEqual(complaints(HEAD + text), expected);
  });
}
