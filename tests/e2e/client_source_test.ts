/** Backends that see the clients' own addresses, and answer through the box. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { TestNetwork } from "../support/netns.ts";
import { answersOf, fatesOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import {
  BACKEND_PORT,
  backendAddress,
  BackendHost,
  backendName,
  BOTH,
  FAMILIES,
  forwardConfig,
} from "./support/backends.ts";
import { addManyAddresses, askWho } from "./support/many_clients.ts";
import { Program } from "./support/programs.ts";

const READER = join(import.meta.dirname!, "../../config/examples/client_address.py");
const PORT = 7001;
const CLIENTS = 1000;
const TURNS = 3;
const NUMBERS = [1, 2, 3];

/** Backends that answer with the address and port that they see, and have the box as their gateway. */
async function startBackends(host: BackendHost): Promise<AsyncDisposableStack> {
  const backends = new AsyncDisposableStack();
  try {
    for (const family of BOTH) {
      await host.exec(["ip", "route", "add", "default", "via", FAMILIES[family].net(2)]);
      for (const number of NUMBERS) {
        const argv = ["/usr/bin/python3", READER, backendAddress(family, number), `${BACKEND_PORT}`];
        backends.use(await Program.start(host.name, argv, "ready\n"));
      }
    }
    return backends;
  } catch (error) {
    await backends.disposeAsync();
    throw error;
  }
}

function rule(name: string, port: string | number, more: string): string {
  const to = BOTH.flatMap((family) => NUMBERS.map((number) => backendName(family, number)));
  return `{ name: ${name}, ports: ${port}, action: { forward: { to: ${JSON.stringify(to)}${more} } } }`;
}

const KEEPS = ", source: client";

Deno.test("a thousand clients of each IP version are seen by backends as they are, and get their answers", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await addManyAddresses(network);
  await using _backends = await startBackends(host);
  await using box = await startAppliance(network, (socket) => forwardConfig(socket, [rule("web", PORT, KEEPS)]), {
    favoured: true,
  });
  for (const family of BOTH) {
    const options = { address: FAMILIES[family].service, port: PORT, clients: CLIENTS, turns: TURNS };
    assert.deepEqual(await askWho(network, family, options), { right: CLIENTS * TURNS, wrong: [] });
  }
  const status = await settled(box);
  assert.deepEqual(fatesOf(status, "web"), { forwarded: 2 * CLIENTS * TURNS });
  assert.deepEqual(answersOf(status, "web"), { returned: 2 * CLIENTS * TURNS });
});
