import assert from "node:assert/strict";
import { SIZE } from "../support/sizes.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import type { Status } from "./support/appliance.ts";
import {
  BACKEND_PORT,
  backendAddress,
  backendName,
  BOTH,
  Clients,
  FAMILIES,
  type Family,
  forwardConfig,
} from "./support/backends.ts";
import { Program } from "./support/programs.ts";
import { type ForwardScene, startScene } from "./support/scene.ts";
import { until } from "./support/wait.ts";

const PORT = 5514;
const NOTHING_LOST = { lost: 0, wrong: 0, late: 0 };
const losses = ({ lost, wrong, late }: typeof NOTHING_LOST): typeof NOTHING_LOST => ({ lost, wrong, late });

interface Scene extends ForwardScene {
  put(rule: string): Promise<void>;
  clients(clients: number, requests?: number): Promise<Clients>;
}

/** A box with one rule, and three backends that answer. */
async function setScene(family: Family, rule: string): Promise<Scene> {
  const scene = await startScene((socket) => forwardConfig(socket, [rule]), { families: [family], serving: [1, 2, 3] });
  const { network, box } = scene;
  return {
    ...scene,
    put: async (rule) => {
      const { code, body } = await box.put(forwardConfig(box.socket, [rule]));
      assert.equal(code, 200, body);
    },
    clients: (clients, requests = 0) =>
      Clients.start(network, { address: FAMILIES[family].service, port: PORT, clients, requests }),
  };
}

/** A rule with backends by number, each with settings of its own. */
function ruleOf(family: Family, to: Readonly<Record<number, string>>, more = ""): string {
  const backends = Object.entries(to).map(([number, settings]) =>
    `{ address: "${backendName(family, Number(number))}"${settings} }`
  );
  return `{ name: web, ports: ${PORT}, action: { forward: { to: [${backends.join(", ")}]${more} } } }`;
}

const sessionsOf = ({ backends }: Status, name: string): number | undefined =>
  backends.find((backend) => backend.name === name)?.sessions;

for (const family of BOTH) {
  Deno.test(`affinity none: ${SIZE.spread} packets of one source port are spread by weight, and each is answered: ${family}`, async () => {
    const weights = { 1: 1, 2: 2, 3: 3 } as const;
    const to = { 1: "", 2: ", weight: 2", 3: ", weight: 3" };
    await using scene = await setScene(family, ruleOf(family, to, ", affinity: none"));
    await using clients = await scene.clients(1, SIZE.spread);
    const report = await clients.report();
    assert.deepEqual(losses(report), NOTHING_LOST);
    for (const [backend, weight] of Object.entries(weights)) {
      const share = report.answersOf[backend]! / (SIZE.spread * weight / 6);
      assert.ok(share > 0.99 && share < 1.01, `backend ${backend} has ${share} of its share`);
    }
    const status = await settled(scene.box);
    assert.deepEqual(fatesOf(status, "web"), { forwarded: SIZE.spread });
    assert.equal(status.backends.reduce((sum, { sessions }) => sum + sessions, 0), 3, "one with each backend");
  });

  Deno.test(`answers: 1 ends sessions with their answers: 10,000 queries of one client leave none: ${family}`, async () => {
    const rule = ruleOf(family, { 1: "", 2: "", 3: "" }, ", answers: 1, idle_timeout: 86400");
    await using scene = await setScene(family, rule);
    await using clients = await scene.clients(10_000, 1);
    const report = await clients.report();
    assert.deepEqual(losses(report), NOTHING_LOST);
    await using same = await scene.clients(1, 500);
    assert.deepEqual(losses(await same.report()), NOTHING_LOST, "a client that asks from the same port each time");
    const { backends } = await settled(scene.box);
    assert.deepEqual(backends.map(({ sessions }) => sessions), [0, 0, 0]);
  });

  Deno.test(`weight 0 under load: a backend gets no new session, its sessions end, and it goes: ${family}`, async () => {
    const all = { 1: "", 2: "", 3: "" };
    await using scene = await setScene(family, ruleOf(family, all, ", idle_timeout: 3"));
    const { box } = scene;
    const name = backendName(family, 1);
    await using before = await scene.clients(100);
    await before.ready();
    await scene.put(ruleOf(family, { ...all, 1: ", weight: 0" }, ", idle_timeout: 3"));
    await using after = await scene.clients(100);
    await after.ready();
    assert.ok(sessionsOf(await box.status(), name)! > 15, "those it has stay");
    const first = await before.stop();
    assert.deepEqual({ ...losses(first), moved: first.moved }, { ...NOTHING_LOST, moved: 0 });
    assert.ok(first.byBackend[1]! > 15);
    await box.untilStatus("the end of its sessions", (status) => sessionsOf(status, name) === 0);
    await scene.put(ruleOf(family, { 2: "", 3: "" }, ", idle_timeout: 3"));
    await box.untilStatus("its end", (status) => sessionsOf(status, name) === undefined);
    const second = await after.stop();
    assert.deepEqual({ ...losses(second), moved: second.moved }, { ...NOTHING_LOST, moved: 0 });
    assert.equal(second.byBackend[1], undefined);
  });
}

