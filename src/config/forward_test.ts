import assert from "node:assert/strict";
import { FORWARD_MODE_TABLE, FORWARD_MODES, HEALTH_CHECKS } from "../steering/forward.ts";
import { MAX_SOURCES } from "../steering/forward_table.ts";
import { parseConfig } from "./parse.ts";
import { complaints, HEAD } from "./testing.ts";

const rule = (forward: string, ports = "53"): string =>
  `steering: [{ name: a, ports: ${ports}, action: { forward: { ${forward} } } }]`;
const TO = 'to: ["10.0.0.1:53"]';

const modes = (translate: boolean): string =>
  FORWARD_MODES.filter((mode) => FORWARD_MODE_TABLE[mode].translates === translate).join(" or ");

const CASES: Readonly<Record<string, readonly string[]>> = {
  [rule(TO)]: [],
  [rule("to: []")]: [
    '3:59 to is an empty list: expected at least one backend, an address and port like "10.0.0.11:9000" or "[fd00::11]:9000"',
  ],
  [rule(`${TO}, idle_timeout: 0`)]: ["3:90 idle_timeout 0 is out of range: expected 1 to 86400 seconds"],
  [rule(`${TO}, mode: dsr, remap_port: 5353`)]: [],
  [rule(`${TO}, remap_port: 5353`)]: [
    `3:76 remap_port is for mode ${modes(false)}: expected a port with each backend of mode ${
      modes(true)
    }, and no remap_port`,
  ],
  [rule('to: ["dns.example:53", { address: "a.b:1", weight: 0 }, { srv: _a._udp.b }]')]: [],
  [rule('to: [{ srv: _a._udp.b, address: "10.0.0.1:53" }]')]: [
    "3:60 backend has both address and srv: expected one of them",
  ],
  [rule("to: [{ weight: 1 }]")]: ["3:60 backend has neither address nor srv: expected one of them"],
  [rule('to: [{ srv: "a b" }]')]: [
    '3:67 srv "a b" is no name: expected the name of an SRV record like "_game._udp.example.com"',
  ],
  [rule('to: ["DNS.example:53", "dns.example.:53"]')]: [
    '3:78 backend "dns.example:53" is listed twice: expected it once, with a weight of 2',
  ],
  [`${rule(TO)}\nforwarding: { name_servers: [10.0.0.53, "10.0.0.53:8600", "[fd00::1]:53", "fd00::1"] }`]: [],
  [`${rule(TO)}\nforwarding: { name_servers: [dns.example] }`]: [
    '4:30 name server "dns.example" is no address of a server: expected a DNS server like "10.0.0.53", ' +
    '"10.0.0.53:8600" or "[fd00::53]:53"',
  ],
  [rule(`${TO}, answers: 1, affinity: none, slow_start: 30, fail_open: 100%`)]: [],
  [rule(`${TO}, passive: {}`)]: [],
  [rule(`${TO}, passive: { within: 90m }`)]: [
    '3:95 within "90m" is not possible: expected seconds, or a time like 10s or 5m, from 1 second to 1 hour',
  ],
  [rule(`${TO}, mode: dsr, passive: { unreachable: true }`)]: [
    "3:87 passive is for mode nat, whose answers come through here: expected health, or mode nat",
  ],
  [rule(`${TO}, mode: dsr, answers: 1`)]: [
    `3:87 answers is for mode ${modes(true)}: expected no answers with mode ${
      modes(false)
    }, whose answers do not come through here`,
  ],
  [rule(`${TO}, affinity: port`)]: ['3:86 affinity "port" is not known: expected one of: flow, source, none'],
  [rule(`${TO}, slow_start: 2h`)]: [
    '3:88 slow_start "2h" is not possible: expected seconds, or a time like 30s or 5m, from 1 second to 1 hour',
  ],
  [rule(`${TO}, fail_open: 0%`)]: [
    '3:87 fail_open "0%" is not possible: expected a part of the backends like 50%, from 1% to 100%',
  ],
  [rule('to: [{ address: "10.0.0.1:53", weight: 1001, max_sessions: 0, backup: 1 }]')]: [
    "3:94 weight 1001 is out of range: expected 0 to 1000",
    "3:114 max_sessions 0 is out of range: expected 1 to 100000000",
    "3:125 backup is a number: expected true or false",
  ],
  [rule(`${TO}, client_address: proxy_v2_first`)]: [],
  [rule(`${TO}, mode: dsr, client_address: none`)]: [],
  [rule(`${TO}, mode: dsr, client_address: proxy_v2`)]: [
    `3:87 client_address is for mode ${modes(true)}: expected none with mode ${
      modes(false)
    }, where backends see the client's own address`,
  ],
  [rule(`${TO}, client_address: proxy`)]: [
    '3:92 client_address "proxy" is not known: expected one of: none, proxy_v2, proxy_v2_first, simple_proxy',
  ],
  [rule(`${TO}, source: client, client_address: none, answers: 1`)]: [],
  [rule(`${TO}, mode: dsr, source: box`)]: [],
  [rule(`${TO}, mode: dsr, source: client`)]: [
    `3:87 source is for mode ${modes(true)}: expected no source with mode ${
      modes(false)
    }, where backends see the client anyway`,
  ],
  [rule(`${TO}, source: client, client_address: proxy_v2`)]: [
    "3:92 client_address is for source box: expected none with source client, which the backend sees",
  ],
  [rule(`${TO}, source: server`)]: ['3:84 source "server" is not known: expected one of: box, client'],
  [rule(`${TO}, mode: dsr, tunnel: gue`)]: [],
  [rule(`${TO}, tunnel: gue`)]: [
    `3:76 tunnel is for mode ${modes(false)}: expected mode: ${modes(false)} beside it`,
  ],
  [rule(`${TO}, mode: dsr, tunnel: vxlan`)]: ['3:95 tunnel "vxlan" is not known: expected one of: ipip, gue, gre'],
  [rule(`${TO}, mode: snat`)]: [
    `3:82 mode "snat" is not known: expected one of: ${FORWARD_MODES.join(", ")}`,
  ],
  [rule(`${TO}, health: { check: ping }`)]: [
    `3:93 check "ping" is not known: expected one of: ${HEALTH_CHECKS.join(", ")}`,
  ],
  [rule('to: ["10.0.0.1:53", "10.0.0.1:53"]')]: [
    '3:75 backend "10.0.0.1:53" is listed twice: expected it once, with a weight of 2',
  ],
  [rule(TO, "[61000]")]: [
    '3:31 port 61000 of rule "a" overlaps the translation ports 61000-65535: expected others, or others as forwarding.ports',
  ],
  [`${rule(TO, "[61000]")}\nforwarding: { ports: 2000-2999 }`]: [],
  [`${rule(`${TO}, mode: dsr`, "[61000]")}`]: [],
  [`${rule(TO)}\nworkers: { count: 3 }\nforwarding: { ports: 2000-2001 }`]: [
    '5:22 ports "2000-2001" are fewer than the 3 workers: expected at least one each',
  ],
  "forwarding: { table_size: 65536 }": ["3:27 table_size 65536 is not possible: expected a prime from 251 to 655373"],
  "forwarding: { sessions: 1000 }": [
    "3:25 sessions 1000 is out of range: expected a power of two from 1024 to 1048576",
  ],
};

