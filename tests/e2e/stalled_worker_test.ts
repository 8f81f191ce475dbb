/** Workers, or the whole process, that do not run though they are there: what is told, and what the process does. */
import assert from "node:assert/strict";
import type { EndedProblem, Problem } from "../../src/observe/problems/kinds.ts";
import { grouped } from "../../src/cli/output.ts";
import { TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { fatesOf, passedFor, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { finish, productCommand } from "./support/command.ts";
import type { TestConfig } from "./support/config.ts";
import { freezeWorker } from "./support/freeze.ts";
import { NotifySocket } from "./support/notify_socket.ts";
import { untilWatched } from "./support/tracepoints.ts";
import { sleep, until } from "./support/wait.ts";

const SERVED = 8080;
const FROZEN = 9090;
const RING = 1024;
const PACKETS = 8000;
const CONFIG: TestConfig = {
  rules: [`{ name: game, ports: ${SERVED}, worker: 0 }`, `{ name: chat, ports: ${FROZEN}, worker: 1 }`],
  memory: `umem: { chunks: 16384 }, rings: { rx: ${RING}, tx: 1024, fill: 8192, completion: 1024 }`,
};
const WATCHDOG_MS = 800;

/** Problems of now, and those that are over. */
async function told(box: Appliance): Promise<readonly (Problem | EndedProblem)[]> {
  const { problems, endedProblems } = await box.problems();
  return [...problems, ...endedProblems];
}

const codes = async (box: Appliance): Promise<number[]> =>
  await Promise.all(["/livez", "/healthz", "/readyz"].map(async (path) => (await box.request("GET", path)).code));

Deno.test("a worker that stands still is told everywhere, its losses are its own, and all is well when it goes on", async () => {
  await using network = await TestNetwork.create();
  const name = `@xdpsteer-${crypto.randomUUID()}`;
  await using manager = await NotifySocket.open(network, name);
  const env = { NOTIFY_SOCKET: name, WATCHDOG_USEC: `${WATCHDOG_MS * 1000}` };
  await using box = await startAppliance(network, CONFIG, { env });
  await untilWatched(box);
  const frozen = await freezeWorker(box, 1);
  try {
    const down = await until(
      "the problem",
      () => box.problem("worker_down"),
    );
    assert.equal(down.subject.name, "1");
    assert.match(down.message, /^Worker 1 does not run, .*: its thread is stopped by a debugger, process \d+$/);
    assert.deepEqual(await codes(box), [503, 503, 503]);
    const { workers, ready } = await box.status();
    assert.deepEqual([ready, workers.map(({ state }) => state)], [false, ["running", "stalled"]]);
    const metrics = await box.metrics();
    assert.deepEqual([0, 1].map((worker) => metrics.get(`xdpsteer_worker_up{worker="${worker}"}`)), [1, 0]);
    const still = [0, 1].map((worker) => metrics.get(`xdpsteer_worker_still_seconds_total{worker="${worker}"}`)!);
    // The other one may have waited for a CPU.
    assert.ok(still[1]! >= 0.8 && still[0]! < still[1]!, `${still}`);

    const beats = manager.beats.length;
    await sleep(2 * WATCHDOG_MS);
    assert.ok(manager.beats.length <= beats + 1, "one may have been on its way");

    await runTraffic(network, "udp", { ports: [SERVED, FROZEN], flows: 20, packetsPerFlow: 2 * PACKETS / 20 });
    const lost = await until(
      "losses",
      async () => (await told(box)).find(({ kind }) => kind === "packets_lost"),
    );
    assert.match(lost.message, /loses packets: worker 1 stood still and took none/);
    await until("the kernel's word", () => box.log.find(({ message }) => message.includes("the worker stood still")));
  } finally {
    await frozen[Symbol.asyncDispose]();
  }
  await until("an end", async () => (await codes(box)).every((code) => code === 200));
  await until(
    "a line in the log",
    () => box.log.some(({ message }) => message.startsWith("Over: Worker 1 does not run")),
  );
  const after = manager.beats.length;
  await until("beats", () => manager.beats.length > after);

  const status = await settled(box);
  const { counted: waited = 0 } = fatesOf(status, "chat");
  assert.ok(waited > 0 && waited <= 2 * RING, `${waited} waited in the rings`);
  const { counted: served = 0 } = fatesOf(status, "game");
  assert.ok(served > 2 * RING, "worker 0 has served its own meanwhile");
  // Where the other worker had no CPU for long, the kernel's stack had everything meanwhile.
  assert.equal(status.totals.socketDrops + passedFor(status, "deadman"), 2 * PACKETS - waited - served);
  const { stdout } = await finish(network, [...productCommand(), "status", "--socket", box.socket]);
  const row = stdout.split("\n").find((line) => line.startsWith("(at sockets)"));
  assert.equal(row?.replaceAll(/ +/g, " "), `(at sockets) of all rules ${grouped(status.totals.socketDrops)}`);
  const blamed = box.log.filter(({ message }) => message.includes("enlarge rings.rx"));
  assert.ok(blamed.every(({ properties }) => properties.worker === 0), box.stderr);
});

Deno.test("a worker that stands still for long ends the process", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  await using _frozen = await freezeWorker(box, 1);
  const { code } = await box.ended(120_000);
  assert.equal(code, 1, box.stderr);
  assert.match(box.stderr, /Worker 1 has not run for 30 s: its thread is stopped by a debugger/);
});

Deno.test("a process that somebody stops says so when it runs again, and blames no worker", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  box.signal("SIGSTOP");
  await sleep(3000); // what is counted is no less than this, however slow the machine
  box.signal("SIGCONT");
  const ended = await until("the end of the problem", async () => {
    const { endedProblems } = await box.problems();
    return endedProblems.find(({ kind }) => kind === "paused");
  });
  assert.match(
    ended.message,
    /^The process did not run for [0-9.]+ s: somebody stopped it, or the machine stood still/,
  );
  assert.ok(box.log.some(({ message }) => message.startsWith("The process did not run for")));
  const paused = (await box.metrics()).get("xdpsteer_paused_seconds_total");
  assert.ok(paused !== undefined && paused > 2.5, `${paused} s`);
  assert.ok(!(await told(box)).some(({ kind }) => kind === "worker_down"));
  assert.deepEqual(await codes(box), [200, 200, 200]);
});
