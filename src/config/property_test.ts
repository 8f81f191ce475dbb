import fc from "fast-check";
import assert from "node:assert/strict";
import process from "node:process";
import { ConfigError } from "../errors.ts";
import { parseConfig } from "./parse.ts";
import { PortClaims, type PortRange } from "./ports.ts";
import type { Config } from "./schema.ts";
import { HEAD } from "./testing.ts";

const OPTIONS = { file: "steering.yaml", cpuCount: 4 };

/** Every port with the rule that has it. */
function expand(rules: readonly { ports: readonly PortRange[] }[]): Map<number, number> {
  const owners = new Map<number, number>();
  for (const [rule, { ports }] of rules.entries()) {
    for (const { first, last } of ports) {
      for (let port = first; port <= last; port++) owners.set(port, rule);
    }
  }
  return owners;
}

/** Disjoint ranges: between each two of an even number of bounds, in order. */
const disjointRanges = fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { minLength: 2, maxLength: 60 })
  .map((bounds) => bounds.toSorted((one, other) => one - other))
  .map((bounds) =>
    bounds.flatMap((first, index) => index % 2 === 0 ? [{ first, last: bounds[index + 1] ?? first }] : [])
  );

const disjointRules = disjointRanges.chain((ranges) =>
  fc.array(fc.nat(4), { minLength: ranges.length, maxLength: ranges.length }).map((owners) =>
    [0, 1, 2, 3, 4].map((rule) => ({ ports: ranges.filter((_, index) => owners[index] === rule) }))
      .filter(({ ports }) => ports.length > 0)
  )
);

Deno.test("parseConfig() gives back the ports of any disjoint rules", () => {
  fc.assert(fc.property(disjointRules, (rules) => {
    const steering = rules.map(({ ports }, index) => ({
      name: `rule-${index}`,
      ports: ports.map(({ first, last }) => first === last ? first : `${first}-${last}`),
    }));
    // JSON is YAML.
    const config = parseConfig(`${HEAD}steering: ${JSON.stringify(steering)}`, OPTIONS);
    assert.deepEqual(expand(config.steering), expand(rules));
  }));
});

function parseOrRefuse(text: string | Uint8Array): Config | undefined {
  try {
    return parseConfig(text, OPTIONS);
  } catch (error) {
    assert.ok(error instanceof ConfigError, `${error}`);
    assert.ok(error.problems.length > 0 && error.problems.length <= 51);
    for (const { message } of error.problems) {
      assert.doesNotMatch(message, /\p{Cc}/u);
      assert.doesNotMatch(message.replaceAll(/"[^"]*"/g, ""), /Invalid|undefined|Unrecognized|object/);
    }
    return undefined;
  }
}

Deno.test("parseConfig() throws nothing but ConfigError on any bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseOrRefuse(bytes)), { numRuns: 500 });
});

/** Pieces of YAML and of configurations, so that chance builds something deeper than one text. */
const PIECES = [
  ..."{}[]:,-?*&!|>'\"%@`# \n\t~",
  ..."version interfaces name umem chunks headroom workers count cpus steering ports worker action control log".split(
    " ",
  ),
  ..."- |: |\n|\n  |\n    |1|0|-1|70000|1-5|auto|hash|all|eth0|&a |*a|---\n|null|true|.nan|.inf|1e400|<<|__proto__: "
    .split("|"),
];

Deno.test("parseConfig() throws nothing but ConfigError on any jumble of YAML", () => {
  const jumble = fc.array(fc.constantFrom(...PIECES), { maxLength: 60 }).map((pieces) => pieces.join(""));
  fc.assert(fc.property(jumble, (text) => void parseOrRefuse(text)), { numRuns: 1000 });
  fc.assert(fc.property(jumble, (text) => void parseOrRefuse(HEAD + text)), { numRuns: 1000 });
});

Deno.test("parseConfig() throws nothing but ConfigError on any value in any place", () => {
  const anything = fc.jsonValue({ maxDepth: 3 });
  const ring = fc.record({ rx: anything, tx: anything, fill: anything, extra: anything }, { requiredKeys: [] });
  const shaped = fc.record({
    version: fc.oneof(fc.constant(1), anything),
    interfaces: fc.array(
      fc.record({ name: fc.constantFrom<unknown>("a", "b", 1), queues: anything, umem: anything, rings: ring }, {
        requiredKeys: [],
      }),
    ),
    workers: fc.oneof(anything, fc.record({ count: anything, cpus: anything })),
    steering: fc.array(fc.oneof(anything, fc.record({ name: fc.string(), ports: anything, worker: anything }))),
  }, { requiredKeys: [] });
  fc.assert(fc.property(shaped, (value) => void parseOrRefuse(JSON.stringify(value))), { numRuns: 500 });
});

Deno.test("PortClaims.claim() returns the runs that others hold and gives away the rest", () => {
  const claims = new PortClaims<string>();
  assert.deepEqual(claims.claim({ first: 10, last: 20 }, "a"), []);
  assert.deepEqual(claims.claim({ first: 30, last: 40 }, "b"), []);
  assert.deepEqual(claims.claim({ first: 15, last: 35 }, "c"), [
    { ports: { first: 15, last: 20 }, owner: "a" },
    { ports: { first: 30, last: 35 }, owner: "b" },
  ]);
  assert.deepEqual(claims.claim({ first: 21, last: 29 }, "d"), [{ ports: { first: 21, last: 29 }, owner: "c" }]);
  assert.deepEqual(claims.claim({ first: 65535, last: 65535 }, "e"), []);
});

Deno.test("parseConfig() takes 4,096 rules with 65,535 ports, and refuses 100,000 overlaps, in bounded time", () => {
  const rules = Array.from({ length: 4096 }, (_, rule) => {
    return `  - { name: rule-${rule}, ports: "${Math.max(1, rule * 16)}-${rule * 16 + 15}", worker: ${rule % 4} }\n`;
  });
  const start = process.cpuUsage();
  const config = parseConfig(`${HEAD}steering:\n${rules.join("")}`, OPTIONS);
  assert.equal(expand(config.steering).size, 65535);
  assert.equal(parseOrRefuse(`${HEAD}steering: [{ name: a, ports: [${"1-65535,".repeat(100_000)}] }]`), undefined);
  // Of CPU time, as the machine may have more to do; and generous, as machines differ: what this guards against takes
  // minutes.
  assert.ok(process.cpuUsage(start).user < 20_000_000);
});