for (const [text, expected] of Object.entries(CASES)) {
  Deno.test(`parseConfig() of ${text}`, () => assert.deepEqual(complaints(HEAD + text), expected));
}

const ONE_RANGE = "10000-19999";
/** What is said about backends with many ports, by the backends and the rule's ports. */
const RANGES: readonly (readonly [to: string, ports: string, expected: readonly string[]])[] = [
  ['["10.0.0.1", "[fd00::1]", game.example.com]', `["5060", ${ONE_RANGE}]`, []],
  ['["10.0.0.1:20000-29999", "[fd00::1]:10000-19999", "game.example.com:30000-39999"]', ONE_RANGE, []],
  ['["10.0.0.1:20000-29999"]', "[10000-14999, 15000-19999]", []],
  ['["10.0.0.1:7-7"]', "[1, 5]", []],
  ['["10.0.0.1:10000-20000"]', ONE_RANGE, [
    '3:69 backend "10.0.0.1:10000-20000" has 10001 ports, and the rule has 10000, 10000-19999: expected as many, or ' +
    '"10.0.0.1", which keeps the ports',
  ]],
  ['["game.example.com:1-2"]', "7777", [
    '3:62 backend "game.example.com:1-2" has 2 ports, and the rule has 1, 7777: expected as many, or ' +
    '"game.example.com", which keeps the ports',
  ]],
  ['["[fd00::1]:1-2"]', "[5, 7]", [
    '3:64 backend "[fd00::1]:1-2" has a range of ports, and the rule has several: expected one range, or "[fd00::1]", ' +
    "which keeps the ports",
  ]],
  ['["10.0.0.1"], mode: dsr', ONE_RANGE, []],
  ['["10.0.0.1:10000-19999"], mode: dsr', ONE_RANGE, [
    '3:69 backend "10.0.0.1:10000-19999" has a range of ports, which are for mode nat: expected "10.0.0.1", since mode ' +
    "dsr keeps the ports",
  ]],
  ['["10.0.0.1", "10.0.0.1:10500"]', ONE_RANGE, [
    '3:81 backend "10.0.0.1:10500" has port 10500, and so has "10.0.0.1" on line 3: expected each port of an address ' +
    "in one of them, since answers from it could be of either",
  ]],
  ['["10.0.0.1:10500", "10.0.0.1", "10.0.0.1:9000"]', ONE_RANGE, [
    '3:87 backend "10.0.0.1" has port 10500, and so has "10.0.0.1:10500" on line 3: expected each port of an address ' +
    "in one of them, since answers from it could be of either",
  ]],
  ['["10.0.0.1", "10.0.0.1:9000"]', ONE_RANGE, []],
  ['["10.0.0.1"], source: client', "53", []],
];

