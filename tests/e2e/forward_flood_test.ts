import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import { SteadyTraffic } from "./support/background.ts";
import { BackendHost, Clients, FAMILIES, FAR, forwardConfig, forwardTo } from "./support/backends.ts";
import { lossesOf, refusedFrames } from "./support/link.ts";

const PORTS = [8080, 8081, 8082, 8083];
const SESSIONS = 1024;
const WORKERS = 2;
/** Source ports of a flood; each sends to all ports: so many flows times four, of a packet each. */
const FLOWS = SIZE.floodFlows;
const FLOODS = 3;
/** 128 bytes for each flow of a flood of the default size, 6 of the full. */
const GROWTH_KIB = 2048;
/** Fewer than the backlog of a CPU holds, which all namespaces share: what the box forwards in one go ends there. */
const WINDOW_FRAMES = 800;

function residentKib({ pid }: Appliance): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))![1]);
}

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
  const memory = [residentKib(box)];
  let sent = 0;
  for (let flood = 0; flood < FLOODS; flood++) {
    const source = { mac: "02:00:00:00:00:01", address: `10.99.${flood}.1`, port: 20_000 };
    const traffic = { ports: PORTS, flows: FLOWS, cpus: [0, 1], source };
    await using flow = await SteadyTraffic.start(network, box, traffic, { windowFrames: WINDOW_FRAMES });
    await flow.more(FLOWS * PORTS.length);
    sent += (await flow.stop()).sent;
    memory.push(residentKib(box));
  }
  const full = await box.status();
  const report = await clients.stop();

  const { wrong, moved } = report;
  assert.deepEqual({ wrong, moved }, { wrong: 0, moved: 0 });
  const status = await settled(box);
  // What leads to the box and from it is flooded too, and counts what it loses. A conversation without its session loses all.
  const refused = await refusedFrames(network);
  const lostBehind = await lossesOf(host.name, FAR) + await lossesOf(network.names.client, INTERFACES.client);
  const { forwarded = 0, sessions_full = 0, tx_ring_full = 0, ...others } = fatesOf(status, "web");
  const outside = refused + status.totals.socketDrops + tx_ring_full + lostBehind;
  assert.ok(report.lost <= outside, `${report.lost} of ${report.sent} lost, ${outside} outside`);
  assert.deepEqual(others, {});
  assert.equal(forwarded + sessions_full + tx_ring_full + status.totals.socketDrops + refused, sent + report.sent);
  assert.ok(sumOf(full, "sessions") <= WORKERS * SESSIONS, `${sumOf(full, "sessions")} sessions`);
  const flows = FLOODS * FLOWS * PORTS.length;
  assert.ok(sumOf(full, "evictions") > flows / 2, `${sumOf(full, "evictions")} of ${flows} were replaced`);
  // In the first flood code is compiled, and heaps take the size that they keep.
  const grown = memory.at(-1)! - memory.at(-2)!;
  assert.ok(grown < GROWTH_KIB, `grown by ${grown} KiB in the last flood: ${memory}`);
});
