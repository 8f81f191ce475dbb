/** As many rules that forward as there may be, under traffic, and one more. */
import assert from "node:assert/strict";
import { MAX_FORWARDS } from "../../src/steering/forward_table.ts";
import { TestNetwork } from "../support/netns.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BackendHost, backendName, Clients, DEFAULT_RINGS, FAMILIES, forwardConfig } from "./support/backends.ts";
import { until } from "./support/wait.ts";

const FIRST_PORT = 8080;
/** Of each rule that is under traffic. */
const CLIENTS = 50;
/** Answers after the refusals. */
const MORE = 500;

const BOUNDS = [
  { family: "IPv4", tableSize: 65_537, words: "the default", most: MAX_FORWARDS },
  { family: "IPv6", tableSize: 655_373, words: "655373", most: 6 },
] as const;

for (const { family, tableSize, words, most } of BOUNDS) {
  Deno.test(`with table_size ${words}, ${most} rules forward under load, and one more is refused with its place: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    await host.serve(family, 1);
    const to = backendName(family, 1);
    const rule = (index: number): string =>
      `{ name: web-${index}, ports: ${FIRST_PORT + index}, action: { forward: { to: ["${to}"] } } }`;
    const more = words === "the default" ? [] : [`forwarding: { table_size: ${tableSize} }`];
    const config = (socket: string, count: number): string =>
      forwardConfig(socket, Array.from({ length: count }, (_, index) => rule(index)), { memory: DEFAULT_RINGS, more });
    await using box = await startAppliance(network, (socket) => config(socket, most - 1), { favoured: true });
    const talk = (index: number): Promise<Clients> =>
      Clients.start(network, {
        address: FAMILIES[family].service,
        port: FIRST_PORT + index,
        clients: CLIENTS,
        window: 4,
      });
    await using first = await talk(0);
    await first.ready();
    await box.writeConfig(config(box.socket, most));
    await box.waitForGeneration(2);
    await using last = await talk(most - 1);
    await last.ready();

    const expected = new RegExp(
      `:${7 + most}:\\d+: rule number ${most + 1} that forwards: expected at most ${most} with table_size ${tableSize}`,
    );
    const put = await box.put(config(box.socket, most + 1));
    assert.equal(put.code, 422);
    assert.match(put.body, expected);
    const order = { ports: FIRST_PORT + most, worker: 0, action: { forward: { to: [to] } } };
    const set = await box.request("POST", "/v1/ports", JSON.stringify(order));
    assert.equal(set.code, 422, set.body);
    assert.match(set.body, new RegExp(`expected at most ${most} with table_size ${tableSize}`));
    await box.writeConfig(config(box.socket, most + 1));
    const told = await until("a refused file", async () => {
      const { body } = await box.request("GET", "/v1/problems");
      return body.includes('"config_refused"') && body;
    });
    assert.match(told, expected);

    const refused = await box.status();
    assert.equal(refused.generation, 2);
    const forwarded = fatesOf(refused, `web-${most - 1}`).forwarded!;
    await box.untilStatus("more packets", (status) => fatesOf(status, `web-${most - 1}`).forwarded! > forwarded + MORE);
    const reports = [await first.stop(), await last.stop()];
    for (const { sent, answered, lost, wrong } of reports) {
      assert.deepEqual({ answered, lost, wrong }, { answered: sent, lost: 0, wrong: 0 });
    }
    const status = await settled(box);
    assert.deepEqual(
      [0, most - 1].map((index) => fatesOf(status, `web-${index}`)),
      reports.map(({ sent }) => ({ forwarded: sent })),
    );
  });
}
