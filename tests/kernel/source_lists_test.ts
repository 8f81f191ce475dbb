/** Who may send to a rule, by the lists of its policies. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { RULE_PACKETS } from "../../src/bpf/rule_counters.ts";
import { clearSources, writeSources } from "../../src/bpf/source_maps.ts";
import { formatAddress, parseAddress } from "../../src/packet/address.ts";
import { isWithin, parsePrefix } from "../../src/steering/addresses.ts";
import { PrefixSet, readPrefixLines } from "../../src/steering/prefix_set.ts";
import { ipv4Intervals, ipv6Intervals, type SourcePolicy } from "../../src/steering/source_intervals.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import { MACS } from "./steer_frames.ts";
import { portMap, VerdictRig } from "./verdict_rig.ts";

const PORT = 53;

function frameFrom(address: string, { port = PORT, first = false } = {}): Uint8Array<ArrayBuffer> {
  const isIpv6 = address.includes(":");
  return buildFrame({
    source: { mac: MACS.from, address, port: 40_000 },
    destination: { mac: MACS.to, address: isIpv6 ? "2001:db8::2" : "192.0.2.2", port },
    payload: new Uint8Array(20),
    ...first && !isIpv6 ? { ipv4Fragment: { offset: 0, more: true } } : {},
  }).bytes;
}

function setOf(prefixes: readonly string[]): PrefixSet {
  const set = new PrefixSet();
  readPrefixLines(new TextEncoder().encode(prefixes.join("\n")), set, (line) => assert.fail(`line ${line}`));
  return set;
}

interface Lists {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

function policyOf({ allow, deny }: Lists): SourcePolicy {
  return { allow: [setOf(allow)], deny: [setOf(deny)], closed: allow.length > 0 };
}

/** A plain search. */
function isDenied({ allow, deny }: Lists, address: string): boolean {
  const longest = (list: readonly string[]): number =>
    Math.max(
      -1,
      ...list.map(parsePrefix).filter((each) => isWithin(parsePrefix(address), each)).map(({ bits }) => bits),
    );
  const [allowed, denied] = [longest(allow), longest(deny)];
  return allowed < 0 && denied < 0 ? allow.length > 0 : denied >= allowed;
}

function writeTo(rig: VerdictRig, place: number, policies: readonly SourcePolicy[]): void {
  writeSources(rig.program.sourceMaps, place, { ipv4: ipv4Intervals(policies), ipv6: ipv6Intervals(policies) });
}

/** Puts these in force for a rule each, on ports from PORT on, and the global guard for the last. */
async function put(
  rig: VerdictRig,
  policies: readonly SourcePolicy[],
  masks: readonly bigint[],
  turn: number,
): Promise<void> {
  const place = turn & 1;
  writeTo(rig, place, policies);
  const rules = masks.map((policies, index) =>
    [PORT + index, { action: "pass", rule: index + 1, guard: { name: "r", policies }, dropsFragments: true }] as const
  );
  await rig.put(portMap(Object.fromEntries(rules)), turn, place);
  await rig.table.settled;
  clearSources(rig.program.sourceMaps, place ^ 1);
}

const NETS = [
  "0.0.0.0",
  "10.0.0.0",
  "10.0.0.128",
  "10.0.1.0",
  "10.1.0.0",
  "172.16.0.0",
  "198.51.100.0",
  "223.255.255.0",
];
const NETS6 = ["2001:db8::", "2001:db8:0:1::", "2001:db8:8000::", "2a00::", "3fff:ffff:ffff:ffff::", "fe80::"];

function prefixFrom(net: string, bits: number, host: number): string {
  const address = parseAddress(net);
  address[address.length - 1]! += host;
  return `${formatAddress(address.map((byte, at) => byte & masked(bits, at)))}/${bits}`;
}

function masked(bits: number, at: number): number {
  return bits >= 8 * at + 8 ? 0xff : bits <= 8 * at ? 0 : 0xff00 >> (bits - 8 * at);
}

const prefix4 = fc.tuple(fc.constantFrom(...NETS), fc.integer({ min: 0, max: 32 }), fc.nat(3))
  .map(([net, bits, host]) => prefixFrom(net, bits, host));
const prefix6 = fc.tuple(
  fc.constantFrom(...NETS6),
  fc.oneof(fc.integer({ min: 0, max: 128 }), fc.constantFrom(16, 32, 47, 48, 49, 63, 64, 65, 80, 112, 127, 128)),
  fc.nat(3),
).map(([net, bits, host]) => prefixFrom(net, bits, host));
const lists = fc.record({
  allow: fc.array(fc.oneof(prefix4, prefix6), { maxLength: 6 }),
  deny: fc.array(fc.oneof(prefix4, prefix6), { maxLength: 12 }),
});

/** The first and last addresses of prefixes, and their neighbours. */
function edges(prefixes: readonly string[]): string[] {
  return prefixes.flatMap((text) => {
    const { address, bits } = parsePrefix(text);
    const last = address.map((byte, at) => byte | (~masked(bits, at) & 0xff));
    return [address, step(address, -1), last, step(last, 1)].map(formatAddress);
  });
}

function step(address: Uint8Array, by: number): Uint8Array {
  const next = address.slice();
  for (let at = next.length - 1; at >= 0; at--) {
    const sum = next[at]! + by;
    next[at] = sum;
    if (sum >= 0 && sum <= 255) break;
  }
  return next;
}

/** Nobody's: the kernel would not take a packet from there. */
function isMartian(address: string): boolean {
  return /^(0|127|22[4-9]|2[3-5]\d)\.|^ff|^::1?$|^192\.0\.2\.2(55)?$/.test(address);
}

