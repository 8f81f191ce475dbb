import assert from "node:assert/strict";
import { cProgram } from "../support/c_programs.ts";
import { INTERFACES, MACS, TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { startAppliance, type Status } from "./support/appliance.ts";
import { SteadyTraffic } from "./support/background.ts";
import { BackendHost, Clients, DEFAULT_RINGS, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";
import { lossesInAll, refusedFrames } from "./support/link.ts";
import { memoryKib } from "./support/memory.ts";

const PORTS = [8080, 8081, 8082, 8083];
const SESSIONS = 1024;
const WORKERS = 2;
/** Source ports of a flood; each sends to all ports: so many flows times four, of a packet each. */
const FLOWS = SIZE.floodFlows;
const FLOODS = 3;
/** 128 bytes for each flow of a flood of the default size, 2 of the full. */
const GROWTH_KIB = 2048;
/** Fewer than the backlog of a CPU holds, which all namespaces share: what the box forwards in one go ends there. */
const WINDOW_FRAMES = 800;

const sumOf = ({ workers }: Status, name: "sessions" | "evictions"): number =>
  workers.reduce((sum, { loop }) => sum + loop[name]!, 0);

Deno.test(`${FLOODS} floods of ${FLOWS * PORTS.length} flows from made-up sources against 2,048 sessions: memory stays, conversations go on, all is counted`, async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  for (const number of [1, 2, 3]) await host.serve("IPv4", number);
  const rule = forwardTo(`"${PORTS[0]}-${PORTS.at(-1)}"`, [1, 2, 3], { families: ["IPv4"] });
  const more = [`forwarding: { sessions: ${SESSIONS}, ports: 20000-39999 }`];
  await using box = await startAppliance(
    network,
    (socket) => forwardConfig(socket, [rule], { workers: WORKERS, more }),
    { favoured: true },
  );
  const conversations = { address: FAMILIES.IPv4.service, port: PORTS[0]!, clients: 200, window: 8 };
  await using clients = await Clients.start(network, conversations);
  await clients.ready();
  const memory = [memoryKib(box)];
  let sent = 0;
  for (let flood = 0; flood < FLOODS; flood++) {
    const source = { mac: "02:00:00:00:00:01", address: `10.99.${flood}.1`, port: 20_000 };
    const traffic = { ports: PORTS, flows: FLOWS, cpus: [0, 1], source };
    await using flow = await SteadyTraffic.start(network, box, traffic, { windowFrames: WINDOW_FRAMES });
    await flow.more(FLOWS * PORTS.length);
    sent += (await flow.stop()).sent;
    memory.push(memoryKib(box));
  }
  const full = await box.status();
  const report = await clients.stop();

  const { wrong, moved } = report;
  assert.deepEqual({ wrong, moved }, { wrong: 0, moved: 0 });
  const status = await settled(box);
  // What leads to the box and from it is flooded too, and counts what it loses. A conversation without its session
  // loses all.
  const refused = await refusedFrames(network);
  const { forwarded = 0, sessions_full = 0, tx_ring_full = 0, ...others } = fatesOf(status, "web");
  await assertLostOutside(network, host, status, report);
  assert.deepEqual(others, {});
  assert.equal(forwarded + sessions_full + tx_ring_full + status.totals.socketDrops + refused, sent + report.sent);
  assert.ok(sumOf(full, "sessions") <= WORKERS * SESSIONS, `${sumOf(full, "sessions")} sessions`);
  const flows = FLOODS * FLOWS * PORTS.length;
  assert.ok(sumOf(full, "evictions") > flows / 2, `${sumOf(full, "evictions")} of ${flows} were replaced`);
  // In the first flood code is compiled, and heaps take the size that they keep.
  const grown = memory.at(-1)! - memory.at(-2)!;
  assert.ok(grown < GROWTH_KIB, `grown by ${grown} KiB in the last flood: ${memory}`);
});

const NEWCOMERS = 100;
/** Tries of each, a second apart. */
const TRIES = 3;
const TRY_MS = 1000;
/** Packets a second of the floods, each from another made-up source. */
const RATES = SIZE.floodRates;
/** The second of a source comes milliseconds after its first. */
const REPEATS = [1, 2];

for (const packetsPerSecond of RATES) {
  for (const repeats of REPEATS) {
    const family = repeats === 1 ? "IPv4" : "IPv6";
    Deno.test(`${packetsPerSecond} packets a second from made-up sources, ${repeats} of each, against the documented defaults: new clients are served, conversations lose nothing, ${family}`, async () => {
      await using network = await TestNetwork.create();
      await using host = await BackendHost.create(network);
      for (const number of [1, 2]) await host.serve(family, number);
      const rule = forwardTo(PORTS[0]!, [1, 2], { families: [family] });
      await using box = await startAppliance(
        network,
        (socket) => forwardConfig(socket, [rule], { workers: WORKERS, memory: DEFAULT_RINGS }),
        { favoured: true },
      );
      const { service } = FAMILIES[family];
      const client = { address: service, port: PORTS[0]! };
      await using conversations = await Clients.start(network, { ...client, clients: 200, window: 8 });
      await conversations.ready();
      const count = packetsPerSecond * SIZE.rateSeconds;
      // The rest is for the new clients to come while the flood goes on.
      const more = packetsPerSecond * (TRIES + 2) * TRY_MS / 1000;
      const argv = [await cProgram("udp_flood"), INTERFACES.client, MACS.client, MACS.steer, service, `${PORTS[0]}`];
      const flood = network.spawn("client", [...argv, `${packetsPerSecond}`, `${count + more}`, `${repeats}`], {
        stderr: "inherit",
      });
      const output = new Response(flood.stdout).text();
      await using _end = { [Symbol.asyncDispose]: () => end(flood) };
      const flooded = await box.untilStatus(
        "the flood",
        ({ totals }) => totals.fates["forwarded"]! + totals.fates["sessions_full"]! >= count,
        10 * 60_000,
      );
      await using newcomers = await Clients.start(network, {
        ...client,
        clients: NEWCOMERS,
        requests: TRIES,
        window: NEWCOMERS,
        timeoutMs: TRY_MS,
      });
      const { byBackend } = await newcomers.report();
      const served = Object.values(byBackend).reduce((sum, clients) => sum + clients, 0);
      await flood.status;
      assert.equal(Number((await output).split("\n")[1]), count + more);
      const report = await conversations.stop();
      const status = await settled(box);
      assert.ok(served >= 95, `${served} of ${NEWCOMERS} served within ${TRIES} tries`);
      await assertLostOutside(network, host, status, report);
      assert.deepEqual({ wrong: report.wrong, moved: report.moved }, { wrong: 0, moved: 0 });
      assert.ok(flooded.totals.received > 0);
    });
  }
}

/** The conversations lost nothing but what the kernel, a socket or a ring lost and counted. */
async function assertLostOutside(
  network: TestNetwork,
  host: BackendHost,
  status: Status,
  { sent, lost }: { readonly sent: number; readonly lost: number },
): Promise<void> {
  const { sum, places } = await lossesInAll(network, host.name, status);
  const seen = JSON.stringify({ ...places, fates: status.totals.fates });
  assert.ok(lost <= sum, `${lost} of ${sent} lost, ${sum} counted: ${seen}`);
}

async function end(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
  await child.status;
}
