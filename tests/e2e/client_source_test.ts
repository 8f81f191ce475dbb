/** Backends that see the clients' own addresses, and answer by the box as their gateway. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { RuleStatus } from "../../src/observe/snapshot.ts";
import { buildFrame, type FrameOptions } from "../../src/traffic/frames.ts";
import { INTERFACES, IPV4, IPV6, MACS, type TestNetwork } from "../support/netns.ts";
import { answersOf, fatesOf, passedFor, ruleOf, settled, strayAnswers } from "./support/accounts.ts";
import type { Appliance, Status } from "./support/appliance.ts";
import {
  BACKEND_PORT,
  backendAddress,
  type BackendHost,
  backendName,
  BOTH,
  Clients,
  FAMILIES,
  type Family,
  FAR,
  forwardConfig,
} from "./support/backends.ts";
import { runHere } from "./support/command.ts";
import { askOnce } from "./support/echo.ts";
import { addManyAddresses, askWho } from "./support/many_clients.ts";
import { Program } from "./support/programs.ts";
import { sendFrames } from "./support/raw_frames.ts";
import { startScene } from "./support/scene.ts";
import { upgrade } from "./support/upgrade.ts";
import { until } from "./support/wait.ts";

const READER = join(import.meta.dirname!, "../../config/examples/client_address.py");
const PORT = 7001;
const CLIENTS = 1000;
const TURNS = 3;
const NUMBERS = [1, 2];
/** A backend's address where nobody listens. */
const SILENT = 3;
const QUEUES = 4;
const CLIENT = { IPv4: IPV4.client, IPv6: IPV6.client } as const;
const KEEPS = { source: "client" };

/** A rule that forwards to backends of both families. */
function rule(name: string, more: Readonly<Record<string, unknown>>, numbers: readonly number[] = NUMBERS): string {
  const to = BOTH.flatMap((family) => numbers.map((number) => backendName(family, number)));
  const ports = more.ports ?? PORT;
  return JSON.stringify({ name, ports, worker: "hash", action: { forward: { to, ...more, ports: undefined } } });
}

/** Backends that have the box as their gateway. */
class Scene implements AsyncDisposable {
  private constructor(
    readonly network: TestNetwork,
    readonly host: BackendHost,
    readonly box: Appliance,
    private readonly parts: AsyncDisposable,
  ) {}

  static async create(rules: readonly string[], { readers = false } = {}): Promise<Scene> {
    await using stack = new AsyncDisposableStack();
    const config = (socket: string): string => forwardConfig(socket, rules);
    const scene = await startScene(config, { families: BOTH, serving: readers ? [] : NUMBERS, queues: QUEUES });
    const { network, host, box } = stack.use(scene);
    for (const family of BOTH) {
      await host.exec(["ip", "route", "add", "default", "via", FAMILIES[family].net(2)]);
      for (const number of readers ? NUMBERS : []) {
        // It answers with the address and port that it sees.
        const argv = ["/usr/bin/python3", READER, backendAddress(family, number), `${BACKEND_PORT}`];
        stack.use(await Program.start(host.name, argv, "ready\n"));
      }
    }
    if (readers) await addManyAddresses(network);
    return new Scene(network, host, box, stack.move());
  }

  clients(family: Family, more: { requests?: number; clients?: number } = {}): Promise<Clients> {
    return Clients.start(this.network, { address: FAMILIES[family].service, port: PORT, clients: 200, ...more });
  }