Deno.test("the XDP program denies the sources that a plain search denies, whatever the lists of its policies", async () => {
  await using rig = await VerdictRig.load();
  let turn = 0;
  let denied = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(lists, { minLength: 1, maxLength: 3 }), async (all) => {
      await put(rig, all.map(policyOf), [BigInt((1 << all.length) - 1)], ++turn);
      const prefixes = all.flatMap(({ allow, deny }) => [...allow, ...deny]);
      const addresses = new Set([...edges(prefixes), "203.0.113.7", "2001:db9::7"]);
      for (const address of addresses) {
        if (isMartian(address)) continue;
        const expected = all.some((each) => isDenied(each, address));
        if (expected) denied++;
        assert.equal(
          rig.run(frameFrom(address)),
          expected ? "DENIED" : "RULE_PASS",
          `${address} of ${JSON.stringify(all)}`,
        );
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(denied > 100);
});

Deno.test("the XDP program finds its way in lists with many prefixes side by side", async () => {
  await using rig = await VerdictRig.load();
  // Every other address of a /19, and every other /127: several levels of nodes.
  const one = Array.from({ length: 4096 }, (_, index) => `10.5.${index >> 7}.${(index & 127) * 2}`);
  const six = Array.from({ length: 2000 }, (_, index) => `2001:db8:5::${(index * 4).toString(16)}/127`);
  const wide = Array.from({ length: 3000 }, (_, index) => `2001:db8:${(index * 3 + 0x2000).toString(16)}::/48`);
  await put(rig, [policyOf({ allow: [], deny: [...one, ...six, ...wide] })], [1n], 1);
  const run = (address: string): string => rig.run(frameFrom(address));
  for (let host = 0; host < 8192; host += 7) {
    const address = `10.5.${host >> 8}.${host & 255}`;
    assert.equal(run(address), host % 2 === 0 ? "DENIED" : "RULE_PASS", address);
  }
  for (const address of ["10.4.255.255", "10.5.32.0", "10.5.255.255"]) assert.equal(run(address), "RULE_PASS");
  for (let host = 1; host < 8010; host += 3) {
    const address = `2001:db8:5::${host.toString(16)}`;
    assert.equal(run(address), host < 8000 && host % 4 < 2 ? "DENIED" : "RULE_PASS", address);
  }
  for (let net = 0x1ff0; net < 0x2000 + 9010; net += 5) {
    const address = `2001:db8:${net.toString(16)}::1`;
    const inside = net >= 0x2000 && net < 0x2000 + 9000 && (net - 0x2000) % 3 === 0;
    assert.equal(run(address), inside ? "DENIED" : "RULE_PASS", address);
  }
});

Deno.test("each rule has the policies that it has, and what it drops is counted with it", async () => {
  await using rig = await VerdictRig.load();
  const denying = (prefix: string): SourcePolicy => policyOf({ allow: [], deny: [prefix] });
  const policies = Array.from({ length: 64 }, (_, index) => denying(`10.${index}.0.0/16`));
  await put(rig, policies, [1n << 0n, 1n << 40n | 1n << 63n, 0n], 1);
  const counts = (slot: number): number => rig.program.readRuleCounters(slot)[RULE_PACKETS.denied]!;
  const verdicts = [0, 1, 40, 63].map((net) =>
    [0, 1, 2].map((rule) => rig.run(frameFrom(`10.${net}.0.1`, { port: PORT + rule })))
  );
  assert.deepEqual(verdicts, [
    ["DENIED", "RULE_PASS", "RULE_PASS"],
    ["RULE_PASS", "RULE_PASS", "RULE_PASS"],
    ["RULE_PASS", "DENIED", "RULE_PASS"],
    ["RULE_PASS", "DENIED", "RULE_PASS"],
  ]);
  assert.deepEqual([1, 2, 3].map(counts), [1, 2, 0]);
});

Deno.test("a first fragment from a denied source is dropped as its packets are, and another's as the rule says", async () => {
  await using rig = await VerdictRig.load();
  await put(rig, [policyOf({ allow: [], deny: ["10.1.0.0/16"] })], [1n], 1);
  assert.equal(rig.run(frameFrom("10.1.0.1", { first: true })), "DENIED");
  assert.equal(rig.run(frameFrom("10.2.0.1", { first: true })), "FRAGMENT_DROPPED");
});

Deno.test("lists change without the rules, and rules without the lists", async () => {
  await using rig = await VerdictRig.load();
  const run = (...addresses: string[]): string[] => addresses.map((address) => rig.run(frameFrom(address)));
  const both = ["10.1.0.1", "10.2.0.1"] as const;
  await put(rig, [policyOf({ allow: [], deny: ["10.1.0.0/16"] })], [1n], 2);
  assert.deepEqual(run(...both), ["DENIED", "RULE_PASS"]);
  writeTo(rig, 1, [policyOf({ allow: [], deny: ["10.2.0.0/16"] })]);
  assert.deepEqual(run(...both), ["DENIED", "RULE_PASS"], "not before they are used");
  rig.table.useSources(1);
  assert.deepEqual(run(...both), ["RULE_PASS", "DENIED"]);
  await rig.table.settled;
  await rig.put(portMap({ [PORT]: { action: "pass", guard: { name: "r", policies: 1n } } }), 3, 1);
  assert.deepEqual(run(...both), ["RULE_PASS", "DENIED"]);
  await rig.put(portMap({ [PORT]: { action: "pass" } }), 4, 1);
  assert.deepEqual(run(...both), ["RULE_PASS", "RULE_PASS"], "a rule that is not guarded");
});
