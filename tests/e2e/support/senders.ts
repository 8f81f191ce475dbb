/**
 * Packets from several addresses of the client, for rules that ask who sends.
 *
 * @module
 */
import assert from "node:assert/strict";
import { INTERFACES, IPV4, IPV6, type TestNetwork } from "../../support/netns.ts";
import { runTraffic } from "../../support/traffic_cli.ts";

/** Gives the client addresses besides its own. */
export async function addSources(network: TestNetwork, addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    const [length, flags] = address.includes(":") ? [64, ["nodad"]] : [24, []];
    const command = ["ip", "address", "add", `${address}/${length}`, "dev", INTERFACES.client, ...flags];
    await network.exec("client", command);
  }
}

/** Sends so many packets to a port of the box from one of the client's addresses. */
export async function sendFrom(
  network: TestNetwork,
  source: string,
  port: number,
  packets: number,
  flows = 1,
): Promise<void> {
  const [ip, address, length] = source.includes(":") ? [["ip", "-6"], IPV6.steer, 128] : [["ip"], IPV4.steer, 32];
  const to = ["dev", INTERFACES.client, "src", source];
  await network.exec("client", [...ip, "route", "replace", `${address}/${length}`, ...to]);
  const { sent } = await runTraffic(network, "udp", {
    ...{ address, ports: [port], flows, packetsPerFlow: packets / flows },
  });
  assert.equal(sent, packets);
}