  async put(...rules: readonly string[]): Promise<void> {
    const { code, body } = await this.box.put(forwardConfig(this.box.socket, rules));
    assert.equal(code, 200, body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.parts[Symbol.asyncDispose]();
  }
}

/** Packets by worker that had a fate. */
function byWorker(workers: RuleStatus["workers"], fate: string): number[] {
  return workers.map(({ fates }) => fates[fate]?.packets ?? 0);
}

Deno.test("a thousand clients of each IP version are seen as they are, also where their ports are listed", async () => {
  const listed = [
    '{ name: own, ports: "20000-20049", action: echo }',
    '{ name: any, ports: "20050-20079", addresses: any, action: drop }',
    '{ name: any-too, ports: "20080-20089", addresses: any, worker: 1 }',
  ];
  await using scene = await Scene.create([rule("web", KEEPS), ...listed], { readers: true });
  for (const family of BOTH) {
    const options = { address: FAMILIES[family].service, port: PORT, clients: CLIENTS, turns: TURNS };
    assert.deepEqual(await askWho(scene.network, family, options), { right: CLIENTS * TURNS, wrong: [] });
  }
  const status = await settled(scene.box);
  const all = 2 * CLIENTS * TURNS;
  assert.deepEqual(fatesOf(status, "web"), { forwarded: all });
  assert.deepEqual(answersOf(status, "web"), { returned: all });
  for (const name of ["own", "any", "any-too"]) assert.deepEqual(fatesOf(status, name), {}, name);
  const { workers, answers } = ruleOf(status, "web");
  const [there, back] = [byWorker(workers, "forwarded"), byWorker(answers, "returned")];
  assert.deepEqual(back, there, "each answer came to the worker that has its session");
  assert.ok(there.every((packets) => packets > all / 10), `both workers had sessions: ${there}`);
  // veth spreads flows over its queues.
  const queues = answers[0]!.received.map((_, place) => answers.map(({ received }) => received[place]!.packets));
  const used = queues.filter((packets) => packets.some((number) => number > 0));
  assert.ok(used.length >= 2, `answers came on several queues: ${JSON.stringify(queues)}`);
});

for (const family of BOTH) {
  Deno.test(`reloads between source box and client lose nothing: ${family}`, async () => {
    await using scene = await Scene.create([rule("web", {})]);
    await using clients = await scene.clients(family);
    await clients.ready();
    const forwarded = async (): Promise<number> => fatesOf(await scene.box.status(), "web").forwarded ?? 0;
    for (let change = 0; change < 8; change++) {
      const before = await forwarded();
      await until("packets to be forwarded", async () => await forwarded() > before + 1000);
      await scene.put(rule("web", change % 2 === 0 ? KEEPS : {}));
    }
    const { sent, lost, wrong, moved } = await clients.stop();
    assert.deepEqual([lost, wrong, moved], [0, 0, 0]);
    assert.deepEqual(fatesOf(await settled(scene.box), "web"), { forwarded: sent });
  });

  Deno.test(`a backend that fails loses its clients to another, and gets them back: ${family}`, async () => {
    const health = { check: "udp", send: "x", interval: 0.1, timeout: 0.1, fall: 2 };
    await using scene = await Scene.create([rule("web", { ...KEEPS, health })]);
    const byBackend = async (): Promise<unknown> => {
      await using clients = await scene.clients(family, { requests: 20 });
      const { lost, wrong, byBackend } = await clients.report();
      assert.deepEqual([lost, wrong], [0, 0]);
      return Object.keys(byBackend);
    };
    assert.deepEqual(await byBackend(), ["1", "2"]);
    await scene.host.stop(family, 1);
    const isHealthy = ({ backends }: Status): boolean =>
      backends.find(({ name }) => name === backendName(family, 1))!.health!.healthy;
    await scene.box.untilStatus("the failure", (status) => !isHealthy(status));
    assert.deepEqual(await byBackend(), ["2"]);
    await scene.host.serve(family, 1);
    await scene.box.untilStatus("its return", isHealthy);
    assert.deepEqual(await byBackend(), ["1", "2"]);
  });
}

Deno.test("a client is told that its port is closed at the backend", async () => {
  await using scene = await Scene.create([rule("web", KEEPS, [SILENT])]);
  for (const family of BOTH) {
    const told = await askOnce(scene.network.names.client, FAMILIES[family].service, PORT);
    assert.equal(told, "ConnectionRefusedError", family);
  }
  assert.deepEqual(answersOf(await settled(scene.box), "web"), { error_returned: 2 });
});

/** Prints from whom each datagram comes. */
const LISTEN = `
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True: print(server.recvfrom(100)[1][:2], flush=True)
`;
const SEND = `
import socket, sys
sender = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
sender.bind((sys.argv[1], int(sys.argv[2])))
sender.sendto(b"a report", (sys.argv[3], int(sys.argv[4])))
`;
const MASTER_PORT = 27011;

Deno.test("what a backend sends of its own accord passes to the kernel stack; who sends in its name is not heard", async () => {
  await using scene = await Scene.create([rule("web", KEEPS, [1])]);
  const { network, host, box } = scene;
  await network.exec("steer", ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
  for (const family of BOTH) {
    const net = `${FAMILIES[family].net(0)}/${FAMILIES[family].prefix}`;
    await network.exec("client", ["ip", "route", "add", net, "via", FAMILIES[family].service]);
    await using clients = await scene.clients(family, { clients: 50, requests: 1 });
    const { lost } = await clients.report();
    assert.equal(lost, 0);
  }
  await scene.put(rule("web", KEEPS, [1, SILENT]));
  for (const family of BOTH) {
    const backend = backendAddress(family, SILENT);
    const [address, port] = [CLIENT[family], `${MASTER_PORT}`];
    const listen = ["/usr/bin/python3", "-c", LISTEN, address, port];
    await using listener = await Program.start(network.names.client, listen, "ready\n");
    await host.exec(["/usr/bin/python3", "-c", SEND, backend, `${BACKEND_PORT}`, address, port]);
    await until("the report", () => listener.output.includes(`('${backend}', ${BACKEND_PORT})`));
  }
  // A session, and answers to it from the clients' side, in the name of both backends.
  const before = fatesOf(await settled(box), "web").forwarded!;
  const victim = { mac: MACS.client, address: CLIENT.IPv4, port: 33_333 };
  const send = async (...ends: readonly Pick<FrameOptions, "source" | "destination">[]): Promise<void> => {
    const frames = ends.map((each) => buildFrame({ ...each, payload: new Uint8Array(10) }).bytes);
    await sendFrames(network.names.client, INTERFACES.client, frames);
  };
  await send({ source: victim, destination: { mac: MACS.steer, address: FAMILIES.IPv4.service, port: PORT } });
  await box.untilStatus("a session", (status) => fatesOf(status, "web").forwarded! > before);
  await send(...[1, SILENT].map((number) => ({
    source: { mac: MACS.client, address: backendAddress("IPv4", number), port: BACKEND_PORT },
    destination: { ...victim, mac: MACS.steer },
  })));
  const status = await box.untilStatus("the forged answer", (status) => {
    return (strayAnswers(status).wrong_interface ?? 0) > 0;
  });
  const { wrong_interface: forged } = strayAnswers(status);
  assert.equal(forged, 1, "the other backend has no session with this client");
  assert.ok(passedFor(status, "unlisted_port") >= 3, "two reports, and a forged answer of no session");
});

Deno.test("a client that is the backends' neighbour is answered by the box where they send to it by the box", async () => {
  await using scene = await Scene.create([rule("web", KEEPS)]);
  const { host, box } = scene;
  const neighbour = { IPv4: "10.12.0.40", IPv6: "fd12::40" } as const;
  const name = `${host.name}-n`;
  const inside = (...argv: string[]): Promise<string> => runHere("ip", "netns", "exec", name, ...argv);
  await host.exec(["ip", "link", "add", "near0", "link", FAR, "type", "macvlan", "mode", "bridge"]);
  await runHere("ip", "netns", "add", name);
  try {
    await host.exec(["ip", "link", "set", "near0", "netns", name]);
    await inside("ip", "link", "set", "near0", "up");
    for (const family of BOTH) {
      const nodad = family === "IPv6" ? ["nodad"] : [];
      await inside("ip", "address", "add", `${neighbour[family]}/${FAMILIES[family].prefix}`, "dev", "near0", ...nodad);
      await host.exec(["ip", "route", "add", neighbour[family], "via", FAMILIES[family].net(2)]);
      assert.equal(await askOnce(name, FAMILIES[family].net(2), PORT), "answered", family);
    }
  } finally {
    await runHere("ip", "netns", "delete", name);
  }
  assert.deepEqual(answersOf(await settled(box), "web"), { returned: 2 });
});

Deno.test("a range of ports at a backend: each client is seen as it is on each of them", async () => {
  const to = BOTH.map((family) => backendName(family, 1).replace(/\d+$/, "7100-7101"));
  const range = JSON.stringify({ name: "range", ports: "7200-7201", action: { forward: { to, ...KEEPS } } });
  await using scene = await Scene.create([range], { readers: true });
  for (const family of BOTH) {
    const argv = ["/usr/bin/python3", READER, backendAddress(family, 1), "7101"];
    await using _reader = await Program.start(scene.host.name, argv, "ready\n");
    const options = { address: FAMILIES[family].service, port: 7201, clients: 100, turns: 2 };
    assert.deepEqual(await askWho(scene.network, family, options), { right: 200, wrong: [] });
  }
  assert.deepEqual(answersOf(await settled(scene.box), "range"), { returned: 400 });
});

/** Answers each datagram, and goes on answering ten times a second. */
const PUSH = `
import socket, sys, threading, time
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
def push(client):
    number = 0
    while True:
        server.sendto(b"%d" % number, client)
        number += 1
        time.sleep(0.1)
print("ready", flush=True)
while True: threading.Thread(target=push, args=(server.recvfrom(100)[1],), daemon=True).start()
`;
/** Asks once, and prints the numbers that come. */
const HEAR = `
import socket, sys
client = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
client.connect((sys.argv[1], int(sys.argv[2])))
client.send(b"hello")
while True: print(client.recv(100).decode(), flush=True)
`;

Deno.test("a client that only listens hears its backend through upgrades: nothing is lost", async () => {
  await using scene = await Scene.create([rule("web", KEEPS, [SILENT])]);
  const { network, host, box } = scene;
  await using programs = new AsyncDisposableStack();
  const listeners: Program[] = [];
  for (const family of BOTH) {
    const python = (...argv: string[]): string[] => ["/usr/bin/python3", "-c", ...argv];
    const push = python(PUSH, backendAddress(family, SILENT), `${BACKEND_PORT}`);
    programs.use(await Program.start(host.name, push, "ready\n"));
    const hear = python(HEAR, FAMILIES[family].service, `${PORT}`);
    listeners.push(programs.use(await Program.start(network.names.client, hear, "0\n")));
  }
  const heard = ({ output }: Program): number[] => output.split("\n").slice(0, -1).map(Number);
  for (let round = 0; round < 2; round++) {
    await upgrade(network, box);
    for (const listener of listeners) {
      const before = heard(listener).length;
      await until("more", () => heard(listener).length > before + 5);
    }
  }
  for (const listener of listeners) {
    const numbers = heard(listener);
    assert.deepEqual(numbers, numbers.map((_, index) => index));
  }
  assert.equal(passedFor(await box.status(), "unlisted_port"), 0);
});
