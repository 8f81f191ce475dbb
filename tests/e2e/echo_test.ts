import assert from "node:assert/strict";
import { INTERFACES, IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { fatesOf, receivedByWorker, ruleOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { tagFrames } from "./support/bpf.ts";
import { TempDir } from "./support/command.ts";
import { lossesOf, unsentBy } from "./support/link.ts";
import { overtaken } from "./support/programs.ts";
import { echoEach } from "./support/python.ts";
import { PATIENCE_MS } from "./support/wait.ts";

const PORT = 7777;
const RULES = [`{ name: echo, ports: ${PORT}, worker: hash, action: echo }`];
const MTU = 1500;

/** Every payload size near the smallest and the largest, and steps between. */
function payloadSizes(largest: number): number[] {
  const all = Array.from({ length: largest + 1 }, (_, size) => size);
  return all.filter((size) => size <= 80 || size >= largest - 40 || size % 53 === 0);
}

const FAMILIES = [
  { family: "IPv4", address: IPV4.steer, largest: MTU - 20 - 8 },
  { family: "IPv6", address: IPV6.steer, largest: MTU - 40 - 8 },
] as const;

for (const attach of ["native", "generic"] as const) {
  for (const { family, address, largest } of FAMILIES) {
    Deno.test(`every payload from 0 to ${largest} bytes comes back intact: ${family}, ${attach}`, async () => {
      await using network = await TestNetwork.create();
      await using box = await startAppliance(network, { rules: RULES, attach });
      const sizes = payloadSizes(largest);
      const wrong = await echoEach(network, { address, port: PORT, sizes });
      assert.deepEqual(wrong, [], "sizes that came back otherwise or not at all");
      const status = await settled(box);
      assert.deepEqual(fatesOf(status, "echo"), { echoed: sizes.length });
    });
  }
}

for (const { family, address } of FAMILIES) {
  Deno.test(`netcat gets its line back: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using _box = await startAppliance(network, { rules: RULES });
    const line = "is anybody there?";
    const script = `echo '${line}' | nc.openbsd -u -W 1 -w 30 ${address} ${PORT}`;
    assert.equal(await network.exec("client", ["sh", "-c", script]), line);
  });
}

/** EtherTypes of the tags, innermost first. */
const TAGGINGS = { "a VLAN tag": ["ETH_P_8021Q"], "two VLAN tags": ["ETH_P_8021Q", "ETH_P_8021AD"] } as const;

for (const [tagging, types] of Object.entries(TAGGINGS)) {
  for (const { family, address, largest } of FAMILIES) {
    Deno.test(`an echo comes back through ${tagging}: ${family}`, async () => {
      await using directory = await TempDir.create();
      await using network = await TestNetwork.create();
      await tagFrames(network, directory.path, types);
      await using box = await startAppliance(network, { rules: RULES });
      const sizes = payloadSizes(largest - 4 * (types.length - 1)); // a veth lets one tag go beyond the MTU
      const wrong = await echoEach(network, { address, port: PORT, sizes });
      assert.deepEqual(wrong, []);
      const status = await settled(box);
      assert.deepEqual(fatesOf(status, "echo"), { echoed: sizes.length });
      // The XDP program saw the tags in the frames.
      const headerBytes = 14 + 4 * types.length + (MTU - largest);
      const payloadBytes = sizes.reduce((sum, size) => sum + size, 0);
      assert.equal(ruleOf(status, "echo").redirected.bytes, payloadBytes + sizes.length * headerBytes);
    });
  }
}

Deno.test("200 flows spread over all workers get all their echoes", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES, workers: 3 });
  const traffic = { ports: [PORT], flows: 200, packetsPerFlow: 50, ratePps: 20_000, replyTimeoutMs: PATIENCE_MS };
  const { sent, replies } = await runTraffic(network, "udp", traffic);
  const status = await settled(box);
  assert.equal(sent, 10_000);
  assert.equal(replies, sent);
  assert.deepEqual(fatesOf(status, "echo"), { echoed: sent });
  const byWorker = receivedByWorker(status, "echo");
  assert.ok(byWorker.every((packets) => packets > 0 && packets % 50 === 0), `whole flows at each: ${byWorker}`);
});

for (const { family, address } of FAMILIES) {
  Deno.test(`of 20,000 echoes as fast as can be, each arrives or is counted where it was lost: ${family}`, async () => {
    await using network = await TestNetwork.create();
    // So that the client has a ring of its own for what comes, and not a part of the backlog that all namespaces share.
    await network.exec("client", ["ethtool", "-K", INTERFACES.client, "gro", "on"]);
    await using box = await startAppliance(network, { rules: RULES });
    const losses = async (): Promise<number> =>
      await lossesOf(network.names.client, INTERFACES.client) + await unsentBy(network.names.steer, INTERFACES.steer);
    const before = await losses();
    const traffic = { address, ports: [PORT], flows: 20, packetsPerFlow: 1000, replyTimeoutMs: 1000 };
    const { sent, replies } = await runTraffic(network, "udp", traffic);
    const status = await settled(box);
    const lost = await losses() - before;
    const late = await overtaken(network.names.client);
    const { echoed = 0, tx_ring_full: full = 0, ...others } = fatesOf(status, "echo");
    assert.equal(sent, 20_000);
    assert.deepEqual(others, {}, "other fates");
    assert.equal(echoed + full + status.totals.socketDrops, sent, "every packet has its fate");
    assert.equal(replies + lost + late, echoed, "every echo arrived, or is counted as dropped at the client, or late");
  });
}