for (const [to, ports, expected] of RANGES) {
  Deno.test(`parseConfig() of ports ${ports} and to: ${to}`, () => {
    assert.deepEqual(complaints(HEAD + rule(`to: ${to}`, ports)), expected);
  });
}

const BACKEND = 'expected an address and port like "10.0.0.11:9000" or "[fd00::11]:9000"';

/** What is said about a backend that cannot be one. */
const BACKENDS: Readonly<Record<string, string>> = {
  "fd00::1": "is an IPv6 address without brackets",
  "[fd00::1": "has no closing bracket",
  "10.0.0.1:": 'has the port "", which is not a number',
  "10.0.0.1:9000-": 'has the port "9000-", which is not a number',
  "10.0.0.1:9000-9100-9200": 'has the port "9000-9100-9200", which is not a number',
  "10.0.0.1:9000-08": "has the port 08, which begins with 0, which some read as octal and some as decimal",
  "10.0.0.1:9100-9000": "has the ports 9100-9000, which run backwards",
  "10.0.0.1:9000-65536": "has the port 65536, which is out of range (1 to 65535)",
  "10.0.0.1:0": "has the port 0, which is out of range (1 to 65535)",
  "10.0.0.1:65536": "has the port 65536, which is out of range (1 to 65535)",
  "10.0.0.1:08": "has the port 08, which begins with 0, which some read as octal and some as decimal",
  "10.0.0.1:x": 'has the port "x", which is not a number',
  "127.0.0.1:9000": "is a loopback address, which no packet on a network can be sent to",
  "[::1]:53": "is a loopback address, which no packet on a network can be sent to",
  "0.0.0.0:53": "is not the address of a host (0.0.0.0/8)",
  "[::]:53": "is not the address of a host (::)",
  "224.0.0.1:53": "is a multicast address, and one host is expected",
  "[ff02::1]:53": "is a multicast address, and one host is expected",
  "[fe80::1]:53": "is a link-local address, which each interface may have another host for",
  "[febf::1]:53": "is a link-local address, which each interface may have another host for",
  "255.255.255.255:53": "is the broadcast address, and one host is expected",
  "240.0.0.1:53": "is in the reserved range 240.0.0.0/4",
  "10.0.0.256:53": "has an address that is not four numbers from 0 to 255",
  "10.1:53": "has an address that is not four numbers from 0 to 255",
  "010.0.0.1:53": "has an address with a part that begins with 0, which some read as octal and some as decimal",
  "[10.0.0.1]:53": "is an IPv4 address in brackets, which are for IPv6",
  "[::ffff:10.0.0.1]:53": "is an IPv4 address written as IPv6",
  "[fd00::1%eth0]:53": "names an interface, which the kernel's routes decide",
  "[fd00::zz]:53": "has no IP address that can be read",
  "fd00:1:2:3:4:5:6:7:53": "is an IPv6 address without brackets",
  "dns:53": "has a name without a dot, and search domains are not tried",
  "dns": "has a name without a dot, and search domains are not tried",
  "-dns.example:53": 'has a name whose part "-dns" begins or ends with "-"',
  "dns-.example:53": 'has a name whose part "dns-" begins or ends with "-"',
  [`${"a".repeat(64)}.example`]: "has a name with a part of 64 characters, and DNS has at most 63 from dot to dot",
  [`${"a".repeat(64)}.example:53`]: "has a name with a part of 64 characters, and DNS has at most 63 from dot to dot",
  [`${"abcd.".repeat(50)}abcd:53`]: "has a name of 254 characters, and DNS has at most 253",
  "dns..example:53": "has a name with nothing before or between its dots",
  ".example:53": "has a name with nothing before or between its dots",
  "dns.example.5x:53": 'has a name whose last part, "5x", begins with a digit',
  "dns!.example:53": 'has "!" in its name, and names have letters, digits, "-" and "_"',
  "d\u00fc.example:53":
    'has "\u00fc" in its name, and names have letters, digits, "-" and "_"; others are written as xn--',
  "dns.example:99999": "has the port 99999, which is out of range (1 to 65535)",
  "dns.example:": 'has the port "", which is not a number',
  "http://10.0.0.1:53": "is a URL",
  "": "has no address",
};

