import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { receivedByWorker, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { finish, isFromSource, productCommand, TempDir, withDoctor } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { assertDetached, attachedTo } from "./support/link.ts";
import { Pinger } from "./support/ping.ts";
import { sleep, until } from "./support/wait.ts";

const CONFIG: TestConfig = {
  rules: ["{ name: game, ports: 8080, worker: 0 }", "{ name: chat, ports: 9090, worker: 1 }"],
};
const LOAD = { ports: [8080, 9090], flows: 200, ratePps: 400_000, cpus: [0, 1] };
/** Far longer than it takes, and shorter than whoever stops it waits: systemd kills after 90 seconds. */
const STOP_MS = 20_000;
/** Time without an answer that nobody who types at a terminal would notice. */
const UNNOTICED_MS = 200;

const isThere = (path: string): Promise<boolean> => Deno.lstat(path).then(() => true, () => false);

/** 1,000 packets to each port reach the worker that the port names. */
async function assertSteers(network: TestNetwork, box: Appliance): Promise<void> {
  const before = await settled(box);
  await runTraffic(network, "udp", { ports: [8080, 9090], flows: 10, packetsPerFlow: 200 });
  const after = await settled(box);
  for (const [worker, rule] of ["game", "chat"].entries()) {
    const grown = receivedByWorker(after, rule).map((packets, id) => packets - receivedByWorker(before, rule)[id]!);
    assert.deepEqual(grown, worker === 0 ? [1000, 0] : [0, 1000], rule);
  }
}

const STOPS = [
  { signal: "SIGTERM", wait: "adaptive", attach: "native" },
  { signal: "SIGTERM", wait: "poll", attach: "native" },
  { signal: "SIGTERM", wait: "busy", attach: "native" },
  { signal: "SIGTERM", wait: "adaptive", attach: "generic" },
  { signal: "SIGINT", wait: "adaptive", attach: "native" },
] as const;

for (const { signal, wait, attach } of STOPS) {
  Deno.test(`${signal} under load ends it with 0, and leaves nothing: ${wait}, ${attach}`, async () => {
    await using network = await TestNetwork.create();
    // Live frames also without native XDP.
    await network.exec("steer", ["ethtool", "-K", INTERFACES.steer, "gro", "on"]);
    await using pinger = new Pinger(network);
    await using box = await startAppliance(network, { ...CONFIG, wait, attach });
    const program = await attachedTo(network);
    assert.equal(program.mode, attach);
    await using _traffic = await BackgroundTraffic.live(network, box, LOAD);

    const start = performance.now();
    box.signal(signal);
    const { code } = await box.ended();
    const elapsedMs = performance.now() - start;
    assert.equal(code, 0, box.stderr);
    assert.ok(elapsedMs < STOP_MS, `it took ${Math.round(elapsedMs)} ms`);
    await assertDetached(network, program);
    assert.equal(await isThere(box.socket), false, "the control socket is gone");
    // A machine that is too slow for the load loses packets, and that is told too.
    const messages = box.log.filter(({ logger }) => logger !== "xdpsteer.kernel").map(({ message }) => message);
    assert.deepEqual(messages.slice(-2), [`${signal}: detaching, then draining`, "Stopped"]);
    const { longestGapMs, answers } = await pinger.stop();
    assert.ok(longestGapMs < UNNOTICED_MS && answers > 10, `no answer for ${longestGapMs} ms, ${answers} answers`);
  });
}

Deno.test("kill -9 under load: the program is gone at once, the kernel stack answers throughout, a restart steers", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  await using pinger = new Pinger(network);
  const options = { directory: directory.path };
  {
    await using box = await startAppliance(network, CONFIG, options);
    const program = await attachedTo(network);
    await using _traffic = await BackgroundTraffic.udp(network, box, { ports: [8080, 9090], flows: 200 });
    box.signal("SIGKILL");
    assert.equal((await box.ended()).signal, "SIGKILL");
    await until("the program to be detached", async () => (await attachedTo(network)).mode === "none");
    await assertDetached(network, program);
    assert.equal(await isThere(box.socket), true, "nobody was left to remove the control socket");
    await sleep(300); // the load goes on: the kernel stack gets it
  }
  await using box = await startAppliance(network, CONFIG, options);
  await assertSteers(network, box);
  const { longestGapMs, answers } = await pinger.stop();
  assert.ok(longestGapMs < UNNOTICED_MS && answers > 10, `no answer for ${longestGapMs} ms, ${answers} answers`);
});

