import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { answersOf, fatesOf, settled, strayAnswers } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BackendHost, BOTH, Clients, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";
import { lossesAround } from "./support/link.ts";

const PORT = 8080;
const CLIENTS = 1000;
const REQUESTS = SIZE.requestsPerClient;
const ALL = CLIENTS * REQUESTS;

for (const family of BOTH) {
  Deno.test(`a thousand clients with ${REQUESTS} requests each, three backends: every answer comes back whole: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    for (const number of [1, 2, 3]) await host.serve(family, number);
    await using box = await startAppliance(network, (socket) => forwardConfig(socket, [forwardTo(PORT, [1, 2, 3])]), {
      favoured: true,
    });
    const { service } = FAMILIES[family];
    await using clients = await Clients.start(network, {
      address: service,
      port: PORT,
      clients: CLIENTS,
      requests: REQUESTS,
      window: 48, // fewer than a worker parks while the kernel looks for the backends' link addresses
    });
    const { answersOf: _, byBackend, elapsedMs: __, lost, ...report } = await clients.report();
    assert.deepEqual(report, { sent: ALL, answered: ALL - lost, wrong: 0, late: 0, moved: 0 });
    for (const number of [1, 2, 3]) {
      const share = byBackend[number]!;
      assert.ok(share > 250 && share < 420, `backend ${number} has ${share} of 1000 clients`);
    }
    const status = await settled(box);
    const { returned = 0, ...notReturned } = answersOf(status, "web");
    const fates = JSON.stringify(status.totals.fates);
    // Only the kernel may lose a packet, before or behind the box, and counts it.
    const { sum: kernels, places } = await lossesAround(network, host.name);
    assert.ok(lost <= kernels, `${lost} lost, by the kernel ${JSON.stringify(places)}: ${fates}`);
    assert.equal(status.totals.socketDrops, 0);
    assert.deepEqual(fatesOf(status, "web"), { forwarded: ALL });
    assert.ok(returned >= ALL - lost, fates);
    assert.deepEqual([notReturned, strayAnswers(status)], [{}, {}]);
  });
}
