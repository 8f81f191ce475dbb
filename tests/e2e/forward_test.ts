import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BackendHost, BOTH, Clients, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";

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
    const report = await clients.report();
    // What became of a packet that is missing stands beside it.
    const status = await settled(box);
    const fates = { web: fatesOf(status, "web"), answers: fatesOf(status, "(answers)") };
    assert.deepEqual(
      { ...report, byBackend: null, elapsedMs: 0, ...fates },
      {
        ...{ sent: ALL, answered: ALL, lost: 0, wrong: 0, late: 0, moved: 0, elapsedMs: 0, byBackend: null },
        ...{ web: { forwarded: ALL }, answers: { returned: ALL } },
      },
    );
    for (const number of [1, 2, 3]) {
      const share = report.byBackend[number]!;
      assert.ok(share > 250 && share < 420, `backend ${number} has ${share} of 1000 clients`);
    }
  });
}
