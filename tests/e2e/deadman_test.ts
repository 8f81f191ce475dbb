/** While nothing of xdpsteer runs, the kernel stack has all packets; when it runs again, they are steered. */
import assert from "node:assert/strict";
import type { EndedProblem, Problem } from "../../src/observe/problems/kinds.ts";
import { IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { assertConserved, fatesOf, passedFor, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import type { TestConfig } from "./support/config.ts";
import { startEcho } from "./support/echo.ts";
import { freezeWorker } from "./support/freeze.ts";
import { Program } from "./support/programs.ts";
import { sleep, until } from "./support/wait.ts";

const PORT = 8080;
/** One worker has the port, so that its ring is full soon. */
const CONFIG: TestConfig = {
  rules: [`{ name: game, ports: ${PORT}, worker: 0 }`, "{ name: chat, ports: 9090, worker: 1 }"],
  memory: "umem: { chunks: 4096 }, rings: { rx: 1024, tx: 1024, fill: 2048, completion: 1024 }",
};

/** Asks again and again until somebody answers. Says how often, and how long it took. */
const PROBE = `
import json, socket, sys, time
address, port = json.loads(sys.argv[1])
client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(0.02)
sent, begun = 0, time.monotonic()
while True:
    sent += 1
    client.sendto(b"is there anybody?", (address, port))
    try:
        client.recv(100)
        break
    except TimeoutError:
        pass
print(json.dumps({"sent": sent, "ms": round(1000 * (time.monotonic() - begun))}))
`;

async function untilAnswered(network: TestNetwork, address: string): Promise<{ sent: number; ms: number }> {
  const argv = ["/usr/bin/python3", "-c", PROBE, JSON.stringify([address, PORT])];
  await using program = Program.run(network.names.client, argv);
  return JSON.parse(await program.result());
}

const isDeadman = ({ kind }: Problem | EndedProblem): boolean => kind === "deadman_on";

async function ended(box: Appliance): Promise<EndedProblem> {
  return await until("the problem to be over", async () => {
    const { problems, endedProblems } = await box.problems();
    return problems.some(isDeadman) ? undefined : endedProblems.find(isDeadman);
  });
}

const counted = (status: Status): number => fatesOf(status, "game").counted ?? 0;

Deno.test("while the process is stopped the kernel stack answers, and afterwards every packet is accounted for", async () => {
  await using network = await TestNetwork.create();
  await using _stack = await startEcho(network.names.steer, [[IPV4.steer, PORT], [IPV6.steer, PORT]]);
  await using box = await startAppliance(network, CONFIG);
  await until("the deadman to be armed", async () => (await box.status()).deadman.armed);
  let probes = 0;
  let sent = 0;
  for (const address of [IPV4.steer, IPV6.steer]) {
    await using traffic = await BackgroundTraffic.udp(network, box, {
      address,
      ports: [PORT],
      flows: 8,
      ratePps: 20_000,
    });
    const before = (await box.status()).deadman;
    box.signal("SIGSTOP");
    const stopped = performance.now();
    const probe = await untilAnswered(network, address).finally(() => box.signal("SIGCONT"));
    // deno-lint-ignore no-console -- what it took here: a slow machine may take longer
    console.log(`the kernel stack answers ${Math.round(performance.now() - stopped)} ms after the stop`);
    probes += probe.sent;
    const during = counted(
      await box.untilStatus("steering", ({ deadman }) => !deadman.on && deadman.times > before.times),
    );
    await box.untilStatus("packets to be steered", (status) => counted(status) > during);
    sent += (await traffic.stop()).sent;
    await ended(box);
  }
  const status = await settled(box, sent + probes);
  assertConserved(status);
  const passed = passedFor(status, "deadman");
  assert.ok(passed > 0);
  assert.equal(counted(status) + status.totals.socketDrops + passed, sent + probes);
  assert.equal(status.deadman.times, 2);
  assert.equal((await box.metrics()).get("xdpsteer_deadman_seconds_total"), status.deadman.seconds);
  assert.ok(status.deadman.seconds > 0);

  const { message, times } = await ended(box);
  assert.match(
    message,
    /^No worker's loop turned, and everything passed to the kernel stack for [\d.]+ s: [\d,]+ packets for listed ports$/,
  );
  assert.equal(times, 2);
  assert.equal((await box.request("GET", "/readyz")).code, 200);
  assert.equal(box.log.filter((line) => line.message.startsWith("Over: No worker's loop turn")).length, 2);
  assert.ok(!box.log.some(({ message }) => message.includes("changed by somebody else")), box.stderr);
});

Deno.test("one worker that turns keeps steering; without any, everything passes and it is told at once", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  await until("the deadman to be armed", async () => (await box.status()).deadman.armed);
  await using stack = new AsyncDisposableStack();
  stack.use(await freezeWorker(box, 1));
  await until(
    "the problem of one",
    () => box.problem("worker_down"),
  );
  await sleep(1000);
  assert.equal((await box.status()).deadman.times, 0, "the other one turns, though nothing comes");
  stack.use(await freezeWorker(box, 0));
  const problem = await until("the problem", () => box.problem("deadman_on"));
  assert.match(problem.message, /^No worker's loop turns, and everything has passed to the kernel stack for /);
  assert.equal(problem.stops, "box");
  assert.equal((await box.request("GET", "/readyz")).code, 503);
  assert.ok(box.log.some(({ message }) => message.startsWith("No worker's loop turns")));
  await stack.disposeAsync();
  await ended(box);
  await until("an end", async () => (await box.request("GET", "/readyz")).code === 200);
});