for (const [backend, fault] of Object.entries(BACKENDS)) {
  Deno.test(`parseConfig() says why ${JSON.stringify(backend)} is no backend`, () => {
    const text = HEAD + rule(`to: ["${backend}"]`);
    const shown = backend.length > 60 ? `${backend.slice(0, 59)}\u2026` : backend;
    assert.deepEqual(complaints(text), [`3:60 backend "${shown}" ${fault}: ${BACKEND}`]);
    assert.deepEqual(complaints(HEAD + rule(`to: [{ address: "${backend}" }]`)), [
      `3:71 backend "${shown}" ${fault}: ${BACKEND}`,
    ]);
  });
}

const OWN = 'expected an address of this box like "192.0.2.10" or "2001:db8::10"';
const EIGHT = Array.from({ length: MAX_SOURCES }, (_, host) => `192.0.2.${host}`);
const EIGHT_IPV6 = EIGHT.map((_, host) => `"2001:db8::1${host}"`);

/** What belongs to one kind of check has no effect with another. */
const CHECKS: Readonly<Record<string, readonly string[]>> = {
  "check: udp, send: x, expect: y": [],
  "check: dns, name: a.b, type: A": [],
  "check: dns, send: xdpsteer": [],
  "check: udp, name: a.b": ["3:104 name belongs to check: dns, and check is udp: expected no name"],
  "check: icmp, type: A": ["3:105 type belongs to check: dns, and check is icmp: expected no type"],
  "check: dns, send: x, expect: { hex: ff }": [
    "3:104 send belongs to check: udp, and check is dns: expected no send",
    "3:115 expect belongs to check: udp, and check is dns: expected no expect",
  ],
};

