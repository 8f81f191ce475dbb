/** Who may send: lists of allowed and denied sources, for all rules and for one. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { sumOf } from "../support/metrics.ts";
import { assertSameCounts, fatesOf, ruleOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { addSources, sendFrom } from "./support/senders.ts";

const FLOWS = 10;
const SENT = 200;
/** Sources of the client besides its own. */
const OTHERS = { IPv4: ["10.11.0.50", "10.11.0.51"], IPv6: ["fd11::50", "fd11::51"] } as const;
const ALL = [...OTHERS.IPv4, ...OTHERS.IPv6];

/** Sends {@linkcode SENT} packets to a port from each of these sources. */
async function sendFromEach(network: TestNetwork, sources: readonly string[], port: number): Promise<void> {
  for (const source of sources) await sendFrom(network, source, port, SENT, FLOWS);
}

Deno.test("what guard denies is dropped by the XDP program, and counted with its rule; the rest gets through", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  await addSources(network, ALL);
  const rules = ["{ name: game, ports: 53, action: count }", "{ name: dropped, ports: 54, action: drop }"];
  const [four, six] = [OTHERS.IPv4[0], OTHERS.IPv6[0]];
  await using box = await startAppliance(network, { rules, sections: [`guard: { deny: ["${four}", "${six}"] }`] });
  await sendFromEach(network, ALL, 53);
  await sendFromEach(network, ALL, 54);
  const status = await settled(box, 2 * ALL.length * SENT);
  assert.deepEqual(fatesOf(status, "game"), { counted: 2 * SENT });
  assert.equal(ruleOf(status, "dropped").dropped.packets, 2 * SENT);
  assert.deepEqual(["game", "dropped"].map((name) => ruleOf(status, name).guarded.denied), [2 * SENT, 2 * SENT]);
  const metrics = await box.metrics();
  assertSameCounts(status, metrics);
  assert.equal(sumOf(metrics, "xdpsteer_xdp_packets_total", { verdict: "drop", reason: "denied" }), 4 * SENT);
  const guarded = { rule: "game", reason: "denied", mode: "enforce" };
  assert.equal(sumOf(metrics, "xdpsteer_rule_guarded_packets_total", guarded), 2 * SENT);
});

Deno.test("a rule's own sources, lists in lists, and the most specific prefix; a save changes them at once", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  await addSources(network, ALL);
  const lists = [
    "lists:",
    '  - { name: net, entries: [10.11.0.0/24, "fd11::/64"] }',
    "  - { name: some, entries: [inner] }",
    '  - { name: inner, entries: [10.11.0.50, "fd11::50"] }',
  ];
  const rules = [
    "{ name: few, ports: 53, action: count, sources: { deny: [net], allow: [some] } }",
    "{ name: most, ports: 54, action: count, sources: { allow: [net], deny: [some] } }",
    "{ name: all, ports: 55, action: count }",
  ];
  await using box = await startAppliance(network, { rules, sections: lists });
  for (const port of [53, 54, 55]) await sendFromEach(network, ALL, port);
  let status = await settled(box, 3 * ALL.length * SENT);
  const counted = (): (number | undefined)[] =>
    ["few", "most", "all"].map((name) => fatesOf(status, name).counted ?? 0);
  const denied = (): number[] => ["few", "most", "all"].map((name) => ruleOf(status, name).guarded.denied);
  assert.deepEqual(counted(), [2 * SENT, 2 * SENT, 4 * SENT]);
  assert.deepEqual(denied(), [2 * SENT, 2 * SENT, 0]);

  // The other one is let in now, and the guard keeps the first one out everywhere.
  const after = [...lists.slice(0, 3), '  - { name: inner, entries: [10.11.0.51, "fd11::51"] }'];
  const answer = await box.put({ rules, sections: ["guard: { deny: [10.11.0.50] }", ...after] });
  assert.equal(answer.code, 200, answer.body);
  assert.match(answer.body, /~ guard none -> deny 10.11.0.50/);
  await sendFromEach(network, OTHERS.IPv4, 53);
  await sendFromEach(network, OTHERS.IPv4, 55);
  status = await settled(box, (3 * ALL.length + 4) * SENT);
  assert.deepEqual(counted(), [3 * SENT, 2 * SENT, 5 * SENT]);
  assert.deepEqual(denied(), [3 * SENT, 2 * SENT, SENT]);
});
