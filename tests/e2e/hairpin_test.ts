import assert from "node:assert/strict";
import { cProgram } from "../support/c_programs.ts";
import { INTERFACES, IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { Clients, forwardConfig } from "./support/backends.ts";
import { finish, productCommand } from "./support/command.ts";
import { Program } from "./support/programs.ts";
import { until } from "./support/wait.ts";

const PORT = 8080;
const BACKEND_PORT = 9000;
const FAMILIES = {
  IPv4: { service: IPV4.steer, host: IPV4.client, neighbour: "10.11.0.77", prefix: 24 },
  IPv6: { service: IPV6.steer, host: IPV6.client, neighbour: "fd11::77", prefix: 64 },
} as const;

for (const [family, { service, host, neighbour, prefix }] of Object.entries(FAMILIES)) {
  Deno.test(`backends behind the clients' own interface, on the client's host and beside it: ${family}`, async () => {
    await using network = await TestNetwork.create();
    const nodad = family === "IPv6" ? ["nodad"] : [];
    const address = ["address", "add", `${neighbour}/${prefix}`, "dev", INTERFACES.client, ...nodad];
    await network.exec("client", ["ip", ...address]);
    await using stack = new AsyncDisposableStack();
    for (const [index, each] of [host, neighbour].entries()) {
      const argv = [await cProgram("udp_backend"), each, `${BACKEND_PORT}`, `${index + 1}`];
      stack.use(await Program.start(network.names.client, argv, "ready"));
    }
    const to = [host, neighbour].map((each) => `"${each.includes(":") ? `[${each}]` : each}:${BACKEND_PORT}"`);
    const rule = `{ name: web, ports: ${PORT}, action: { forward: { to: [${to.join(", ")}] } } }`;
    await using box = await startAppliance(
      network,
      (socket) => forwardConfig(socket, [rule], { interfaces: [INTERFACES.steer] }),
      { favoured: true },
    );
    await using clients = await Clients.start(network, { address: service, port: PORT, clients: 40, requests: 50 });
    const { sent, lost, wrong, moved, byBackend } = await clients.report();
    assert.deepEqual([lost, wrong, moved, Object.keys(byBackend)], [0, 0, 0, ["1", "2"]]);
    assert.deepEqual(fatesOf(await settled(box), "web"), { forwarded: sent });
  });
}

Deno.test("a backend on the box itself is told as a problem, with what delivers to it, and a delivery does", async () => {
  await using network = await TestNetwork.create();
  const argv = [await cProgram("udp_backend"), IPV4.steer, `${BACKEND_PORT}`, "1"];
  await using _ = await Program.start(network.names.steer, argv, "ready");
  const config = (socket: string, action: string): string =>
    forwardConfig(socket, [`{ name: web, ports: ${PORT}, action: ${action} }`], { interfaces: [INTERFACES.steer] });
  const forward = `{ forward: { to: ["${IPV4.steer}:${BACKEND_PORT}"] } }`;
  await using box = await startAppliance(network, (socket) => config(socket, forward));
  const told = await until("the problem", async () => {
    const { body } = await box.request("GET", "/v1/problems");
    return body.includes("it is an address of this box") && body;
  });
  assert.match(told, new RegExp(`action: \\{ deliver: \\{ port: ${BACKEND_PORT} \\} \\}`));
  const set = ["ports", "set", "8099", "--to", `${IPV4.steer}:${BACKEND_PORT}`, "--socket", box.socket];
  const refused = await finish(network, [...productCommand(), ...set]);
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    new RegExp(`an address of this box; .* action: \\{ deliver: \\{ port: ${BACKEND_PORT} \\} \\}`),
  );
  const { stderr } = await finish(network, [...productCommand(), "check", box.configFile]);
  assert.match(stderr, /it is an address of this box/);
  await box.writeConfig(config(box.socket, `{ deliver: { port: ${BACKEND_PORT} } }`));
  await box.waitForGeneration(2);
  const options = { address: IPV4.steer, port: PORT, clients: 10, requests: 10 };
  await using clients = await Clients.start(network, options);
  const { lost, wrong } = await clients.report();
  assert.deepEqual([lost, wrong], [0, 0]);
});