Deno.test("a second instance is refused, by interface or by control socket, and the first goes on", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  await using first = await startAppliance(network, CONFIG);
  const program = await attachedTo(network);
  const start = async (socket: string): Promise<string> => {
    const file = `${directory.path}/steering.yaml`;
    await Deno.writeTextFile(file, configText(CONFIG, socket));
    const { code, stderr } = await finish(network, [...productCommand(), "run", "--config", file]);
    assert.equal(code, 1, stderr);
    return stderr;
  };
  const socket = `${directory.path}/control.sock`;
  const byInterface = await withDoctor(network, await start(socket));
  const name = isFromSource() ? `"${program.program}" ` : ""; // the one file's run gives up the right to know
  const taken = `Cannot attach to interface "${INTERFACES.steer}": the XDP program ${name}` +
    `(id ${program.id}, native mode) sits on it already`;
  assert.ok(byInterface.includes(taken), byInterface);
  assert.match(
    byInterface,
    /hint: (a process holds it by link \d+; who, .*: xdpsteer detach|as root, xdpsteer doctor) --interface steer0/,
  );
  assert.match(byInterface, /a running xdpsteer steers this interface \(id \d+, native mode, held by process/);
  assert.equal(await isThere(socket), false);

  const bySocket = await start(first.socket);
  assert.ok(bySocket.includes(`Another xdpsteer answers on "${first.socket}", and goes on steering\n`), bySocket);
  // What is advised can be followed to the letter, and the first goes on.
  for (
    const [, words] of `${byInterface}${bySocket}`.matchAll(
      /xdpsteer ((?:status|reload|detach) -[^;,\n]*?)(?= shows| reads|\n)/g,
    )
  ) {
    await finish(network, [...productCommand(), ...words!.split(" ")]);
  }
  assert.deepEqual(await attachedTo(network), program);
  await assertSteers(network, first);
});

Deno.test("a CPU that is not there ends the start with 1 and its reason, and leaves nothing", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  const file = `${directory.path}/steering.yaml`;
  const text = configText(CONFIG, `${directory.path}/control.sock`).replace("count: 2", "count: 2, cpus: [0, 1023]");
  await Deno.writeTextFile(file, text);
  const { code, stderr } = await finish(network, [...productCommand(), "run", "--config", file]);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /Cannot pin a worker: CPU 1023 is not there: this machine has CPUs /);
  assert.equal((await attachedTo(network)).mode, "none");
  assert.deepEqual([...Deno.readDirSync(directory.path)].map(({ name }) => name), ["steering.yaml"]);
});

Deno.test("an interface that goes away is reported once, and the appliance still ends with 0", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  await network.exec("steer", ["ip", "link", "delete", INTERFACES.steer]);
  const gone = (): number => box.log.filter(({ message }) => message.startsWith("Interface steer0 is gone")).length;
  await until("the log to tell", () => gone() > 0);
  await sleep(500);
  assert.equal(gone(), 1, box.stderr);
  assert.equal((await box.status()).ready, false);
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
});

Deno.test("a pinned worker has its CPU, and the other threads of the process have the others", async () => {
  await using network = await TestNetwork.create();
  const pinned = (socket: string): string =>
    configText({ ...CONFIG, workers: 1, rules: CONFIG.rules.slice(0, 1) }, socket)
      .replace("wait: adaptive", "wait: adaptive, cpus: [0]");
  await using box = await startAppliance(network, pinned);
  const allowed = [...Deno.readDirSync(`/proc/${box.pid}/task`)].map(({ name: thread }) => {
    const status = Deno.readTextFileSync(`/proc/${box.pid}/task/${thread}/status`);
    const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)![1]!;
    return { name: field("Name"), cpus: field("Cpus_allowed_list") };
  });
  assert.deepEqual(allowed.filter(({ cpus }) => cpus === "0").map(({ name }) => name), ["worker-1"]);
  assert.ok(allowed.every(({ name, cpus }) => name === "worker-1" || !/^0\b/.test(cpus)), JSON.stringify(allowed));
});
