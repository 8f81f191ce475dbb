/**
 * Changes of workers, rings and interfaces under clients that have sessions: these keep their backend and their
 * translation port, wherever their packets are steered to from then on.
 */
import assert from "node:assert/strict";
import { INTERFACES } from "../support/netns.ts";
import { BACK, BOTH, Clients, FAMILIES, type Family, forwardConfig, forwardTo } from "./support/backends.ts";
import { saved } from "./support/live_change.ts";
import { type ForwardScene, startScene, untilForwarded } from "./support/scene.ts";
import { upgrade } from "./support/upgrade.ts";
import { assertSessionsKept } from "./support/sessions.ts";

const BACKENDS = [1, 2, 3];
const CLIENTS = 500;
type Options = Parameters<typeof forwardConfig>[2];

async function withSessions(
  family: Family,
  first: Options,
  work: (scene: ForwardScene, change: (options: Options) => Promise<void>) => Promise<void>,
): Promise<void> {
  const rules = [forwardTo(8080, BACKENDS, { families: [family] })];
  await using scene = await startScene((socket) => forwardConfig(socket, rules, first), {
    families: [family],
    serving: BACKENDS,
  });
  const { network, box } = scene;
  const { service: address } = FAMILIES[family];
  await using clients = await Clients.start(network, { address, port: 8080, clients: CLIENTS });
  await clients.ready();
  await untilForwarded(scene);
  await work(scene, async (options) => {
    await saved(box, forwardConfig(box.socket, rules, options));
    await untilForwarded(scene);
  });
  const status = await assertSessionsKept(scene, clients, { family, backends: BACKENDS, count: CLIENTS });
  const sessions = status.workers.reduce((sum, worker) => sum + worker.loop.sessions, 0);
  assert.equal(sessions, CLIENTS, "halves of a session count as one");
  assert.equal(status.backends.reduce((sum, backend) => sum + backend.sessions, 0), CLIENTS);
}

for (const family of BOTH) {
  Deno.test(`sessions go on with more workers, fewer, and after an upgrade in between: ${family}`, async () => {
    await withSessions(family, {}, async ({ network, box }, change) => {
      await change({ workers: 4 });
      await upgrade(network, box);
      await change({ workers: 1 });
      await change({ workers: 3, more: ["forwarding: { sessions: 4096 }"] });
    });
  });
}

/** Names of interfaces: where clients and backends are, and one more that nobody needs. */
const MORE = "more0";

for (const family of BOTH) {
  Deno.test(`sessions go on while an interface is added, comes first, and is removed: ${family}`, async () => {
    await withSessions(family, {}, async ({ network, box }, change) => {
      await network.exec("steer", ["ip", "link", "add", MORE, "type", "veth", "peer", "name", "more1"]);
      await network.exec("steer", ["ip", "link", "set", MORE, "up"]);
      await network.exec("steer", ["ip", "link", "set", "more1", "up"]);
      await change({ interfaces: [INTERFACES.steer, BACK, MORE] });
      assert.equal((await box.status()).interfaces.length, 3);
      await change({ interfaces: [MORE, BACK, INTERFACES.steer], workers: 3 });
      const { interfaces } = await box.status();
      assert.deepEqual(interfaces.map(({ name, state }) => `${name} ${state}`), [
        `${MORE} attached`,
        `${BACK} attached`,
        `${INTERFACES.steer} attached`,
      ]);
      await change({ interfaces: [BACK, INTERFACES.steer], workers: 3 });
      assert.equal((await box.status()).interfaces.length, 2);
    });
  });
}