for (const [health, expected] of Object.entries(CHECKS)) {
  Deno.test(`parseConfig() takes of health: { ${health} } what has an effect`, () => {
    assert.deepEqual(complaints(HEAD + rule(`to: ["10.0.0.1:53"], health: { ${health} }`)), expected);
  });
}

/** What is said about lists of translation addresses. */
const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  "[]": [],
  '[192.0.2.1, "2001:db8::1"]': [],
  [`[${[...EIGHT, ...EIGHT_IPV6].join(", ")}]`]: [],
  [`[192.0.2.100, ${EIGHT.join(", ")}]`]: [
    '3:117 address "192.0.2.7" is one too many: expected at most 8 addresses of each IP version',
  ],
  [`["2001:db8::1", ${EIGHT_IPV6.join(", ")}]`]: [
    '3:154 address "2001:db8::17" is one too many: expected at most 8 addresses of each IP version',
  ],
  "192.0.2.1": ["3:26 addresses is text: expected a list of at most 8 addresses of each IP version"],
  "[192.0.2.1, 192.0.2.1]": ['3:38 address "192.0.2.1" is listed twice: expected each address once'],
  '["2001:db8::1", "2001:DB8:0::1"]': ['3:42 address "2001:db8::1" is listed twice: expected each address once'],
  "[192.0.2.1/24]": [`3:27 address "192.0.2.1/24" has no IP address that can be read: ${OWN}`],
  '["192.0.2.1:53"]': [`3:27 address "192.0.2.1:53" has a port: ${OWN}`],
  "[127.0.0.1]": [
    `3:27 address "127.0.0.1" is a loopback address, which no packet on a network can be sent to: ${OWN}`,
  ],
  '["::1"]': [`3:27 address "::1" is a loopback address, which no packet on a network can be sent to: ${OWN}`],
  "[224.0.0.1]": [`3:27 address "224.0.0.1" is a multicast address, and one host is expected: ${OWN}`],
  '["ff02::1"]': [`3:27 address "ff02::1" is a multicast address, and one host is expected: ${OWN}`],
  '["fe80::1"]': [`3:27 address "fe80::1" is a link-local address, which no route leads to: ${OWN}`],
  '["::ffff:192.0.2.1"]': [`3:27 address "::ffff:192.0.2.1" is an IPv4 address written as IPv6: ${OWN}`],
  "[eth0]": [`3:27 address "eth0" has a name for an address, and names are not looked up: ${OWN}`],
};

for (const [list, expected] of Object.entries(ADDRESSES)) {
  Deno.test(`parseConfig() of forwarding.addresses: ${list}`, () => {
    assert.deepEqual(complaints(`${HEAD}forwarding: { addresses: ${list} }`), expected);
  });
}

Deno.test("parseConfig() reads passive, and fills in its defaults", () => {
  const of = (text: string): unknown => {
    const { steering: [only] } = parseConfig(`${HEAD}${rule(`${TO}, passive: ${text}`)}`, {
      file: "test",
      cpuCount: 2,
    });
    return only!.action.kind === "forward" ? only!.action.passive : undefined;
  };
  assert.deepEqual(of("{}"), { noAnswer: 5, within: 10, unreachable: true, pause: 30 });
  assert.deepEqual(of("{ no_answer: 9, within: 5m, unreachable: false, pause: 1 }"), {
    noAnswer: 9,
    within: 300,
    unreachable: false,
    pause: 1,
  });
});
