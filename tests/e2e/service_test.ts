import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { type LogLine, startAppliance } from "./support/appliance.ts";
import { TempDir } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { UnitUser } from "./support/ordinary_user.ts";
import { type Notification, NotifySocket } from "./support/notify_socket.ts";
import { sleep, until } from "./support/wait.ts";

const CONFIG: TestConfig = { rules: ["{ name: game, ports: 8080, worker: 0 }"] };
const MORE: TestConfig = { rules: [...CONFIG.rules, "{ name: chat, ports: 9090, worker: 1 }"] };
const WATCHDOG_MS = 400;
const WATCHDOG = { WATCHDOG_USEC: `${WATCHDOG_MS * 1000}` };

/** What an ordinary user may lock without asking: the limit that the unit lifts is not always the test's to lift. */
const LITTLE_MEMORY = "umem: { chunks: 512 }, rings: { rx: 256, tx: 256, fill: 512, completion: 256 }";

const statusOf = ({ fields }: Notification): string => fields.STATUS ?? "";

Deno.test("the service manager hears of the start, of each change, refused or not, and of the end", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  const path = `${directory.path}/notify`;
  await using manager = await NotifySocket.open(network, path);
  await using box = await startAppliance(network, CONFIG, { env: { NOTIFY_SOCKET: path } });
  const [started] = await manager.untilNews(1);
  assert.deepEqual(started!.fields, { READY: "1", STATUS: "Generation 1 is in force" });

  await box.saveInPlace(MORE); // the file's watch tells of it too, and of one save once
  const changed = (await manager.untilNews(3)).slice(1);
  assert.equal(changed[0]!.fields.RELOADING, "1");
  assert.deepEqual(changed[1]!.fields, { READY: "1", STATUS: "Generation 2 is in force" });

  const before = (await manager.untilNews(3)).at(-1)!.atUsec;
  box.signal("SIGHUP");
  const [reloading, ready] = (await manager.untilNews(5)).slice(3);
  assert.equal(reloading!.fields.RELOADING, "1");
  const usec = Number(reloading!.fields.MONOTONIC_USEC);
  assert.ok(usec > before && usec <= reloading!.atUsec, `${before} < ${usec} <= ${reloading!.atUsec}`);
  assert.deepEqual(ready!.fields.READY, "1");

  await box.saveInPlace(configText(MORE, box.socket).replace("worker: 1", "worker: 9"));
  const refused = (await manager.untilNews(8)).slice(5);
  assert.equal(refused[0]!.fields.RELOADING, "1");
  assert.equal(refused[1]!.fields.READY, "1", "what was in force before still is");
  assert.match(
    statusOf(refused[2]!),
    /^Generation \d+ is in force\. .*steering\.yaml is refused, .*: line \d+, column \d+: /,
  );

  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
  const [stopping, ...after] = (await manager.untilNews(9)).slice(8);
  assert.deepEqual(stopping!.fields, { STOPPING: "1", STATUS: "Detaching, then draining" });
  assert.deepEqual(after, []);
  assert.deepEqual(manager.beats, [], "nobody asked for them");
  assert.deepEqual([...new Set(manager.received.map(({ pid }) => pid))], [box.pid], "all are from the main process");
});

Deno.test("the watchdog hears a beat in each quarter of its time, from the start to the stop", async () => {
  await using network = await TestNetwork.create();
  const name = `@xdpsteer-${crypto.randomUUID()}`;
  await using manager = await NotifySocket.open(network, name);
  await using box = await startAppliance(network, CONFIG, { env: { NOTIFY_SOCKET: name, ...WATCHDOG } });
  // A machine that is busy beats late, and none early. Some beats in a row are in time on any.
  const gaps = (): number[] =>
    manager.beats.slice(1).map(({ atUsec }, index) => (atUsec - manager.beats[index]!.atUsec) / 1000);
  const isInTime = (gap: number): boolean => gap < WATCHDOG_MS;
  await until("beats in time", () => gaps().filter(isInTime).length >= 8, { describe: gaps });
  const middle = gaps().sort((a, b) => a - b)[gaps().length >> 1]!;
  assert.ok(middle > WATCHDOG_MS / 8, `a beat every ${middle} ms`);

  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
  await manager.untilNews(2);
  assert.equal(manager.received.at(-1)!.fields.STOPPING, "1", "no beat after the stop began");
});

