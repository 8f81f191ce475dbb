/**
 * A bad day: clients that flood the HTTP interface, a configuration that is saved broken in every way, standard error
 * that is read half of the time, a worker that stands still, links that are detached and tables that are edited, all at
 * once and beside steady traffic. Every packet has its account, and all is well again by itself each time.
 */
import assert from "node:assert/strict";
import { ACTION, PORT_ENTRY } from "../../src/bpf/layout.gen.ts";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { fatesOf, passedFor, ruleOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { writeMap } from "./support/bpf_maps.ts";
import { finish, productCommand } from "./support/command.ts";
import { configText } from "./support/config.ts";
import { freezeThread } from "./support/freeze.ts";
import { unsentBy } from "./support/link.ts";
import { memoryKib } from "./support/memory.ts";
import { NotifySocket } from "./support/notify_socket.ts";
import { hostileClients, readHalfOfTheTime, Saves, type Told, trouble } from "./support/storm.ts";
import { sleep, until } from "./support/wait.ts";

const HTTP = 9469;
const PORTS = [8080, 9090];
/** Enough rules that a file with fewer has to settle. */
const CONFIG = {
  rules: [
    "{ name: game, ports: 8080, worker: 0 }",
    "{ name: chat, ports: 9090, worker: 1 }",
    "{ name: more, ports: 1111, worker: 0 }",
    "{ name: rest, ports: 2222, worker: 1 }",
  ],
  http: `127.0.0.1:${HTTP}`,
};
const WATCHDOG_MS = 10_000;
const FROZEN_MS = 3000;

/** Datagrams that reached the kernel's stack, and nobody there: XDP was not attached, or passed them. */
async function unheard(network: TestNetwork): Promise<number> {
  const [names, values] = (await network.exec("steer", ["cat", "/proc/net/snmp"])).split("\n")
    .filter((line) => line.startsWith("Udp:")).map((line) => line.split(" "));
  return Number(values![names!.indexOf("NoPorts")]);
}

/** UDP packets that the XDP program has seen: it was attached. */
function steered(status: Status): number {
  const rules = ["game", "chat"].map((name) => ruleOf(status, name));
  return rules.reduce((sum, { redirected, dropped }) => sum + redirected.packets + dropped.packets, 0) +
    passedFor(status, "uncovered_queue");
}

async function freeze(thread: number): Promise<() => Promise<void>> {
  const frozen = await freezeThread(thread);
  return async () => {
    await sleep(FROZEN_MS - 1500); // it was found out meanwhile
    await frozen[Symbol.asyncDispose]();
  };
}

async function detach(network: TestNetwork): Promise<undefined> {
  const argv = [...productCommand(), "detach", "--interface", INTERFACES.steer, "--force"];
  assert.equal((await finish(network, argv)).code, 0);
}

/** Has the packets of a port dropped, in the half that is in force in the first generation. */
async function editTable(box: Appliance): Promise<undefined> {
  const at = (65_536 + PORTS[0]!) * PORT_ENTRY.size + PORT_ENTRY.action;
  await writeMap(box, "ports", at, new Uint8Array([ACTION.DROP]));
}

Deno.test("a bad day: every packet has its account, and all is well again by itself", async () => {
  await using network = await TestNetwork.create();
  await network.exec("steer", ["ethtool", "-K", INTERFACES.steer, "gro", "on"]); // a detach empties no ring then
  const name = `@xdpsteer-${crypto.randomUUID()}`;
  await using manager = await NotifySocket.open(network, name);
  await using box = await startAppliance(network, CONFIG, {
    as: readHalfOfTheTime(),
    env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: `${WATCHDOG_MS * 1000}` },
  });
  const told: Told[] = [];
  const grownKib: number[] = [];
  const refused: Record<"beginMs" | "endMs", readonly number[]> = { beginMs: [], endMs: [] };
  const memory = memoryKib(box);
  const before = { unheard: await unheard(network), unsent: await unsentBy(network.names.client, INTERFACES.client) };
  const { rounds, roundMs, ratePps } = SIZE.storm;
  const { thread } = (await box.status()).workers[1]!;
  const traffic = await BackgroundTraffic.udp(network, box, { ports: PORTS, flows: 40, ratePps });
  await using _traffic = traffic;
  {
    await using _clients = hostileClients(network, HTTP);
    await using saves = new Saves(box, configText(CONFIG, box.socket));
    const began = performance.now();
    for (let round = 0; round < rounds; round++) {
      await sleep(Math.max(0, began + round * roundMs - performance.now()));
      told.push(await trouble(box, "worker_down", () => freeze(thread), "packets_lost"));
      told.push(await trouble(box, "steering_changed", () => editTable(box)));
      grownKib.push(memoryKib(box) - memory);
      if (round >= 2) continue;
      told.push(await trouble(box, "program_detached", () => detach(network)));
      await box.untilStatus(
        "the interface to be attached again",
        ({ interfaces: [steer] }) => steer!.state === "attached" && steer!.reattachments === round + 1,
      );
    }
    await sleep(Math.max(0, began + rounds * roundMs - performance.now()));
    assert.ok(saves.broken > 0);
    refused.beginMs = saves.beginMs;
    refused.endMs = saves.endMs;
  }
  const { sent } = await traffic.stop();
  await until("all to be well", async () => (await box.request("GET", "/readyz")).code === 200);
  await until("no problem", async () => (await box.problems()).problems.length === 0);

  const status = await settled(box);
  const stack = await unheard(network) - before.unheard - passedFor(status, "uncovered_queue");
  const unsent = await unsentBy(network.names.client, INTERFACES.client) - before.unsent;
  assert.deepEqual({ sent }, { sent: steered(status) + stack + unsent }, `${stack} to the stack, ${unsent} unsent`);
  assert.equal(status.generation, 1, "no broken file was put in force");
  assert.ok((fatesOf(status, "game").counted ?? 0) > 0);
  assert.equal(status.interfaces[0]!.reattachments, Math.min(2, rounds));
  assert.equal(status.repairs.find(({ what }) => what === "port_table")!.count, rounds);
  const gaps = manager.beats.slice(1).map(({ atUsec }, index) => (atUsec - manager.beats[index]!.atUsec) / 1000);
  const report = {
    ...{ sent, steered: steered(status), stack, unsent, socketDrops: status.totals.socketDrops },
    ...{ unattachedMs: status.interfaces[0]!.unattachedMs, redirectErrors: status.totals.redirectErrors },
    ...{ told, refused, longestBeatMs: Math.round(Math.max(...gaps)), grownKib },
  };
  await Deno.stderr.write(new TextEncoder().encode(`${JSON.stringify(report)}\n`)); // times are for people to judge
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr.slice(-2000));
});
