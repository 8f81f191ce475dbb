import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { SIZE } from "../support/sizes.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { flood, floodFor, pipeline, sendAndLeave, sendRaw } from "./support/http_clients.ts";
import { askInCrowd, probeAmongBursts } from "./support/http_bursts.ts";
import { memoryKib, peakKib, resetPeak } from "./support/memory.ts";
import { NotifySocket } from "./support/notify_socket.ts";
import { sleep, until } from "./support/wait.ts";

const PORT = 9469;
const CONFIG = { rules: ["{ name: game, ports: 8080, worker: 0 }"], http: `127.0.0.1:${PORT}` };
const METRICS = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
const READY = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/** Long enough for any machine: what is tested takes either a moment or for ever. */
const LIMIT_MS = 20_000;
/** Worked off and kept, the requests below take more than a gigabyte. */
const MEMORY_KIB = 256 * 1024;

/** What a client that pipelines may cost. Before there was a bound it was 24 MiB after 15 s, and grew. */
const PIPELINED_KIB = 32 * 1024;

Deno.test("clients that pipeline and never read cost little, are cut off, and hold up nobody", async () => {
  await using network = await TestNetwork.create();
  const name = `@xdpsteer-${crypto.randomUUID()}`;
  await using manager = await NotifySocket.open(network, name);
  await using box = await startAppliance(network, CONFIG, {
    env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: "10000000" },
  });
  const memory = peakKib(box);
  const flooded = flood(network, { to: PORT, count: 8, request: METRICS, times: 10_000 });
  flooded.catch(() => {}); // awaited below
  await sleep(1000);
  const beats = manager.beats.length;
  for (let question = 0; question < 5; question++) {
    const [answer] = await sendRaw(network, [{ to: PORT, bytes: READY }]);
    assert.equal(answer!.status, 200);
  }
  await sendAndLeave(network, { to: PORT, request: METRICS, times: 20_000 });
  const [answer] = await sendRaw(network, [{ to: PORT, bytes: READY }]);
  assert.equal(answer!.status, 200, "after a client that left");
  await until("a beat for the watchdog", () => manager.beats.length > beats, { limitMs: LIMIT_MS });

  assert.equal(await flooded, 8, "connections ended that took nothing");
  assert.ok(peakKib(box) < memory + MEMORY_KIB, `${peakKib(box)} KiB, ${memory} before`);
});

Deno.test("clients that pipeline for long cost no more memory than others, no beat, no answer and no packet", async () => {
  await using network = await TestNetwork.create();
  const name = `@xdpsteer-${crypto.randomUUID()}`;
  await using manager = await NotifySocket.open(network, name);
  await using box = await startAppliance(network, CONFIG, {
    env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: "10000000" },
  });
  const packets = 20_000;
  const send = () => runTraffic(network, "udp", { ports: [8080], flows: 20, packetsPerFlow: packets / 2 / 20 });
  await send();
  for (let question = 0; question < 50; question++) await box.metrics();
  const before = memoryKib(box);
  resetPeak(box);
  let isOver = false;
  const flooded = floodFor(network, {
    to: PORT,
    count: 8,
    request: METRICS,
    times: 10_000,
    seconds: SIZE.floodedSeconds,
  })
    .finally(() => isOver = true);
  flooded.catch(() => {});
  await send();
  const beats = manager.beats.length;
  while (!isOver) {
    assert.equal((await box.request("GET", "/readyz")).code, 200);
    await sleep(100);
  }
  assert.ok(await flooded > 0, "connections that took nothing were ended");
  assert.ok(peakKib(box) < before + PIPELINED_KIB, `${peakKib(box)} KiB, ${before} before`);
  await until("a beat for the watchdog", () => manager.beats.length > beats, { limitMs: LIMIT_MS });
  const { counted } = fatesOf(await settled(box), "game");
  assert.equal(counted, packets);
});

Deno.test("a probe is answered while clients come, send many requests and leave", async () => {
  await using network = await TestNetwork.create();
  await using _box = await startAppliance(network, CONFIG);
  const { statuses, ...report } = await probeAmongBursts(network, {
    ...{ to: PORT, count: 8, request: METRICS, times: 20_000 },
    ...{ path: "/livez", seconds: SIZE.floodedSeconds, probes: 40 },
  });
  await Deno.stderr.write(new TextEncoder().encode(`${JSON.stringify({ statuses, ...report })}\n`));
  assert.deepEqual(Object.keys(statuses), ["200"], JSON.stringify({ statuses, ...report }));
});

Deno.test("SIGTERM is obeyed while clients pipeline and never read", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const flooded = flood(network, { to: PORT, count: 8, request: METRICS, times: 10_000 });
  flooded.catch(() => {});
  await sleep(1000);
  box.signal("SIGTERM");
  assert.equal((await box.ended(LIMIT_MS)).code, 0, box.stderr);
  assert.equal(await flooded, 8);
});

Deno.test("clients that say nothing, or half of it, do not lock out others", async () => {
  await using network = await TestNetwork.create();
  await using _box = await startAppliance(network, CONFIG);
  const asked = { to: PORT, count: 600, path: "/readyz" };
  assert.equal(await askInCrowd(network, asked), "HTTP/1.1 200 OK");
});

Deno.test("requests that a client pipelines are answered all, in their order, when it reads", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const body = "x".repeat(2000); // more than one piece of what comes
  const kinds = [
    { request: "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", status: 200 },
    { request: "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", status: 404 },
    { request: `PUT /v1/config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n${body}`, status: 422 },
    { request: `PATCH /v1/config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n${body}`, status: 405 },
    { request: "HEAD /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", status: 200 },
  ];
  const order = Array.from({ length: 1000 }, (_, index) => (index * 7 + (index >> 4)) % kinds.length);
  const requests = kinds.map(({ request }) => request);
  const came = await pipeline(network, { to: box.socket, requests, order });
  const statuses = [...came.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status));
  assert.deepEqual(statuses, order.map((index) => kinds[index]!.status));
});
