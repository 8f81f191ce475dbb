import assert from "node:assert/strict";
import { PLAIN_ACTIONS } from "../steering/action.ts";
import { complaints, HEAD, keysOf } from "./testing.ts";

const RANGE = 'expected 1 to 65535, or a range like "27015-27030"';
const RULE_NAME = "expected 1 to 64 characters of A-Z a-z 0-9 _ . -";
const PACKETS = 'expected packets a second like "500/s", "20k/s" or "1M/s", from 1/s to 100M/s';
const ACTIONS = `expected one of: ${PLAIN_ACTIONS.join(", ")}, forward: { to: [...] }, deliver: { port: 5353 }`;
const PORTS_LIST = 'expected a port, a range like "27015-27030", or a list of these';

/** Names, each with a place for a control character in it. */
const CONTROLLED = [
  ['steering: [{ name: "a@", ports: 1 }]', "rule name"],
  ['steering: [{ name: a, ports: 1, capture: "/var/lib/xdpsteer/a@.pcapng" }]', "file"],
  ['control: { socket: "/a@" }', "socket"],
] as const;

/** What is wrong with one key each: `text` stands on line 3 below HEAD. */
const BELOW_HEAD: readonly (readonly [text: string, ...expected: (string | RegExp)[]])[] = [
  [
    "prots: 1",
    `3:1 unknown key "prots": expected one of: ${keysOf()}`,
  ],
  ["sterring: []", '3:1 unknown key "sterring": did you mean "steering"?'],
  [
    "__proto__: 1",
    `3:1 unknown key "__proto__": expected one of: ${keysOf()}`,
  ],
  ["<<: {}"],
  ["<<:", "3:1 << is empty: expected a map, an alias of one, or a list of these"],
  ["<<: [1]", "3:5 << lists something else than maps: expected a map, an alias of one, or a list of these"],
  ["x-note: 1"],
  [
    "log: { x-note: 1 }",
    '3:8 unknown key "x-note": a key that begins with "x-" may only stand at the top of the file',
  ],
  ["{a: 1}: b", "3:1 not a plain key: expected a word before the colon"],

  ["workers: 4", `3:10 workers is a number: expected a map with ${keysOf("workers")}`],
  ["workers: { count: 0 }", "3:19 count 0 is out of range: expected a number from 1 to 64, or auto"],
  ["workers: { count: 65 }", "3:19 count 65 is out of range: expected a number from 1 to 64, or auto"],
  ["workers: { count: 1.5 }", "3:19 count 1.5 is not a whole number: expected a number from 1 to 64, or auto"],
  ["workers: { count: many }", '3:19 count "many" is not known: expected a number from 1 to 64, or auto'],
  ["workers: { count: }", "3:12 count is empty: expected a number from 1 to 64, or auto"],
  ["workers: { cpus: 3 }", "3:18 cpus is a number: expected a list of cpu ids"],
  ["workers: { cpus: [1024] }", "3:19 cpu 1024 is out of range: expected 0 to 1023"],
  ["workers: { cpus: [1, 2, 1] }", "3:25 cpu 1 is listed twice: expected each cpu once"],
  [
    "workers: { count: 2, cpus: [1, 2, 3] }",
    "3:28 cpus lists 3 but count is 2: expected one CPU per worker, or count auto",
  ],
  ["workers: { wait: sleep }", '3:18 wait "sleep" is not known: expected one of: adaptive, poll, busy'],

  ["steering: [{ name: a, ports: 53, action: { deliver: { port: 5353 } } }]"],
  ["steering: [{ name: a, ports: [53, 5353], action: { deliver: { port: 5353 } } }]"],
  [
    "steering: [{ name: a, ports: 53, action: { deliver: { port: 0 } } }]",
    "3:61 port 0 is out of range: expected 1 to 65535",
  ],
  [
    "steering: [{ name: a, ports: 53, action: { deliver: {} } }]",
    '3:53 missing key "port": expected 1 to 65535',
  ],
  [
    "steering: [{ name: a, ports: 53, action: { deliver: { prot: 1, port: 2 } } }]",
    '3:55 unknown key "prot": did you mean "port"?',
  ],
  [
    "steering: [{ name: a, ports: 53, action: { deliver: { port: 53 } } }]",
    '3:61 port 53 is the one that rule "a" lists: expected another port, or action pass',
  ],
  [
    "steering: [{ name: a, ports: 53, action: { deliver: { port: 54 } }, capture: /var/lib/xdpsteer/a.pcapng }]",
    /capture is not possible with action "deliver": expected count, echo or forward/,
  ],
  ["steering: 1", "3:11 steering is a number: expected a list of rules"],
  ["steering: [53]", `3:12 rule is a number: expected a map with ${keysOf("steering")}`],
  [
    "steering: [{ name: a, prots: 53 }]",
    `3:12 missing key "ports": ${PORTS_LIST}`,
    '3:23 unknown key "prots": did you mean "ports"?',
  ],
  ["steering: [{ ports: 53 }]", `3:12 missing key "name": ${RULE_NAME}`],
  [
    "steering: [{ name: (a), ports: 53 }]",
    `3:20 rule name "(a)" is not valid: ${RULE_NAME}`,
  ],
  [
    "steering: [{ name: 53, ports: 53 }]",
    `3:20 rule name 53 is not text: ${RULE_NAME}, in quotes`,
  ],
  [
    "steering: [{ name: a, ports: 53 }, { name: a, ports: 54 }]",
    '3:44 rule name "a" is used twice: expected another, line 3 has it already',
  ],
  [
    "steering: [{ name: a, ports: 53, fragments: keep }]",
    '3:45 fragments "keep" is not known: expected one of: drop, pass',
  ],
  [
    "steering: [{ name: a, ports: 53, limit: 500/s }]",
    "3:41 limit is text: expected a map with per_source, total, ipv4_prefix, ipv6_prefix, ban, mode",
  ],
  [
    "steering: [{ name: a, ports: 53, limit: {} }]",
    "3:41 limit has neither per_source nor total: expected at least one of them",
  ],
  [
    "steering: [{ name: a, ports: 53, limit: { total: {} } }]",
    "3:50 total has neither packets nor bytes: expected packets, bytes or both",
  ],
  [
    "steering: [{ name: a, ports: 53, limit: { total: { packets: 500 } } }]",
    `3:61 packets 500 is not possible: ${PACKETS}`,
  ],
  [
    "steering: [{ name: a, ports: 53, limit: { total: { packets: 500/m } } }]",
    `3:61 packets "500/m" is not possible: ${PACKETS}`,
  ],
  [
    "steering: [{ name: a, ports: 53, limit: { total: { packets: 0/s, bytes: 1Mb/s } } }]",
    `3:61 packets "0/s" is not possible: ${PACKETS}`,
    '3:73 bytes "1Mb/s" is not possible: expected bytes a second like "1MB/s" or "64KiB/s", from 1kB/s to 100GB/s',
  ],
  [
    "steering: [{ name: a, ports: 53, limit: { total: { bytes: 1MB/s, burst: 5 } } }]",
    "3:73 burst without packets: expected both, or none of them",
  ],
  [
    "steering: [{ name: a, ports: 53, limit: { total: { packets: 1/s, burst: 3601 } } }]",
    "3:73 burst 3601 is more than comes in within an hour: expected at most 3600",
  ],
  [
    "steering: [{ name: a, ports: 53, limit: { total: { packets: 1/s }, ban: 10m } }]",
    "3:73 ban without per_source: expected per_source, since only a source can be banned",
  ],
  [
    "steering: [{ name: a, ports: 53, limit: { per_source: { packets: 1/s }, ban: soon, ipv4_prefix: 33 } }]",
    '3:78 ban "soon" is not possible: expected seconds, or a time like 90s, 10m, 12h or 7d, from 1 second to 365 days',
    "3:97 ipv4_prefix 33 is out of range: expected 8 to 32 bits",
  ],
  [
    "steering: [{ name: a, ports: 53, worker: 4 }]",
    "3:42 worker 4 does not exist: expected 0 to 3, or hash, since workers.count is auto, 4 on this machine",
  ],
  [
    "steering: [{ name: a, ports: 53, worker: 64 }]",
    "3:42 worker 64 is out of range: expected a worker id from 0 to 63, or hash",
  ],
  [
    "steering: [{ name: a, ports: 53, worker: any }]",
    '3:42 worker "any" is not known: expected a worker id from 0 to 63, or hash',
  ],
  [
    "steering: [{ name: a, ports: 53, action: block }]",
    `3:42 action "block" is not known: ${ACTIONS}`,
  ],
  [
    "steering: [{ name: a, ports: 53, action: script }]",
    `3:42 action "script" is not available in this version; ${ACTIONS}`,
  ],
  [
    "steering: [{ name: a, ports: 53, action: { forward: { to: x } } }]",
    "3:59 to is text: expected a list of backends",
  ],
  [
    "steering: [{ name: a, ports: 53, action: { block: 1 } }]",
    `3:42 missing key "forward": expected a map with ${keysOf("steering", "action", "forward")}`,
    '3:44 unknown key "block": expected one of: forward',
  ],

  [
    "control: { socket: here.sock }",
    '3:20 socket "here.sock" is not absolute: expected an absolute path of at most 107 bytes',
  ],
  ...["0.0.0.0:9469", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.256:80", "localhost:80"].map((http) =>
    [
      `control: { http: "${http}" }`,
      `3:18 http "${http}" is not possible: expected off, or a loopback address and port like "127.0.0.1:9469" or ` +
      '"[::1]:9469", since it asks for no password',
    ] as const
  ),
  ["workers: { count: 04 }", "3:19 number 04 begins with 0, which some read as octal and some as decimal: expected 4"],
  ...["\\e[2J", "\\x9bm", "\\u202e", "\\u2028", "\\x7f"].flatMap((control) =>
    CONTROLLED.map(([text, noun]) => {
      const line = text.replace("@", control);
      const column = line.indexOf('"') + 1;
      return [line, new RegExp(`^3:${column} ${noun} ".*" has control characters in it: expected `)] as const;
    })
  ),
  ["log: { level: trace }", '3:15 level "trace" is not known: expected one of: debug, info, warn, error'],
  ["log: { format: xml }", '3:16 format "xml" is not known: expected one of: auto, text, json'],
];

