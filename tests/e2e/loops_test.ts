import assert from "node:assert/strict";
import { buildFrame, type FrameOptions } from "../../src/traffic/frames.ts";
import { INTERFACES, IPV4, IPV6, MACS, type Side, TestNetwork } from "../support/netns.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { defaultConfig } from "./support/defaults.ts";
import { sendFrames } from "./support/raw_frames.ts";

const RULE = "answers";

/** A box with one rule, at either end of the network. */
const startBox = (network: TestNetwork, side: Side, ports: number, action: string): Promise<Appliance> => {
  // What the boxes send each other is from and for other addresses than their own.
  const rule = `{ name: ${RULE}, ports: ${ports}, addresses: any, action: ${action} }`;
  return startAppliance(network, (socket) => defaultConfig(socket, [`{ name: ${INTERFACES[side]} }`], [rule]), {
    side,
  });
};

/** Sends one packet as if a box had sent it to the other. */
async function sendOne(network: TestNetwork, ends: Pick<FrameOptions, "source" | "destination">): Promise<void> {
  const { bytes } = buildFrame({ ...ends, payload: new Uint8Array(20) });
  await sendFrames(network.names.client, INTERFACES.client, [bytes]);
}

/** Waits until each box has received what it should, and sees that it was all. */
async function assertFates(boxes: readonly Appliance[], expected: readonly Record<string, number>[]): Promise<void> {
  for (const [index, box] of boxes.entries()) {
    const packets = Object.values(expected[index]!).reduce((sum, count) => sum + count, 0);
    await box.untilStatus("the packets", ({ totals }) => totals.received >= packets);
  }
  for (const [index, box] of boxes.entries()) assert.deepEqual(fatesOf(await settled(box), RULE), expected[index]);
}

for (const [family, addresses] of Object.entries({ IPv4: IPV4, IPv6: IPV6 })) {
  const end = (side: Side, port: number): FrameOptions["source"] => ({
    mac: MACS[side],
    address: addresses[side],
    port,
  });

  Deno.test(`one packet between two boxes that echo the same port is not echoed: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using client = await startBox(network, "client", 7777, "echo");
    await using steer = await startBox(network, "steer", 7777, "echo");
    await sendOne(network, { source: end("client", 7777), destination: end("steer", 7777) });
    await assertFates([client, steer], [{}, { unanswerable: 1 }]);
  });

  Deno.test(`one packet between two boxes that echo different ports is echoed 63 times: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using client = await startBox(network, "client", 7777, "echo");
    await using steer = await startBox(network, "steer", 8888, "echo");
    await sendOne(network, { source: end("client", 7777), destination: end("steer", 8888) });
    await assertFates([client, steer], [{ echoed: 31, hops_exceeded: 1 }, { echoed: 32 }]);
  });

  Deno.test(`one packet between two boxes that name each other as backends of mode dsr is sent 63 times: ${family}`, async () => {
    await using network = await TestNetwork.create();
    const action = (side: Side): string => {
      const backend = family === "IPv6" ? `[${addresses[side]}]:8080` : `${addresses[side]}:8080`;
      return `{ forward: { to: ["${backend}"], mode: dsr } }`;
    };
    await using client = await startBox(network, "client", 8080, action("steer"));
    await using steer = await startBox(network, "steer", 8080, action("client"));
    for (const box of [client, steer]) {
      await box.untilStatus(
        "the next hop",
        ({ backends }) => backends.every(({ nextHop }) => typeof nextHop?.mac === "string"),
      );
    }
    await sendOne(network, { source: end("client", 40_000), destination: end("steer", 8080) });
    await assertFates([client, steer], [{ forwarded: 31, hops_exceeded: 1 }, { forwarded: 32 }]);
  });
}