/** Three servers that answer nobody, each on an address of its own: prints how many datagrams each has had. */
const SYSLOG_SERVERS = `
import json, select, socket, sys
SO_RCVBUFFORCE = 33
servers = []
for address, port in json.loads(sys.argv[1]):
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    server.bind((address, port))
    server.setblocking(False)
    servers.append(server)
counts = [0] * len(servers)
def take():
    for index, server in enumerate(servers):
        try:
            while server.recv(2048): counts[index] += 1
        except BlockingIOError: pass
print("ready", flush=True)
try:
    while select.select(servers, [], []): take()
except KeyboardInterrupt: pass
print(json.dumps(counts), flush=True)
`;

/** Sends datagrams from one socket, some at a time: whoever reads them is on the same machine. */
const SYSLOG_CLIENT = `
import socket, sys, time
client = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
client.connect((sys.argv[1], int(sys.argv[2])))
for number in range(int(sys.argv[3])):
    client.send(b"<13>1 - edge app - - - message %d" % number)
    if number % 100 == 99: time.sleep(0.002)
`;

/** Bytes that wait in the backends' sockets. */
async function waitingIn({ host }: ForwardScene): Promise<number> {
  const lines = (await host.exec(["ss", "-Huan"])).trim().split("\n");
  return lines.reduce((sum, line) => sum + Number(line.split(/\s+/)[1]), 0);
}

Deno.test("affinity none: 100,000 syslog datagrams of one source port, which nobody answers, are spread by weight within 1 %", async () => {
  const sent = 100_000;
  for (const family of BOTH) {
    const numbers = [1, 2, 3] as const;
    const rule = ruleOf(family, { 1: "", 2: ", weight: 2", 3: ", weight: 3" }, ", affinity: none");
    await using scene = await startScene((socket) => forwardConfig(socket, [rule]), {
      families: [family],
      serving: [],
    });
    const ends = numbers.map((number) => [backendAddress(family, number), BACKEND_PORT]);
    const argv = ["/usr/bin/python3", "-c", SYSLOG_SERVERS, JSON.stringify(ends)];
    await using servers = await Program.start(scene.host.name, argv, "ready\n");
    const service = [FAMILIES[family].service, `${PORT}`, `${sent}`];
    await using client = Program.run(scene.network.names.client, ["/usr/bin/python3", "-c", SYSLOG_CLIENT, ...service]);
    await client.result();
    const status = await settled(scene.box, sent);
    const { forwarded } = fatesOf(status, "web");
    assert.ok(forwarded !== undefined && forwarded === sent - status.totals.socketDrops);
    for (const number of numbers) {
      const { packets, sessions } = status.backends.find(({ name }) => name === backendName(family, number))!;
      const share = packets.to / (forwarded * number / 6);
      assert.ok(share > 0.99 && share < 1.01, `backend ${number} has ${share} of its share`);
      assert.equal(sessions, 1);
    }
    await until("the servers to have them", async () => (await waitingIn(scene)) === 0);
    const got = JSON.parse((await servers.interrupt()).split("\n")[1]!) as number[];
    assert.equal(got.reduce((sum, count) => sum + count, 0), forwarded);
  }
});

Deno.test("affinity source: all sessions of a client go to one backend", async () => {
  await using scene = await setScene("IPv4", ruleOf("IPv4", { 1: "", 2: "", 3: "" }, ", affinity: source"));
  await using clients = await scene.clients(300, 1);
  const report = await clients.report();
  assert.deepEqual(losses(report), NOTHING_LOST);
  assert.deepEqual(Object.values(report.byBackend), [300]);
});

