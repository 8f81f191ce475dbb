import assert from "node:assert/strict";
import { ConfigError } from "../errors.ts";
import { parseConfig } from "./parse.ts";
import { HEAD } from "./testing.ts";
import type { Addresses } from "../steering/addresses.ts";

const rule = (addresses: string, name = "a", ports = "53"): string =>
  `  - { name: ${name}, ports: ${ports}, addresses: ${addresses} }\n`;
const OPTIONS = { file: "steering.yaml", cpuCount: 4 };

function parse(...rules: readonly string[]): readonly Addresses[] {
  return parseConfig(`${HEAD}steering:\n${rules.join("")}`, OPTIONS).steering.map(({ addresses }) => addresses);
}

/** What is wrong, each with its line. */
function faults(...rules: readonly string[]): string[] {
  try {
    parse(...rules);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError, `${error}`);
    const first = HEAD.split("\n").length + 1;
    return error.problems.map(({ line, message }) => `${line - first}: ${message}`);
  }
}

Deno.test("addresses are words, or addresses and prefixes in their shortest spelling", () => {
  const cases: readonly (readonly [string, Addresses])[] = [
    ["own", "own"],
    ["any", "any"],
    ["192.0.2.10", ["192.0.2.10"]],
    ["[192.0.2.10, 198.51.100.0/24]", ["192.0.2.10", "198.51.100.0/24"]],
    ['["2001:DB8:0:0::10", "2001:db8:1::/48"]', ["2001:db8::10", "2001:db8:1::/48"]],
    ['["192.0.2.1/32", "fd00::1/128"]', ["192.0.2.1", "fd00::1"]],
    ["0.0.0.0/0", ["0.0.0.0/0"]],
    ['"::/0"', ["::/0"]],
    ["[255.255.255.255, 224.0.0.0/4]", ["255.255.255.255", "224.0.0.0/4"]],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parse(rule(text)), [expected], text);
  assert.deepEqual(parse("  - { name: a, ports: 53 }\n"), ["own"]);
});

const ALL = 'expected own, any, or a list of addresses like "192.0.2.10" and prefixes like "2001:db8::/64"';
const ITEM = 'expected an address like "192.0.2.10" or a prefix like "2001:db8::/64"';

Deno.test("what is no address is told with what is wrong", () => {
  const cases: Readonly<Record<string, string>> = {
    mine: `addresses "mine" is not known: ${ALL}`,
    "[own]": `address "own" has a name for an address, and names are not looked up: ${ITEM}`,
    "[]": `addresses is an empty list: ${ALL}`,
    "{ a: 1 }": `addresses is a map: ${ALL}`,
    "192.0.2.10/24":
      'addresses "192.0.2.10/24" has bits set behind its prefix: use "192.0.2.0/24" for the network, or "192.0.2.10" ' +
      `for the host: ${ALL}`,
    '["2001:db8::1/64"]':
      'address "2001:db8::1/64" has bits set behind its prefix: use "2001:db8::/64" for the network, or ' +
      `"2001:db8::1" for the host: ${ITEM}`,
    "[192.0.2.0/33]": `address "192.0.2.0/33" has the prefix length 33, which is out of range (0 to 32): ${ITEM}`,
    "[192.0.2.0/x]": `address "192.0.2.0/x" has the prefix length "x", which is not a number: ${ITEM}`,
    "[192.0.2.256]": `address "192.0.2.256" has an address that is not four numbers from 0 to 255: ${ITEM}`,
    '["::ffff:192.0.2.1"]': `address "::ffff:192.0.2.1" is an IPv4 address written as IPv6: ${ITEM}`,
    "[192.0.2.1, 192.0.2.1]": 'address "192.0.2.1" is listed twice: expected each address once',
    "[192.0.2.0/24, 192.0.2.1]": 'address "192.0.2.1" overlaps "192.0.2.0/24" in the same list: expected one of them',
  };
  for (const [text, expected] of Object.entries(cases)) assert.deepEqual(faults(rule(text)), [`0: ${expected}`], text);
});

Deno.test("a port may be in several rules whose addresses have nothing in common", () => {
  assert.equal(faults(rule("own"), rule("192.0.2.1", "b"), rule("[192.0.2.2, 198.51.100.0/24]", "c")).length, 0);
  assert.equal(faults(rule("any", "a", "53"), rule("any", "b", "54")).length, 0);
  const line = HEAD.split("\n").length + 1;
  const there = `port 53 of rule "b" is already in rule "a" on line ${line}`;
  const both = (words: string): string[] => [
    `1: ${there}, and both are for ${words}: expected each port once for an address`,
  ];
  assert.deepEqual(faults(rule("own"), rule("own", "b")), [`1: ${there}: expected each port once`]);
  assert.deepEqual(faults(rule("any"), rule("own", "b")), both("own addresses"));
  assert.deepEqual(faults(rule("any"), rule("192.0.2.1", "b")), both("address 192.0.2.1"));
  assert.deepEqual(faults(rule("192.0.2.0/24"), rule("[10.0.0.1, 192.0.2.1]", "b")), both("address 192.0.2.1"));
  assert.deepEqual(faults(rule("[10.0.0.1, 192.0.2.1]"), rule("192.0.0.0/16", "b")), both("address 192.0.2.1"));
});

Deno.test("there is a bound on different lists of addresses", () => {
  const lists = (count: number): string[] =>
    Array.from({ length: count }, (_, index) => rule(`10.0.0.${index}`, `r${index}`));
  assert.deepEqual(faults(...lists(61), rule("10.0.0.0", "again", "54")), []);
  assert.deepEqual(faults(...lists(63)), ["61: different list of addresses number 62: expected at most 61"]);
});
