import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import { BackendHost, Clients, FAMILIES, FAR, forwardConfig, forwardTo } from "./support/backends.ts";
import { lossesOf, refusedFrames } from "./support/link.ts";

const PORTS = [8080, 8081, 8082, 8083];
const SESSIONS = 1024;
const WORKERS = 2;
/** Times four ports: a million flows, a packet each. */
const FLOWS = 262_144;
const FLOOD_PPS = 80_000;

function residentKib({ pid }: Appliance): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))![1]);
}

const sumOf = ({ workers }: Status, name: "sessions" | "evictions"): number =>
  workers.reduce((sum, { loop }) => sum + loop[name]!, 0);

Deno.test("a million flows of made-up sources against 2,048 sessions: memory stays, conversations go on, all is counted", async () => {
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
  // A backend's buffer may hold what it takes seconds to answer, where it must share its CPU.
  const conversations = { address: FAMILIES.IPv4.service, port: PORTS[0]!, clients: 200, timeoutMs: 10_000 };
  await using clients = await Clients.start(network, conversations);
  await clients.ready();
  const memory = residentKib(box);
  const source = { mac: "02:00:00:00:00:01", address: "10.99.0.1", port: 20_000 };
  const count = FLOWS * PORTS.length;
  const flood = { ports: PORTS, flows: FLOWS, count, ratePps: FLOOD_PPS, cpus: [0, 1], source };
  const { sent } = await runTraffic(network, "live", flood);
  const full = await box.status();
  const report = await clients.stop();

  const { wrong, moved } = report;
  assert.deepEqual({ wrong, moved }, { wrong: 0, moved: 0 });
  const status = await settled(box);
  // What leads to the box and from it is flooded too, and counts what it loses. A conversation without its session loses all.
  const refused = await refusedFrames(network);
  const lostBehind = await lossesOf(host.name, FAR) + await lossesOf(network.names.client, INTERFACES.client);
  const outside = refused + status.totals.socketDrops + lostBehind;
  assert.ok(
    report.lost <= Math.min(outside, report.sent / 100),
    `${report.lost} of ${report.sent} lost, ${outside} outside`,
  );
  const { forwarded = 0, sessions_full = 0, ...others } = fatesOf(status, "web");
  assert.deepEqual(others, {});
  assert.equal(forwarded + sessions_full + status.totals.socketDrops + refused, sent + report.sent);
  assert.ok(sumOf(full, "sessions") <= WORKERS * SESSIONS, `${sumOf(full, "sessions")} sessions`);
  assert.ok(sumOf(full, "evictions") > 500_000, `${sumOf(full, "evictions")} were replaced`);
  const grown = residentKib(box) - memory;
  assert.ok(grown < 16 * 1024, `grown by ${grown} KiB`);
});
