import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { answersOf, fatesOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BACK, backendAddress, BackendHost, BOTH, FAMILIES } from "./support/backends.ts";
import { defaultConfig } from "./support/defaults.ts";
import { Program } from "./support/programs.ts";
import { INNER, Tunnel, WIREGUARD_PORT } from "./support/wireguard.ts";

const { keepalive: { seconds, times, idleTimeout } } = SIZE;

for (const family of BOTH) {
  Deno.test(`a WireGuard client that only sends keepalives, every ${seconds} s, stays reachable for its server: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    const address = backendAddress(family, 1);
    const to = family === "IPv6" ? `[${address}]` : address;
    const more = idleTimeout === null ? "" : `, idle_timeout: ${idleTimeout}`;
    const rule =
      `{ name: vpn, ports: ${WIREGUARD_PORT}, action: { forward: { to: ["${to}:${WIREGUARD_PORT}"]${more} } } }`;
    const interfaces = [`{ name: ${INTERFACES.steer} }`, `{ name: ${BACK} }`];
    await using box = await startAppliance(network, (socket) => defaultConfig(socket, interfaces, [rule]));
    await using tunnel = await Tunnel.create({
      client: network.names.client,
      server: host.name,
      service: FAMILIES[family].service,
      keepaliveSeconds: seconds,
    });
    const endpoint = await tunnel.endpoint();
    assert.match(endpoint!, new RegExp(`^\\[?${RegExp.escape(FAMILIES[family].net(2))}\\]?:\\d+$`));
    const begun = fatesOf(await settled(box), "vpn").forwarded!;
    // Longer than a session lasts in silence.
    await box.untilStatus("keepalives", (status) => fatesOf(status, "vpn").forwarded! >= begun + times, 10 * 60_000);
    const ping = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "30", "-s", "1392", INNER.client];
    await using pinged = Program.run(host.name, ping);
    assert.match(await pinged.result(), / 3 received/, "the server speaks first, in packets as large as fit");
    assert.equal(await tunnel.endpoint(), endpoint, "and the client has kept its translation port");
    tunnel.freeze(); // a keepalive that comes while sums are compared is in one of them only
    const status = await settled(box);
    assert.deepEqual(Object.keys(fatesOf(status, "vpn")), ["forwarded"]);
    assert.deepEqual(Object.keys(answersOf(status, "vpn")), ["returned"]);
    assert.equal(status.workers.reduce((sum, { loop }) => sum + loop.sessions!, 0), 1);
  });
}
