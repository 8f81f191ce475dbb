import assert from "node:assert/strict";
import { INTERFACES, IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { assertConserved, fatesOf, ruleOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { BackendHost, Clients, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { about, readBlocks, readPackets, sequenceOf, sequencesByFlow } from "./support/capture_files.ts";
import { captureOf, count, end, nameOf, PORT, send, WIRE, written } from "./support/captures.ts";
import { TempDir } from "./support/command.ts";
import { SIZE } from "../support/sizes.ts";
import { sumOf } from "../support/metrics.ts";
import { echoEach } from "./support/python.ts";
import { PATIENCE_MS, until } from "./support/wait.ts";

/** Floods, until the disk was too slow once: a machine that is busy may send no faster than it writes. */
const ATTEMPTS = 20;

for (const [family, address] of Object.entries({ IPv4: IPV4.steer, IPv6: IPV6.steer })) {
  Deno.test(`every packet of an echoed rule is in the file as it was received, and no other: ${family}`, async () => {
    await using directory = await TempDir.create();
    const file = `${directory.path}/game.pcapng`;
    await using network = await TestNetwork.create(WIRE);
    const rules = [
      `{ name: game, ports: ${PORT}, action: echo, capture: ${file} }`,
      "{ name: other, ports: 9090, action: echo }",
    ];
    await using box = await startAppliance(network, { rules });
    const begin = BigInt(Date.now()) * 1_000_000n;
    const other = await send(network, { address, ports: [9090], flows: 5, replyTimeoutMs: PATIENCE_MS });
    const report = await send(network, { address, flows: 20, payloadBytes: 33, replyTimeoutMs: PATIENCE_MS });
    assert.deepEqual([report.sent, report.replies, other.replies], [2000, 2000, 500]);
    const after = BigInt(Date.now()) * 1_000_000n;
    const { dropped, ...capture } = await written(box, "game", report.sent);
    assert.deepEqual(capture, { rule: "game", file, state: "on", error: null, written: 2000 });
    assert.equal(dropped, 0);
    assert.deepEqual(fatesOf(await settled(box), "game"), { echoed: 2000 });
    const metrics = await box.metrics();
    const metric = (result: string): number =>
      sumOf(metrics, "xdpsteer_capture_packets_total", { rule: "game", result });
    assert.deepEqual([metric("written"), metric("dropped")], [2000, 0]);
    await end(box);

    assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600);
    const packets = await readPackets(file);
    assert.equal(packets.length, 2000);
    const flows = [...sequencesByFlow(packets).values()];
    assert.equal(flows.length, 20);
    assert.deepEqual(flows.flat().sort((one, two) => one - two), count(0, 2000));
    for (const flow of flows) assert.deepEqual(flow, [...flow].sort((one, two) => one - two), "in the order they came");
    const lasts = new Map<number, bigint>();
    const queues = new Set<number>();
    for (const packet of packets) {
      const { direction, captured, length, checksums, payload, queue, time, sourcePort } = packet;
      const headers = family === "IPv4" ? 42 : 62;
      assert.deepEqual(
        { interface: packet.interface, direction, captured, length, checksums, payload: payload.length },
        {
          interface: INTERFACES.steer,
          direction: "in",
          captured: headers + 33,
          length: headers + 33,
          checksums: "good",
          payload: 33,
        },
      );
      assert.ok(time >= begin - 1_000_000n && time <= after + 1_000_000n, "the time of the wall clock");
      assert.ok(time >= (lasts.get(sourcePort) ?? 0n), "time does not go back");
      lasts.set(sourcePort, time);
      queues.add(queue);
    }
    assert.ok([...queues].every((queue) => queue === 0 || queue === 1));
    assert.deepEqual(await readBlocks(file), { packets: 2000, dropped: 0 });
    const facts = await about(file);
    assert.equal(facts.get("Number of packets"), "2000");
    assert.match(facts.get("Capture application")!, /^xdpsteer \d/);
    assert.match(facts.get("Capture oper-sys")!, /^Linux \d/);
    assert.equal(facts.get("File timestamp precision"), "nanoseconds (9)");
  });
}

Deno.test("one of 10 packets, and the first 60 bytes of it", async () => {
  await using directory = await TempDir.create();
  const file = `${directory.path}/some.pcapng`;
  await using network = await TestNetwork.create(WIRE);
  const capture = `{ file: ${file}, sample: 10, snap: 60 }`;
  await using box = await startAppliance(network, {
    rules: [`{ name: game, ports: ${PORT}, worker: 1, capture: ${capture} }`],
  });
  await send(network, { packetsPerFlow: 1005, payloadBytes: 500 });
  const { dropped } = await written(box, "game", 101);
  assert.equal(dropped, 0);
  await end(box);
  const packets = await readPackets(file);
  assert.deepEqual(packets.map(sequenceOf), count(0, 1005, 10));
  assert.ok(packets.every(({ captured, length }) => captured === 60 && length === 542));
});

Deno.test("under a flood every packet is captured or counted, no other fate changes, and echoes still come", async () => {
  await using directory = await TempDir.create();
  const file = `${directory.path}/flood.pcapng`;
  await using network = await TestNetwork.create();
  const capture = `{ file: ${file}, rotate: { size: 8MiB, keep: 1 } }`;
  await using box = await startAppliance(network, {
    rules: [`{ name: flood, ports: 9999, capture: ${capture} }`, `{ name: echo, ports: ${PORT}, action: echo }`],
  });
  let dropped = 0;
  for (let attempt = 0; attempt < ATTEMPTS && dropped === 0; attempt++) {
    await runTraffic(network, "live", {
      ports: [9999],
      count: SIZE.capturedPackets,
      flows: 50,
      payloadBytes: 1400,
      cpus: [0, 1],
    });
    const { received } = (await settled(box)).totals;
    assert.deepEqual(fatesOf(await box.status(), "flood"), { counted: received });
    dropped = (await written(box, "flood", received)).dropped;
  }
  assert.ok(dropped > 0, "the ring was full at times");
  const sizes = [0, 1, 20, 1000];
  assert.deepEqual(await echoEach(network, { address: IPV4.steer, port: PORT, sizes }), []);
  const status = await settled(box);
  assertConserved(status);
  assert.deepEqual(fatesOf(status, "echo"), { echoed: sizes.length });
  await end(box);
  for (const each of [nameOf(file, 1), file]) assert.equal(typeof (await readBlocks(each)).dropped, "number");
});

Deno.test("a reload adds, changes and ends captures, and each file has what came in its time", async () => {
  await using directory = await TempDir.create();
  const [one, two] = [`${directory.path}/one.pcapng`, `${directory.path}/two.pcapng`];
  const rule = (capture = ""): string[] => [`{ name: game, ports: ${PORT}, worker: 0, action: echo${capture} }`];
  await using network = await TestNetwork.create(WIRE);
  await using box = await startAppliance(network, { rules: rule() });
  const burst = async (packets: number): Promise<void> => {
    const { replies } = await send(network, { packetsPerFlow: packets, replyTimeoutMs: PATIENCE_MS });
    assert.equal(replies, packets);
  };
  const put = async (capture: string): Promise<void> => {
    const { code, body } = await box.put({ rules: rule(capture) });
    assert.equal(code, 200, body);
    assert.equal(JSON.parse(body).changes.length, 1, body);
  };
  assert.deepEqual((await box.status()).captures, []);
  await burst(10);
  await put(`, capture: ${one}`);
  await burst(20);
  await put(`, capture: { file: ${one}, snap: 50 }`); // the same name: the file before is finished
  await burst(30);
  await put(`, capture: ${two}`);
  await burst(40);
  await put("");
  await burst(50);
  const off = await box.untilStatus("the end of the last", (status) => captureOf(status, "game").written === 90);
  assert.deepEqual(captureOf(off, "game"), {
    rule: "game",
    file: null,
    state: "off",
    error: null,
    written: 90,
    dropped: 0,
  });
  assert.equal(ruleOf(await settled(box), "game").redirected.packets, 150);
  await until("the last file to be finished", async () => (await readBlocks(two)).dropped === 0);
  assert.deepEqual(
    await Promise.all([nameOf(one, 1), one, two].map((file) => readBlocks(file))),
    [20, 30, 40].map((packets) => ({ packets, dropped: 0 })),
  );
  assert.ok((await readPackets(one)).every(({ captured }) => captured === 50));
  const refused = await box.put({ rules: [`{ name: game, ports: ${PORT}, action: drop, capture: ${one} }`] });
  assert.equal(refused.code, 422);
  assert.match(refused.body, /capture is not possible with action/);
  await end(box);
});

Deno.test("a forwarded rule's packets are in the file as the clients sent them", async () => {
  await using directory = await TempDir.create();
  const file = `${directory.path}/web.pcapng`;
  await using network = await TestNetwork.create(WIRE);
  await using host = await BackendHost.create(network);
  await host.serve("IPv4", 1);
  const rule = forwardTo(PORT, [1], { families: ["IPv4"] }).replace(/ }$/, `, capture: ${file} }`);
  await using box = await startAppliance(
    network,
    (socket) => `${forwardConfig(socket, [rule])}capture: { directory: / }\n`,
  );
  await using clients = await Clients.start(network, {
    address: FAMILIES.IPv4.service,
    port: PORT,
    clients: 20,
    requests: 50,
  });
  const { answered } = await clients.report();
  assert.equal(answered, 1000);
  assert.equal((await written(box, "web", 1000)).dropped, 0);
  await end(box);
  const packets = await readPackets(file);
  assert.equal(packets.length, 1000);
  assert.equal(new Set(packets.map(({ sourcePort }) => sourcePort)).size, 20);
  for (const { interface: name, direction, checksums, destination } of packets) {
    assert.deepEqual([name, direction, checksums, destination], [
      INTERFACES.steer,
      "in",
      "good",
      `${FAMILIES.IPv4.service}:${PORT}`,
    ]);
  }
  assert.equal((await about(file)).get("Number of interfaces in file"), "2");
});

Deno.test("SIGTERM in the middle of traffic leaves a finished file", async () => {
  await using directory = await TempDir.create();
  const file = `${directory.path}/game.pcapng`;
  await using network = await TestNetwork.create(WIRE);
  await using box = await startAppliance(network, { rules: [`{ name: game, ports: ${PORT}, capture: ${file} }`] });
  await using traffic = await BackgroundTraffic.live(network, box, { ports: [PORT], flows: 20, ratePps: 20_000 });
  await box.untilStatus("captured packets", (status) => captureOf(status, "game").written > 1000);
  await end(box);
  await traffic.stop();
  const { packets, dropped } = await readBlocks(file);
  assert.ok(packets > 1000);
  assert.equal(dropped, 0);
  assert.equal((await readPackets(file)).length, packets);
});
