/**
 * `xdpsteer upgrade`: another process takes sockets, memory and counters over under traffic, and every packet has its
 * account in one of the two.
 */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { assertConserved, fatesOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { upgrade } from "./support/upgrade.ts";

const RULES = [
  "{ name: count, ports: 8080, worker: 0 }",
  "{ name: spread, ports: 9090, worker: hash }",
  "{ name: echo, ports: 7777, worker: 1, action: echo }",
];
const PORTS = [8080, 9090, 7777];
const UPGRADES = 3;

Deno.test("another process takes over under load: no packet is lost, and counters go on", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES, workers: 2 });
  await using traffic = await BackgroundTraffic.udp(network, box, { ports: PORTS, flows: 40, ratePps: 20_000 });
  let seen = 0;
  for (let round = 0; round < UPGRADES; round++) {
    const { gapsMs } = await upgrade(network, box);
    // deno-lint-ignore no-console
    Deno.writeTextFileSync("/tmp/h21a/gaps", `gaps ${gapsMs.join(", ")} ms\n`, { append: true });
    const { totals, generation } = await box.status();
    assert.ok(totals.seen >= seen, "a counter went back");
    assert.equal(generation, 1);
    seen = totals.seen;
  }
  const { sent } = await traffic.stop();
  const status = await settled(box, sent);
  assertConserved(status);
  const fates = ["count", "spread", "echo"].map((rule) => fatesOf(status, rule));
  const all = fates.reduce((sum, each) => sum + Object.values(each).reduce((one, other) => one + other, 0), 0);
  assert.equal(all, sent, JSON.stringify(fates));
  assert.equal(status.totals.socketDrops, 0);
});