for (const [text, ...expected] of BELOW_HEAD) {
  Deno.test(`parseConfig() complains about ${text}`, () => {
    const found = complaints(HEAD + text);
    assert.equal(found.length, expected.length, found.join("\n"));
    for (const [index, wanted] of expected.entries()) {
      if (typeof wanted === "string") assert.equal(found[index], wanted);
      else assert.match(found[index]!, wanted);
    }
  });
}

/** What is wrong with the value of `ports`, which starts on line 3, column 29. */
const PORTS: readonly (readonly [text: string, ...expected: string[]])[] = [
  ["70000", "3:29 port 70000 is out of range: expected 1 to 65535"],
  ["0", "3:29 port 0 is out of range: expected 1 to 65535"],
  ["-1", "3:29 port -1 is out of range: expected 1 to 65535"],
  ["5.5", "3:29 port 5.5 is not a whole number: expected 1 to 65535"],
  ["1-70000", "3:29 port 70000 is out of range: expected 1 to 65535"],
  ["0-5", "3:29 port 0 is out of range: expected 1 to 65535"],
  ["90-80", '3:29 port range "90-80" runs backwards: expected "80-90"'],
  ["1 - 5", `3:29 port "1 - 5" has a space in it: ${RANGE}`],
  ["0777", "3:29 number 0777 begins with 0, which some read as octal and some as decimal: expected 777"],
  ['"010"', '3:29 port "010" begins with 0, which some read as octal and some as decimal: expected 10'],
  ['"010-020"', '3:29 port "010-020" begins with 0, which some read as octal and some as decimal: expected "10-20"'],
  ["53/udp", `3:29 port "53/udp" is more than a port, and every rule is about UDP: ${RANGE}`],
  ['"1,2"', `3:29 port "1,2" lists several ports in one text, and a list is written [80, 90]: ${RANGE}`],
  ["80-", `3:29 port "80-" is a range that lacks an end: ${RANGE}`],
  ["dns", `3:29 port "dns" is not a port: ${RANGE}`],
  ["true", `3:29 port true is not a port: ${RANGE}`],
  ["{}", `3:29 ports is a map: ${PORTS_LIST}`],
  ["", `3:22 ports is empty: ${PORTS_LIST}`],
  ["[]", '3:29 ports is an empty list: expected at least one port, for example [7777, "27015-27030"]'],
  ["[1, [2]]", `3:33 port is a list: ${RANGE}`],
  [
    "[1, 0, x]",
    "3:33 port 0 is out of range: expected 1 to 65535",
    `3:36 port "x" is not a port: ${RANGE}`,
  ],
  ["[80, 80]", '3:34 port 80 of rule "a" is already in rule "a" on line 3: expected each port once'],
  ["[1-9, 5-12]", '3:35 ports 5-9 of rule "a" are already in rule "a" on line 3: expected each port once'],
];

