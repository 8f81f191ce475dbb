/** Prefixes from lines of text. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { formatAddress } from "../packet/address.ts";
import { IPV4_KEY_STEP, PrefixSet, readPrefixLines } from "./prefix_set.ts";

function read(text: string | Uint8Array): { prefixes: string[]; bad: string[] } {
  const set = new PrefixSet();
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const bad: string[] = [];
  readPrefixLines(bytes, set, (line, start, end) => {
    bad.push(`${line}: ${new TextDecoder().decode(bytes.subarray(start, end))}`);
  });
  const { starts, bits, count } = set.ipv6;
  const prefixes = [
    ...Array.from(set.ipv4, (key) => {
      const start = Math.floor(key / IPV4_KEY_STEP);
      return `${[24, 16, 8, 0].map((by) => (start >>> by) & 255).join(".")}/${key % IPV4_KEY_STEP}`;
    }),
    ...Array.from({ length: count }, (_, index) => {
      const words = [...starts.subarray(4 * index, 4 * index + 4)];
      const address = Uint8Array.from(words.flatMap((word) => [word >>> 24, word >>> 16, word >>> 8, word]));
      return `${formatAddress(address)}/${bits[index]}`;
    }),
  ];
  return { prefixes, bad };
}

Deno.test("readPrefixLines() takes addresses and prefixes of both kinds, with comments, blanks and any end of line", () => {
  const text = [
    "\ufeff# a list",
    "192.0.2.1",
    "  198.51.100.0/24   # with a comment",
    "203.0.113.0/25;SBL1",
    "",
    "\t2001:db8::/32\t; as Spamhaus writes it",
    "2001:DB8:0:0:0:0:0:1",
    "::/0",
    "64:ff9b::192.0.2.33",
    "1:2:3:4:5:6:7::",
    "0.0.0.0/0",
    "255.255.255.255/32",
  ].join("\r\n");
  assert.deepEqual(read(text), {
    prefixes: [
      ...["192.0.2.1/32", "198.51.100.0/24", "203.0.113.0/25", "0.0.0.0/0", "255.255.255.255/32"],
      ...["2001:db8::/32", "2001:db8::1/128", "::/0", "64:ff9b::c000:221/128", "1:2:3:4:5:6:7:0/128"],
    ],
    bad: [],
  });
});

Deno.test("readPrefixLines() names every line that is nothing, and keeps the rest", () => {
  const bad = [
    ...["x", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.04", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08"],
    ...["1.2.3.4 5.6.7.8", "1.2.3.4,", "-1.2.3.4", "1..2.3", "1.2.3.4/1/2"],
    ...["2001:db8::1/64", "2001:db8::/129", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::"],
    ...["1:2:3:4:5:6:7:8::", "::ffff:1.2.3.4", "2001:db8::g", "2001:db8:", ":1::", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3"],
    ...["<html>", "a".repeat(100_000)],
  ];
  const { prefixes, bad: found } = read(["192.0.2.1", ...bad, "192.0.2.2"].join("\n"));
  assert.deepEqual(prefixes, ["192.0.2.1/32", "192.0.2.2/32"]);
  assert.deepEqual(found, bad.map((text, index) => `${index + 2}: ${text}`));
});

Deno.test("readPrefixLines() reads IPv6 in every spelling as it is written", () => {
  const groups = fc.array(fc.constantFrom(0, 0, 0, 1, 0xffff, 0x1234), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(groups, fc.boolean(), (words, short) => {
      const address = Uint8Array.from(words.flatMap((word) => [word >> 8, word & 255]));
      if (/^::ffff:/.test(formatAddress(address))) return;
      const text = short ? formatAddress(address) : words.map((word) => word.toString(16)).join(":");
      assert.deepEqual(read(text), { prefixes: [`${formatAddress(address)}/128`], bad: [] });
    }),
  );
});

Deno.test("readPrefixLines() takes any bytes, and a line is good or bad", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const { prefixes, bad } = read(bytes);
      const lines = new TextDecoder("latin1").decode(bytes).split("\n").length;
      assert.ok(prefixes.length + bad.length <= lines);
    }),
    { numRuns: 500 },
  );
});
