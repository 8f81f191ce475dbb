/**
 * `xdpsteer upgrade`: another process takes sockets, memory and counters over under traffic, and every packet has its
 * account in one of the two.
 */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { assertConserved, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { BOTH, Clients, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";
import { startScene, untilForwarded } from "./support/scene.ts";
import { upgrade } from "./support/upgrade.ts";
import { until } from "./support/wait.ts";
import { assertSessionsKept } from "./support/sessions.ts";
import { MIXED_PORTS, MIXED_RULES, mixedFates } from "./support/mixed_rules.ts";

/** So few that an rx ring holds what comes while a slow machine has no CPU for a worker. */
const RATE_PPS = 3000;
const UPGRADES = 3;
const BACKENDS = [1, 2, 3];
const CLIENTS = 500;

Deno.test("another process takes over under load: no packet is lost, and counters go on", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: MIXED_RULES, workers: 2 });
  await using traffic = await BackgroundTraffic.udp(network, box, { ports: MIXED_PORTS, flows: 40, ratePps: RATE_PPS });
  let seen = 0;
  for (let round = 0; round < UPGRADES; round++) {
    const { gapsMs } = await upgrade(network, box);
    assert.equal(gapsMs.length, 2);
    const { totals, generation } = await box.status();
    assert.ok(totals.seen >= seen, "a counter went back");
    assert.equal(generation, 1);
    seen = totals.seen;
  }
  const { sent } = await traffic.stop();
  const status = await settled(box, sent);
  assertConserved(status);
  const { rules, deadman, totals: all, interfaces } = status;
  assert.equal(mixedFates(status), sent, JSON.stringify([rules, deadman, all, interfaces]));
  assert.equal(status.totals.socketDrops, 0);
  assert.equal((await box.metrics()).get('xdpsteer_handovers_total{result="done"}'), UPGRADES);
});

Deno.test("of two handovers at once, one is refused", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: MIXED_RULES, workers: 2 });
  const both = await Promise.all([0, 1].map(() => box.request("POST", "/v1/upgrade?within=60")));
  const [done, refused] = both.sort((one, other) => one.code - other.code);
  assert.equal(done!.code, 200, done!.body);
  assert.match(refused!.body, /A handover is under way already/);
  box.followTo(JSON.parse(done!.body).pid);
  await until("the new process", () => box.request("GET", "/livez").then(({ code }) => code === 200, () => false));
});

for (const family of BOTH) {
  Deno.test(`sessions keep their backend and their translation port, and no packet is lost: ${family}`, async () => {
    const rule = forwardTo(8080, BACKENDS, { families: [family] });
    await using scene = await startScene((socket) => forwardConfig(socket, [rule]), {
      families: [family],
      serving: BACKENDS,
    });
    const { network, box } = scene;
    const { service: address } = FAMILIES[family];
    await using clients = await Clients.start(network, { address, port: 8080, clients: CLIENTS });
    await clients.ready();
    for (let round = 0; round < UPGRADES; round++) {
      await untilForwarded(scene);
      await upgrade(network, box);
    }
    await untilForwarded(scene);
    await assertSessionsKept(scene, clients, { family, backends: BACKENDS, count: CLIENTS });
  });
}
