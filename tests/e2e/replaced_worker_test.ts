/** A worker that fails: another thread goes on with what it had, and all packets are accounted for. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { assertConserved, fatesOf, ruleOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { Clients, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";
import { ROOT, TempDir } from "./support/command.ts";
import { startScene, untilForwarded } from "./support/scene.ts";
import { until } from "./support/wait.ts";
import { MIXED_PORTS, MIXED_RULES } from "./support/mixed_rules.ts";

const RATE_PPS = 3000;
const BACKENDS = [1, 2, 3];
const CLIENTS = 200;

/** Starts the product with workers that can be made to fail, which the one file has not. */
async function withFailures<T>(start: () => Promise<T>, folder: TempDir): Promise<T> {
  const before = Deno.env.get("XDPSTEER_COMMAND");
  const words = [Deno.execPath(), "run", "--quiet", "-A", "--config", `${ROOT}deno.json`];
  Deno.env.set("XDPSTEER_COMMAND", [...words, `${ROOT}tests/support/failing/main.ts`].join(" "));
  Deno.env.set("XDPSTEER_TEST_FAILURES", folder.path);
  try {
    return await start();
  } finally {
    if (before === undefined) Deno.env.delete("XDPSTEER_COMMAND");
    else Deno.env.set("XDPSTEER_COMMAND", before);
  }
}

/** How a worker can fail: see support/failing/worker.ts. */
type Failure = "throw" | "loop" | "wait" | "hog";

/** Has a worker fail, and does not wait for what becomes of it. */
async function fail(box: Appliance, folder: TempDir, worker: number, how: Failure): Promise<void> {
  await Deno.writeTextFile(`${folder.path}/worker ${worker}`, how);
  await box.request("GET", "/v1/status?heap").catch(() => {}); // where the process ends
}

const replacements = (status: Status): number[] => status.workers.map(({ replacements }) => replacements);
const servedBy = (status: Status, rule: string, worker: number): number =>
  Object.values(ruleOf(status, rule).workers[worker]!.fates).reduce((sum, { packets }) => sum + packets, 0);

const WORDS: Readonly<Record<Failure, RegExp>> = {
  throw: /^Worker 1 has failed, and is replaced: told to fail/,
  loop: /^Worker 1 has not turned for \d\.\d s, and is replaced: its thread runs/,
  wait: /^Worker 1 has not turned for [2-9]\.\d s, and is replaced: its thread waits/,
  // A slow machine is told that it hangs before.
  hog: /^Worker 1 has (used up 512 MiB of heap|not turned for .*), and is replaced/,
};

for (const how of ["throw", "loop", "wait", "hog"] as const) {
  Deno.test(`a worker that is told to ${how} is replaced under load, and every packet has its account`, async () => {
    await using folder = await TempDir.create();
    await using network = await TestNetwork.create();
    await using box = await withFailures(() => startAppliance(network, { rules: MIXED_RULES }), folder);
    await using traffic = await BackgroundTraffic.udp(network, box, {
      ports: MIXED_PORTS,
      flows: 40,
      ratePps: RATE_PPS,
    });
    const thread = (await box.status()).workers[1]!.thread;
    const begun = performance.now();
    await fail(box, folder, 1, how);
    const replaced = await box.untilStatus("a replacement", ({ workers }) => {
      const { state, replacements } = workers[1]!;
      return state === "running" && replacements === 1 && workers[1]!.thread !== thread;
    });
    // deno-lint-ignore no-console -- what it took here: a slow machine may take longer
    console.log(`another thread goes on after ${Math.round(performance.now() - begun)} ms`);
    assert.deepEqual(replacements(replaced), [0, 1]);
    for (const [rule, worker] of [["count", 0], ["echo", 1], ["spread", 1]] as const) {
      await box.untilStatus(
        `packets of ${rule}`,
        (now) => servedBy(now, rule, worker) > servedBy(replaced, rule, worker),
      );
    }
    const { sent } = await traffic.stop();
    const status = await settled(box, sent);
    assertConserved(status);
    const { worker_failed: failed = 0 } = status.totals.fates;
    assert.ok(box.log.some(({ message }) => WORDS[how].test(message)), box.stderr);
    const [told] = box.log.filter(({ properties }) => properties.worker === 1 && "lost" in properties);
    assert.equal(told!.properties.lost, failed);
    assert.deepEqual(Object.keys(fatesOf(status, "count")), ["counted"]);
    assert.equal((await box.metrics()).get('xdpsteer_worker_replacements_total{worker="1"}'), 1);
    // No chunk is lost: what there is of them circulates on.
    const { queues } = status.interfaces[0]!;
    for (const { sockets } of queues) {
      for (const { statistics } of sockets) assert.equal(statistics.rx_fill_ring_empty_descs, 0);
    }
    // Rules change as ever, and it ends as ever.
    assert.equal((await box.put({ rules: MIXED_RULES.slice(0, 2) })).code, 200);
    await box.waitForGeneration(2);
    box.signal("SIGTERM");
    assert.equal((await box.ended()).code, 0, box.stderr);
  });
}

Deno.test("the third failure within a minute ends the process", async () => {
  await using folder = await TempDir.create();
  await using network = await TestNetwork.create();
  await using box = await withFailures(() => startAppliance(network, { rules: MIXED_RULES }), folder);
  for (const [worker, count] of [[1, 1], [0, 2]] as const) {
    await fail(box, folder, worker, count === 1 ? "loop" : "throw");
    await box.untilStatus(
      "a replacement",
      (status) => replacements(status).reduce((sum, each) => sum + each) === count,
    );
    await until("it to run", async () => (await box.status()).workers.every(({ state }) => state === "running"));
  }
  await fail(box, folder, 1, "throw");
  const { code } = await box.ended();
  assert.equal(code, 1, box.stderr);
  assert.match(box.stderr, /Worker 1 failed: told to fail/);
});

for (const [family, how] of [["IPv4", "throw"], ["IPv6", "throw"], ["IPv4", "loop"], ["IPv6", "loop"]] as const) {
  Deno.test(`sessions keep backend and translation port when a worker is told to ${how}: ${family}`, async () => {
    await using folder = await TempDir.create();
    const rule = forwardTo(8080, BACKENDS, { families: [family] });
    const config = (socket: string): string => forwardConfig(socket, [rule]);
    await using scene = await withFailures(
      () => startScene(config, { families: [family], serving: BACKENDS }),
      folder,
    );
    const { network, box, host } = scene;
    const { service: address } = FAMILIES[family];
    await using clients = await Clients.start(network, { address, port: 8080, clients: CLIENTS });
    await clients.ready();
    await untilForwarded(scene);
    await fail(box, folder, 0, how);
    await box.untilStatus(
      "a replacement",
      ({ workers }) => workers[0]!.replacements === 1 && workers.every(({ state }) => state === "running"),
    );
    await untilForwarded(scene);
    const ports = await host.portsSeen(family, BACKENDS);
    const { moved, wrong } = await clients.stop();
    assert.deepEqual({ moved, wrong }, { moved: 0, wrong: 0 });
    assert.equal(ports, CLIENTS, "a session has another port");
    assertConserved(await settled(box));
  });
}
