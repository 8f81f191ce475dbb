/** Who may send: lists of allowed and denied sources, for all rules and for one. */
import assert from "node:assert/strict";
import { INTERFACES, IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { sumOf } from "../support/metrics.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { assertSameCounts, fatesOf, ruleOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";

const FLOWS = 10;
const SENT = 200;
const BOX = { IPv4: IPV4.steer, IPv6: IPV6.steer } as const;
/** Sources of the client besides its own. */
const OTHERS = { IPv4: ["10.11.0.50", "10.11.0.51"], IPv6: ["fd11::50", "fd11::51"] } as const;

/** Sends {@linkcode SENT} packets to a port from each of these sources. */
async function sendFrom(network: TestNetwork, sources: readonly string[], port: number): Promise<void> {
  for (const source of sources) {
    const isIpv6 = source.includes(":");
    const box = isIpv6 ? BOX.IPv6 : BOX.IPv4;
    const length = isIpv6 ? 128 : 32;
    const ip = isIpv6 ? ["ip", "-6"] : ["ip"];
    await network.exec("client", [
      ...ip,
      "route",
      "replace",
      `${box}/${length}`,
      "dev",
      INTERFACES.client,
      "src",
      source,
    ]);
    const { sent } = await runTraffic(network, "udp", {
      address: box,
      ports: [port],
      flows: FLOWS,
      packetsPerFlow: SENT / FLOWS,
    });
    assert.equal(sent, SENT);
  }
}

async function addSources(network: TestNetwork): Promise<void> {
  for (const address of OTHERS.IPv4) {
    await network.exec("client", ["ip", "address", "add", `${address}/24`, "dev", INTERFACES.client]);
  }
  for (const address of OTHERS.IPv6) {
    await network.exec("client", ["ip", "address", "add", `${address}/64`, "dev", INTERFACES.client, "nodad"]);
  }
}

Deno.test("what guard denies is dropped by the XDP program, and counted with its rule; the rest gets through", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  await addSources(network);
  const rules = ["{ name: game, ports: 53, action: count }", "{ name: dropped, ports: 54, action: drop }"];
  const [four, six] = [OTHERS.IPv4[0], OTHERS.IPv6[0]];
  await using box = await startAppliance(network, { rules, sections: [`guard: { deny: ["${four}", "${six}"] }`] });
  const all = [...OTHERS.IPv4, ...OTHERS.IPv6];
  await sendFrom(network, all, 53);
  await sendFrom(network, all, 54);
  const status = await settled(box, 2 * all.length * SENT);
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
  await addSources(network);
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
  const all = [...OTHERS.IPv4, ...OTHERS.IPv6];
  for (const port of [53, 54, 55]) await sendFrom(network, all, port);
  let status = await settled(box, 3 * all.length * SENT);
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
  await sendFrom(network, OTHERS.IPv4, 53);
  await sendFrom(network, OTHERS.IPv4, 55);
  status = await settled(box, (3 * all.length + 4) * SENT);
  assert.deepEqual(counted(), [3 * SENT, 2 * SENT, 5 * SENT]);
  assert.deepEqual(denied(), [3 * SENT, 2 * SENT, SENT]);
});
