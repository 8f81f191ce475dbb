/**
 * The product from source: that it loads, steers, changes and ends as the one file does, on which all of tests/e2e
 * runs. What differs between the two is how modules, workers and libraries are found.
 */
import assert from "node:assert/strict";
import { fatesOf, receivedByWorker, settled } from "../e2e/support/accounts.ts";
import { type Appliance, startAppliance } from "../e2e/support/appliance.ts";
import { SteadyTraffic } from "../e2e/support/background.ts";
import { readBlocks, readPackets } from "../e2e/support/capture_files.ts";
import { written } from "../e2e/support/captures.ts";
import { TempDir } from "../e2e/support/command.ts";
import { configText } from "../e2e/support/config.ts";
import { assertDetached, attachedTo } from "../e2e/support/link.ts";
import { until } from "../e2e/support/wait.ts";
import { TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";

const GAME = 8080;
const CHAT = 9090;
const FLOWS = 20;
const PACKETS = 2000; // to each port

const rules = (game: number, chat: number, capture = ""): string[] => [
  `{ name: game, ports: ${GAME}, worker: ${game}${capture} }`,
  `{ name: chat, ports: ${CHAT}, worker: ${chat} }`,
];

/** Sends to both ports. @returns by rule, how many of these packets each worker received. */
async function steer(network: TestNetwork, box: Appliance): Promise<Readonly<Record<string, number[]>>> {
  const before = await settled(box);
  await runTraffic(network, "udp", { ports: [GAME, CHAT], flows: FLOWS, packetsPerFlow: 2 * PACKETS / FLOWS });
  const after = await settled(box);
  const grown = (rule: string): number[] =>
    receivedByWorker(after, rule).map((packets, worker) => packets - receivedByWorker(before, rule)[worker]!);
  return { game: grown("game"), chat: grown("chat") };
}

Deno.test("from source: steers, changes under load, captures, and SIGTERM leaves nothing", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = `${directory.path}/game.pcapng`;
  await using box = await startAppliance(network, { rules: rules(0, 1) });
  const program = await attachedTo(network);
  assert.equal(program.mode, "native");
  assert.deepEqual(await steer(network, box), { game: [PACKETS, 0], chat: [0, PACKETS] });

  await box.writeConfig({ rules: rules(0, 1, `, capture: ${file}`) });
  await box.waitForGeneration(2);
  await steer(network, box);
  assert.equal((await written(box, "game", PACKETS)).dropped, 0);
  await box.writeConfig({ rules: rules(0, 1) });
  await box.waitForGeneration(3);

  await using traffic = await SteadyTraffic.start(network, box, { ports: [GAME, CHAT], flows: FLOWS, cpus: [0, 1] });
  await box.writeConfig({ rules: rules(1, 0) });
  await box.waitForGeneration(4);
  await traffic.more(1);
  const { sentPerPort } = await traffic.stop();
  const status = await settled(box);
  for (const [rule, port] of [["game", GAME], ["chat", CHAT]] as const) {
    assert.deepEqual(fatesOf(status, rule), { counted: 2 * PACKETS + sentPerPort[port]! });
  }
  assert.deepEqual(await steer(network, box), { game: [0, PACKETS], chat: [PACKETS, 0] });

  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
  await assertDetached(network, program);
  assert.deepEqual(await readBlocks(file), { packets: PACKETS, dropped: 0 });
  assert.equal((await readPackets(file)).length, PACKETS);
});

Deno.test("from source: kill -9 detaches the program, and a second start steers", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  const start = (): Promise<Appliance> =>
    startAppliance(network, (socket) => configText({ rules: rules(0, 1) }, socket), { directory: directory.path });
  {
    await using box = await start();
    const program = await attachedTo(network);
    box.signal("SIGKILL");
    assert.equal((await box.ended()).signal, "SIGKILL");
    await until("the program to be detached", async () => (await attachedTo(network)).mode === "none");
    await assertDetached(network, program);
  }
  await using box = await start();
  assert.deepEqual(await steer(network, box), { game: [PACKETS, 0], chat: [0, PACKETS] });
});
