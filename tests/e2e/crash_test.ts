/**
 * A process that is killed under a service manager that keeps descriptors: the next one goes on with its sockets,
 * sessions and counters, and every packet has its account.
 */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { assertConserved, passedFor, settled } from "./support/accounts.ts";
import type { Status } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { BACK, BOTH, Clients, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";
import { finish, productCommand } from "./support/command.ts";
import { startScene, untilForwarded } from "./support/scene.ts";
import { crash, startSupervised, supervisor, untilKept } from "./support/supervised.ts";
import { sleep } from "./support/wait.ts";
import { MIXED_PORTS, MIXED_RULES, mixedFates } from "./support/mixed_rules.ts";

const RATE_PPS = 3000;
const BACKENDS = [1, 2, 3];
const CLIENTS = 200;
/** A kill comes so long after the process before is ready for it, at most. */
const MOMENT_MS = 1000;

Deno.test("a process that is killed under load: the next one goes on with sockets and counters", async () => {
  await using network = await TestNetwork.create();
  await using box = await startSupervised(network, { rules: MIXED_RULES, workers: 2 });
  await untilKept(box);
  await using traffic = await BackgroundTraffic.udp(network, box, { ports: MIXED_PORTS, flows: 40, ratePps: RATE_PPS });
  const before = await box.status();
  const after = await crash(box);
  assert.deepEqual([after.handovers.adopted, after.handovers.last?.result], [1, "adopted"], box.stderr);
  assert.ok(after.totals.seen >= before.totals.seen, "a counter went back");
  assert.equal(after.generation, 1);
  const { totals: { received } } = after;
  await box.untilStatus("packets after it", ({ totals }) => totals.received > received + 1000);
  const { sent } = await traffic.stop();
  const status = await settled(box, sent);
  assertConserved(status);
  const { worker_failed: lost = 0 } = status.totals.fates;
  const { socketDrops, redirectErrors, seen } = status.totals;
  // While nobody turned, and while the next process had no rules in force.
  const passed = passedFor(status, "deadman") + passedFor(status, "unlisted_port");
  // deno-lint-ignore no-console -- what it cost here
  console.log(`nobody answered for ${after.goneMs} ms; of ${sent} packets ${passed} passed, ${lost} lost in hand`);
  assert.equal(mixedFates(status) + lost + socketDrops + redirectErrors + passed, sent, JSON.stringify(status.totals));
  assert.ok(seen >= sent);
  assert.equal((await box.metrics()).get('xdpsteer_handovers_total{result="adopted"}'), 1);
});

for (const family of BOTH) {
  Deno.test(`sessions keep their backend and their translation port when processes are killed: ${family}`, async () => {
    const rules = [
      forwardTo(8080, BACKENDS, { families: [family] }),
      "{ name: count, ports: 9090, worker: hash }",
      "{ name: echo, ports: 7777, worker: 1, action: echo }",
    ];
    await using scene = await startScene((socket) => forwardConfig(socket, rules), {
      families: [family],
      serving: BACKENDS,
      as: supervisor(),
    });
    const { network, box, host } = scene;
    const { service: address } = FAMILIES[family];
    await using clients = await Clients.start(network, { address, port: 8080, clients: CLIENTS });
    await clients.ready();
    await using traffic = await BackgroundTraffic.udp(network, box, { ports: [9090, 7777], flows: 20, ratePps: 1000 });
    await untilForwarded(scene);
    const gone: number[] = [];
    for (let round = 1; round <= SIZE.crashes; round++) {
      await untilKept(box);
      await sleep(Math.random() * MOMENT_MS);
      const before = await box.metrics();
      const { handovers, goneMs } = await crash(box);
      gone.push(goneMs);
      assert.equal(handovers.adopted, round, box.stderr);
      await untilForwarded(scene);
      const after = await box.metrics();
      for (const [name, value] of before) {
        if (!/^xdpsteer_\w+_total(\{|$)/.test(name)) continue;
        assert.ok((after.get(name) ?? -1) >= value, `${name} went back: ${value}, ${after.get(name)}`);
      }
    }
    const ports = await host.portsSeen(family, BACKENDS);
    await traffic.stop();
    const { moved, wrong, sent, lost } = await clients.stop();
    assert.deepEqual({ moved, wrong }, { moved: 0, wrong: 0 });
    assert.equal(ports, CLIENTS, "a session has another port");
    const status = await settled(box);
    assertConserved(status);
    const { worker_failed: failed = 0 } = status.totals.fates;
    // deno-lint-ignore no-console -- what it cost here
    console.log(
      `nobody answered for ${gone.join(", ")} ms; ${lost} of ${sent} requests lost, ${failed} packets in hand`,
    );
  });
}

const DAMAGES = {
  half: /its record is not whole/,
  layout: /The memory for xdpsteer counters has another layout/,
  lost: /1 of \d+ descriptors are missing/,
} as const;

for (const [damage, reason] of Object.entries(DAMAGES)) {
  Deno.test(`what does not fit is closed, and the start is one like any other: ${damage}`, async () => {
    await using network = await TestNetwork.create();
    const supervision = { damage: damage as keyof typeof DAMAGES };
    await using box = await startSupervised(network, { rules: MIXED_RULES, workers: 2 }, supervision);
    await untilKept(box);
    await using _traffic = await BackgroundTraffic.udp(network, box, {
      ports: MIXED_PORTS,
      flows: 40,
      ratePps: RATE_PPS,
    });
    const { handovers } = await crash(box);
    assert.equal(handovers.adopted, 0);
    assert.match(box.stderr, reason);
    assert.match(box.stderr, /is closed, sessions and counters begin anew/);
    await box.untilStatus("packets after it", ({ totals }) => totals.received > 1000);
    await untilKept(box);
  });
}

Deno.test("what is kept follows interfaces that are made anew, and a handover that fails", async () => {
  const rule = forwardTo(8080, BACKENDS, { families: ["IPv4"] });
  await using scene = await startScene((socket) => forwardConfig(socket, [rule]), {
    families: ["IPv4"],
    serving: BACKENDS,
    as: supervisor(),
    env: { XDPSTEER_TEST_HANDOVER: "linked kill", XDPSTEER_UNCONFINED: "1" },
  });
  const { network, box, host } = scene;
  const { service: address } = FAMILIES.IPv4;
  await using clients = await Clients.start(network, { address, port: 8080, clients: CLIENTS });
  await clients.ready();
  const untilAttached = (reattachments: number): Promise<Status> =>
    box.untilStatus(
      "the interface",
      ({ interfaces: [, back] }) => back!.state === "attached" && back!.reattachments === reattachments,
    );
  await untilKept(box);
  await network.exec("steer", ["ip", "link", "delete", BACK]);
  await box.untilStatus("nothing to be kept", ({ handovers }) => handovers.kept === 0);
  await host.connect();
  await untilAttached(1);
  await untilKept(box);
  const detach = [...productCommand(), "detach", "--interface", BACK, "--force"];
  assert.equal((await finish(network, detach)).code, 0);
  await untilAttached(2);
  await untilForwarded(scene);
  await untilKept(box);
  assert.match((await box.request("POST", "/v1/upgrade?within=60")).body, /did not take over/);
  await box.untilStatus("the process to go on", ({ handovers }) => handovers.rolledBack === 1);
  await untilForwarded(scene);
  await untilKept(box);
  assert.equal((await crash(box)).handovers.adopted, 1, box.stderr);
  await untilForwarded(scene);
  const ports = await host.portsSeen("IPv4", BACKENDS);
  assert.deepEqual([ports, (await clients.stop()).moved], [CLIENTS, 0]);
  assertConserved(await settled(box));
});

Deno.test("whoever goes on after a crash and crashes at once is not gone on with", async () => {
  await using network = await TestNetwork.create();
  await using box = await startSupervised(network, { rules: MIXED_RULES, workers: 2 });
  await untilKept(box);
  assert.equal((await crash(box)).handovers.adopted, 1);
  assert.equal((await crash(box)).handovers.adopted, 0, box.stderr);
  assert.match(box.stderr, /a process has begun to go on with it, and was not healthy for long enough/);
  await untilKept(box);
  assert.equal((await crash(box, "SIGABRT")).handovers.adopted, 1, box.stderr);
});