Deno.test("max_sessions: a full backend gets no new session, and new clients are refused where all are full", async () => {
  const to = { 1: ", max_sessions: 20", 2: ", max_sessions: 40" };
  await using scene = await setScene("IPv4", ruleOf("IPv4", to));
  await using clients = await scene.clients(60);
  await clients.ready();
  const sessions = (await scene.box.status()).backends.map((backend) => backend.sessions);
  // Each of the two workers may begin a session before it sees that the other has begun the last one.
  assert.ok(sessions[0]! >= 20 && sessions[0]! <= 21 && sessions[1]! <= 41, `${sessions}`);
  await using more = await Clients.start(scene.network, {
    address: FAMILIES.IPv4.service,
    port: PORT,
    clients: 10,
    requests: 1,
    timeoutMs: 500,
  });
  assert.ok((await more.report()).lost >= 8);
  assert.deepEqual(losses(await clients.stop()), NOTHING_LOST);
  const { workers } = await settled(scene.box);
  assert.ok(workers.reduce((sum, { loop }) => sum + loop.refusedBackends, 0) >= 8);
});

Deno.test("backup and fail_open: new sessions go to the backup when no other is healthy, and to all when none is", async () => {
  const health = ", health: { check: udp, interval: 0.1, timeout: 1, rise: 1, fall: 2 }";
  const to = { 1: "", 2: "", 3: ", backup: true" };
  await using scene = await setScene("IPv4", ruleOf("IPv4", to, `, fail_open: 50%${health}`));
  const { box, host } = scene;
  const backendsOf = async (): Promise<string[]> => {
    await using clients = await scene.clients(60, 1);
    return Object.keys((await clients.report()).byBackend);
  };
  const untilHealthy = (healthy: readonly boolean[]): Promise<unknown> =>
    box.untilStatus(
      `health ${healthy}`,
      ({ backends }) => `${backends.map((backend) => backend.health?.healthy)}` === `${healthy}`,
    );
  await untilHealthy([true, true, true]);
  assert.deepEqual(await backendsOf(), ["1", "2"]);
  await host.stop("IPv4", 1);
  await untilHealthy([false, true, true]);
  assert.deepEqual(await backendsOf(), ["2"], "one of two is not less than half");
  await host.stop("IPv4", 2);
  await untilHealthy([false, false, true]);
  assert.deepEqual(await backendsOf(), ["3"]);
  await host.stop("IPv4", 3);
  await untilHealthy([false, false, false]);
  const before = fatesOf(await settled(box), "web");
  await using lost = await Clients.start(scene.network, {
    address: FAMILIES.IPv4.service,
    port: PORT,
    clients: 60,
    requests: 1,
    timeoutMs: 300,
  });
  await lost.report();
  const after = fatesOf(await settled(box), "web");
  assert.equal(after.forwarded! - before.forwarded!, 60, "none is healthy, so all are used");
  await host.serve("IPv4", 1);
  await untilHealthy([true, false, false]);
  assert.deepEqual(await backendsOf(), ["1"]);
});

Deno.test("slow_start: a backend that comes gets few new sessions at first, and its share when the time is over", async () => {
  // Backends that a rule begins with have their whole share.
  await using scene = await setScene("IPv4", ruleOf("IPv4", { 1: "" }, ", slow_start: 1h"));
  const shareOfSecond = async (): Promise<number> => {
    await using clients = await scene.clients(200, 1);
    return ((await clients.report()).byBackend[2] ?? 0) / 200;
  };
  assert.equal(await shareOfSecond(), 0);
  await scene.put(ruleOf("IPv4", { 1: "", 2: "" }, ", slow_start: 1h"));
  assert.ok(await shareOfSecond() < 0.25, "an hour is not over");
  // It comes anew for the rule.
  await scene.put(ruleOf("IPv4", { 1: "" }, ", slow_start: 1s, drain_timeout: 0, idle_timeout: 1"));
  await scene.box.untilStatus("it to be forgotten", ({ backends }) => backends.length === 1);
  await scene.put(ruleOf("IPv4", { 1: "", 2: "" }, ", slow_start: 1s"));
  await until("its share", async () => await shareOfSecond() > 0.35);
});