for (const [ports, ...expected] of PORTS) {
  Deno.test(`parseConfig() complains about ports: ${ports}`, () => {
    assert.deepEqual(complaints(`${HEAD}steering: [{name: a, ports: ${ports}}]`), expected);
  });
}

const NAME = 'expected 1 to 127 bytes without white space, "/" or ":"';

/** What is wrong with an interface: `text` stands on line 2 in braces, from column 16 on. */
const INTERFACES: readonly (readonly [text: string, ...expected: string[]])[] = [
  ["", `2:14 missing key "name": ${NAME}`],
  ...["a/b", "a b", "a:b"].map((name) =>
    [`name: "${name}"`, `2:22 interface name "${name}" is not valid: ${NAME}`] as const
  ),
  ["name: e0, attach: fast", '2:34 attach "fast" is not known: expected one of: auto, native, generic'],
  [
    "name: e0, attach: shared",
    '2:34 attach "shared" is not available in this version; expected one of: auto, native, generic',
  ],
  ["name: e0, zeroCopy: off", '2:26 unknown key "zeroCopy": did you mean "zero_copy"?'],
  ["name: e0, zero_copy: false", "2:37 zero_copy false is not known: expected one of: auto, require, off"],
  ["name: e0, queues: none", '2:34 queues "none" is not known: expected all, or a list of queue ids from 0 to 255'],
  ["name: e0, queues: []", "2:34 queues is an empty list: expected all, or a list of queue ids from 0 to 255"],
  ["name: e0, queues: [0, 256]", "2:38 queue 256 is out of range: expected 0 to 255"],
  ["name: e0, queues: [0, 0]", "2:38 queue 0 is listed twice: expected each queue once"],
  ["name: e0, umem: { chunks: 5000 }", "2:42 chunks 5000 is not a power of two: expected 4096 or 8192"],
  ["name: e0, umem: { chunks: 32 }", "2:42 chunks 32 is out of range: expected a power of two from 64 to 65536"],
  ["name: e0, umem: { chunk_size: 1024 }", "2:46 chunk_size 1024 is not possible: expected 2048 or 4096 bytes"],
  ["name: e0, umem: { headroom: -1 }", "2:44 headroom -1 is out of range: expected 0 to 2326 bytes"],
  [
    "name: e0, umem: { headroom: 279 }",
    "2:44 headroom 279 is too large: 256 (kernel) + 279 + 1514 (frame) = 2049 bytes, and chunk_size is 2048: " +
    "expected 0 to 278 bytes",
  ],
  [
    "name: e0, umem: { headroom: 2327, chunk_size: 4096 }",
    "2:44 headroom 2327 is too large: 256 (kernel) + 2327 + 1514 (frame) = 4097 bytes, and chunk_size is 4096: " +
    "expected 0 to 2326 bytes",
  ],
  ["name: e0, rings: { fill: 65536 }", "2:41 fill 65536 is out of range: expected a power of two from 64 to 32768"],
  ["name: e0, rings: { tx: 100 }", "2:39 tx 100 is not a power of two: expected 64 or 128"],
  ["name: e0 }, { name: e0", '2:36 interface name "e0" is used twice: expected another, line 2 has it already'],
];

for (const [text, ...expected] of INTERFACES) {
  Deno.test(`parseConfig() complains about an interface with ${text}`, () => {
    assert.deepEqual(complaints(`version: 1\ninterfaces: [{ ${text} }]`), expected);
  });
}

Deno.test("parseConfig() refuses an interface whose name could steer a terminal", () => {
  assert.deepEqual(complaints('version: 1\ninterfaces: [{ name: "eth\\e[2J" }]'), [
    '2:22 interface name "eth\\u001b[2J" has control characters in it: expected 1 to 127 bytes without white space, "/" or ":"',
  ]);
});
