/** Backends with many ports, as of RTP and of games: packets keep theirs, or a range becomes a range. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { answersOf, fatesOf, settled, strayAnswers } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { backendAddress, BackendHost, BOTH, FAMILIES, type Family, forwardConfig } from "./support/backends.ts";
import { askOnce } from "./support/echo.ts";
import { Program } from "./support/programs.ts";
import { addDirectWay, DIRECT_SERVICE } from "./support/ways.ts";

const PYTHON = "/usr/bin/python3";
const PORTS = 10_000;
const FIRST = 10_000;
/** Where the backend's range begins. */
const BEHIND = 20_000;
/** Room for as many sessions with one backend, and below the ports that the kernel gives programs of the box. */
const TRANSLATION = "forwarding: { ports: 20200-32699 }";
const KEPT = [5060, 7000, 7099] as const;
const CLOSED = 7050;

/** Answers on each of its ports with the number of it, and the port that it was asked from. */
const SERVER = `
import json, resource, select, socket, sys
ends = json.loads(sys.argv[1])
need = sum(last - first + 1 for _, first, last in ends) + 64
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (need, max(need, hard)))
poll, sockets = select.epoll(), {}
for address, first, last in ends:
    for port in range(first, last + 1):
        server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((address, port))
        sockets[server.fileno()] = (server, port)
        poll.register(server, select.EPOLLIN)
print("ready", flush=True)
while True:
    for fileno, _ in poll.poll():
        server, port = sockets[fileno]
        data, peer = server.recvfrom(2048)
        server.sendto(f"{port} {peer[1]} ".encode() + data, peer)
`;

/** Asks each port from one socket, some at a time, again until all are answered. Prints what was answered, by port. */
const CLIENT = `
import json, select, socket, sys, time
address, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("", 40000))
client.settimeout(0.5)
answered, strange, asked = {}, [], 0
deadline = time.monotonic() + 120
for start in range(first, last + 1, 50):
    left = set(range(start, min(start + 50, last + 1)))
    while left and time.monotonic() < deadline:
        for port in left: client.sendto(str(port).encode(), (address, port))
        asked += len(left)
        while left:
            try: data, peer = client.recvfrom(2048)
            except socket.timeout: break
            behind, seen, port = data.decode().split()
            if peer[1] != int(port): strange.append([peer[1], port])
            answered[port] = [int(behind), int(seen)]
            left.discard(int(port))
print(json.dumps({"answered": answered, "strange": strange, "asked": asked}))
`;

interface Report {
  readonly answered: Readonly<Record<string, readonly [behind: number, seen: number]>>;
  readonly strange: readonly unknown[];
  readonly asked: number;
}

async function ask(network: TestNetwork, address: string, first: number, last = first): Promise<Report> {
  await using client = Program.run(network.names.client, [PYTHON, "-c", CLIENT, address, `${first}`, `${last}`]);
  return JSON.parse(await client.result());
}

function serve(host: BackendHost, ends: readonly (readonly [string, number, number])[]): Promise<Program> {
  return Program.start(host.name, [PYTHON, "-c", SERVER, JSON.stringify(ends)], "ready\n");
}

function hostOf(family: Family, number: number): string {
  const address = backendAddress(family, number);
  return family === "IPv6" ? `[${address}]` : address;
}

function start(network: TestNetwork, rules: readonly string[]): Promise<Appliance> {
  return startAppliance(network, (socket) => config(socket, rules), { favoured: true });
}

const config = (socket: string, rules: readonly string[]): string =>
  forwardConfig(socket, rules, { more: [TRANSLATION] });

for (const family of BOTH) {
  const service = FAMILIES[family].service;
  const rtp = (first: number): string => {
    const ports = `${first}-${first + PORTS - 1}`;
    const to = `${hostOf(family, 1)}:${BEHIND}-${BEHIND + PORTS - 1}`;
    return `{ name: rtp, ports: ${ports}, action: { forward: { to: ["${to}"] } } }`;
  };

  Deno.test(`a range of 10,000 ports becomes one behind the box, and a reload moves conversations at once: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    await using _server = await serve(host, [[backendAddress(family, 1), BEHIND, BEHIND + PORTS - 1]]);
    await using box = await start(network, [rtp(FIRST)]);
    const { answered, strange, asked } = await ask(network, service, FIRST, FIRST + PORTS - 1);
    assert.deepEqual([Object.keys(answered).length, strange], [PORTS, []]);
    for (const [port, [behind]] of Object.entries(answered)) assert.equal(behind, Number(port) - FIRST + BEHIND);
    const status = await settled(box);
    assert.equal(fatesOf(status, "rtp").forwarded, asked);
    assert.ok(answersOf(status, "rtp").returned! >= PORTS);
    assert.deepEqual(strayAnswers(status), {});
    assert.deepEqual(status.backends.map(({ name, sessions }) => [name, sessions]), [
      [`${hostOf(family, 1)}:${BEHIND}-${BEHIND + PORTS - 1}`, PORTS],
    ]);
    await box.writeConfig(config(box.socket, [rtp(FIRST + 100)]));
    await box.untilStatus("the change", ({ generation }) => generation === 2);
    const port = FIRST + 200;
    const [, seen] = answered[port]!;
    assert.deepEqual((await ask(network, service, port)).answered, { [port]: [BEHIND + 100, seen] });
  });

  Deno.test(`a backend without a port gets each packet on its own, and a closed one refuses the client: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    const address = backendAddress(family, 2);
    await using _server = await serve(host, KEPT.map((port) => [address, port, port] as const));
    const [sip, first, last] = KEPT;
    const health = `health: { check: udp, interval: 0.2 }`;
    await using box = await start(network, [
      `{ name: voice, ports: [${sip}, "${first}-${last}"], action: { forward: { to: ["${
        hostOf(family, 2)
      }"], ${health} } } }`,
    ]);
    for (const port of KEPT) {
      const { answered, strange } = await ask(network, service, port);
      assert.deepEqual([answered[port]![0], strange], [port, []]);
    }
    assert.equal(await askOnce(network.names.client, service, CLOSED), "ConnectionRefusedError");
    // It is checked on the rule's first port.
    const checked = await box.untilStatus("a check", ({ backends }) => (backends[0]!.health?.checks ?? 0) > 0);
    assert.deepEqual([checked.backends[0]!.name, checked.backends[0]!.health!.healthy], [hostOf(family, 2), true]);
    const { answered } = await ask(network, service, first);
    assert.equal(answered[first]![0], first);
  });
}

Deno.test("mode dsr: a rule's ports reach a backend without a port as they are", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await addDirectWay(network, host);
  const ports = [6000, 6001, 6099] as const;
  await using _server = await serve(
    host,
    Object.values(DIRECT_SERVICE).flatMap((address) => ports.map((port) => [address, port, port] as const)),
  );
  const to = JSON.stringify(BOTH.map((family) => hostOf(family, 1)));
  const addresses = JSON.stringify(Object.values(DIRECT_SERVICE));
  await using box = await start(network, [
    `{ name: media, ports: 6000-6099, addresses: ${addresses}, action: { forward: { to: ${to}, mode: dsr } } }`,
  ]);
  for (const family of BOTH) {
    for (const port of ports) {
      assert.equal((await ask(network, DIRECT_SERVICE[family], port)).answered[port]![0], port);
    }
  }
  assert.deepEqual(Object.keys(fatesOf(await settled(box), "media")), ["forwarded"]);
});