Deno.test("a watchdog that watches another process gets no beat", async () => {
  await using network = await TestNetwork.create();
  const name = `@xdpsteer-${crypto.randomUUID()}`;
  await using manager = await NotifySocket.open(network, name);
  const env = { NOTIFY_SOCKET: name, ...WATCHDOG, WATCHDOG_PID: `${Deno.pid}` };
  await using _box = await startAppliance(network, CONFIG, { env });
  await manager.untilNews(1);
  await sleep(2 * WATCHDOG_MS);
  assert.deepEqual(manager.beats, []);
});

Deno.test("a service manager that cannot be reached is complained of once, and packets are steered all the same", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  const env = { NOTIFY_SOCKET: `${directory.path}/nobody`, ...WATCHDOG };
  await using box = await startAppliance(network, CONFIG, { env });
  const complaintsOf = (): LogLine[] => box.log.filter(({ logger }) => logger === "xdpsteer.service");
  await until("a complaint", () => complaintsOf().length > 0);
  await sleep(2 * WATCHDOG_MS);
  const complaints = complaintsOf();
  assert.equal(complaints.length, 1, box.stderr);
  assert.equal(complaints[0]!.level, "warning");
  assert.match(
    complaints[0]!.message,
    /^Cannot notify the service manager: .* ENOENT.*; further failures are not logged$/,
  );
  assert.equal((await box.status()).ready, true);
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
});

Deno.test("an ordinary user with the unit's capabilities steers", async () => {
  await using user = await UnitUser.create();
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { ...CONFIG, memory: LITTLE_MEMORY }, user.options);
  await box.saveInPlace({ ...MORE, memory: LITTLE_MEMORY });
  await box.waitForGeneration(2);
  await runTraffic(network, "udp", { ports: [8080, 9090], flows: 10, packetsPerFlow: 10 });
  const status = await settled(box);
  assert.equal(status.ready, true);
  assert.deepEqual(["game", "chat"].map((rule) => fatesOf(status, rule)), [{ counted: 50 }, { counted: 50 }]);
  assert.deepEqual(box.log.filter(({ level }) => level !== "info"), [], box.stderr);
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
});

Deno.test("the service manager hears who is the main process after a handover, and hears from that one", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  const path = `${directory.path}/notify`;
  await using manager = await NotifySocket.open(network, path);
  await using box = await startAppliance(network, CONFIG, { env: { NOTIFY_SOCKET: path, ...WATCHDOG } });
  const before = box.pid;
  const told = (await manager.untilNews(1)).length;
  box.signal("SIGUSR2");
  const [main, ready] = (await manager.untilNews(told + 2)).slice(told);
  const { pid } = await until("the new process", async () => {
    const status = await box.status().catch(() => undefined);
    return status !== undefined && status.pid !== before ? status : undefined;
  });
  box.followTo(pid);
  assert.equal((await box.handedOver()).code, 0, box.stderr);
  assert.deepEqual([main!.fields, main!.pid], [{ MAINPID: `${pid}` }, before]);
  assert.deepEqual([ready!.fields, ready!.pid], [{ READY: "1", STATUS: "Generation 1 is in force" }, pid]);
  const beats = manager.beats.length;
  await until("beats of the new process", () => manager.beats.slice(beats).some((beat) => beat.pid === pid));
  assert.ok(!manager.received.some(({ fields }) => fields.STOPPING !== undefined), "nobody stops");
});
