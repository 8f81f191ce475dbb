import assert from "node:assert/strict";
import { buildFrame } from "../../src/traffic/frames.ts";
import { buildIcmpError, ICMP_ERROR, ipPacketOf } from "../../src/traffic/icmp_frames.ts";
import { INTERFACES, IPV4, IPV6, MACS, TestNetwork } from "../support/netns.ts";
import { answersOf, fatesOf, passedFor, settled, strayAnswers } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { BACK, BACKEND_PORT, backendAddress, BackendHost, BOTH, type Family } from "./support/backends.ts";
import { Beyond } from "./support/beyond.ts";
import { defaultConfig } from "./support/defaults.ts";
import { askOnce } from "./support/echo.ts";
import { Program } from "./support/programs.ts";
import { sendFrames } from "./support/raw_frames.ts";
import { until } from "./support/wait.ts";

const CLIENT = { IPv4: IPV4.client, IPv6: IPV6.client } as const;
const SERVICE = { IPv4: IPV4.steer, IPv6: IPV6.steer } as const;
/** Of the narrow links: no IPv6 link may have less. */
const MTU = 1280;
const HEADERS = { IPv4: 28, IPv6: 48 } as const;
const OPEN_PORT = 8080;
/** Of a backend where nobody listens. */
const CLOSED_PORT = 8081;
/** Of a backend beyond a narrow link, where nobody listens on any of 50 ports more. */
const FAR_PORTS = { open: 8082, traced: 8100 } as const;
const FLOOD = 1000;

/** Numbers of Linux that Python's socket module lacks. "do": no packet is fragmented, not by the sender either. */
const SOCKETS = `
import json, os, socket, sys, time
def opened(address):
    six = ":" in address
    made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    made.setsockopt(level, 23 if six else 10, 2)
    return made, lambda: made.getsockopt(level, 24 if six else 14)
`;

/** Answers with what it gets; with as many bytes as may be sent where it is asked for many. */
const BACKEND = `${SOCKETS}
server, _ = opened(sys.argv[1])
server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(65535)
    for size in [1400, 1300, 1200] if data[:4] == b"many" else [0]:
        try:
            server.sendto(b"x" * size if size else data, peer)
            break
        except OSError as error:
            if error.errno != 90: raise # EMSGSIZE: what the path does not carry
`;

/** Sends until it is refused. Prints how it ended. */
/**
 * Sends 100 datagrams as large as the path is known to carry, one after the other. Prints the path's MTU in the end.
 */
const TRANSFER = `${SOCKETS}
client, mtu = opened(sys.argv[1])
client.settimeout(1)
client.connect((sys.argv[1], int(sys.argv[2])))
headers, size, left = int(sys.argv[3]), 1400, 100
deadline = time.monotonic() + 120
while left > 0 and time.monotonic() < deadline:
    data = left.to_bytes(4, "big") + os.urandom(size - 4)
    try:
        client.send(data)
        while client.recv(65535) != data: pass
        left -= 1
    except TimeoutError: pass
    except OSError as error:
        if error.errno != 90: raise
        size = min(size, mtu() - headers)
print(json.dumps([left, mtu()]))
`;

/** Asks for many bytes until there is an answer. Prints how many came, and how often it had to ask. */
const ASK_FOR_MANY = `${SOCKETS}
client, _ = opened(sys.argv[1])
client.settimeout(1)
client.connect((sys.argv[1], int(sys.argv[2])))
for asked in range(1, 100):
    client.send(b"many")
    try:
        print(json.dumps([len(client.recv(65535)), asked]))
        break
    except TimeoutError: pass
`;

async function run(namespace: string, script: string, ...args: readonly (string | number)[]): Promise<string> {
  await using program = Program.run(namespace, ["/usr/bin/python3", "-c", script, ...args.map(String)]);
  return (await program.result()).trim();
}

/** Errors about an answer to a client's port, as a router on the client's way would send them. */
function errorAboutAnswer(family: Family, service: number, client: number): Uint8Array {
  const from = { mac: MACS.steer, address: SERVICE[family], port: service };
  const to = { mac: MACS.client, address: CLIENT[family], port: client };
  const [type, code] = ICMP_ERROR.portUnreachable[family];
  const quoted = ipPacketOf(buildFrame({ source: from, destination: to, payload: new Uint8Array(100) }), 60);
  return buildIcmpError({ source: to, destination: from, quoted, type, code }).bytes;
}

/** A box with defaults, a backend on its own network, and another one beyond a narrow link. */
class Scene implements AsyncDisposable {
  private constructor(
    readonly family: Family,
    readonly network: TestNetwork,
    readonly box: Appliance,
    /** Clients beyond a narrow link. */
    readonly outer: Beyond,
    private readonly parts: AsyncDisposableStack,
  ) {}

  static async set(family: Family): Promise<Scene> {
    await using parts = new AsyncDisposableStack();
    const network = parts.use(await TestNetwork.create());
    const host = parts.use(await BackendHost.create(network));
    const far = parts.use(await Beyond.create({ router: host.name, name: "far", number: 15, mtu: MTU }));
    const outer = parts.use(await Beyond.create({ router: network.names.client, name: "outer", number: 16, mtu: MTU }));
    const { host: farHost, net: farNet } = far.addresses[family];
    // A kernel tells one host of a port that nobody has once a second: traceroute comes right after tracepath.
    const unlimited = ["sysctl", "-q", "-w", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"];
    for (const namespace of [host.name, far.namespace]) {
      await using program = Program.run(namespace, unlimited);
      await program.result();
    }
    await network.exec("steer", ["ip", "route", "add", farNet, "via", backendAddress(family, 3)]);
    await network.exec("steer", ["ip", "route", "add", outer.addresses[family].net, "via", CLIENT[family]]);
    for (const [namespace, address] of [[host.name, backendAddress(family, 1)], [far.namespace, farHost]] as const) {
      const argv = ["/usr/bin/python3", "-c", BACKEND, address, `${BACKEND_PORT}`];
      parts.use(await Program.start(namespace, argv, "ready\n"));
    }
    const to = (address: string, port: number): string =>
      `{ forward: { to: ["${family === "IPv6" ? `[${address}]` : address}:${port}"] } }`;
    const rules = [
      `{ name: open, ports: ${OPEN_PORT}, action: ${to(backendAddress(family, 1), BACKEND_PORT)} }`,
      `{ name: closed, ports: ${CLOSED_PORT}, action: ${to(backendAddress(family, 2), BACKEND_PORT)} }`,
      `{ name: far, ports: ${FAR_PORTS.open}, action: ${to(farHost, BACKEND_PORT)} }`,
      `{ name: traced, ports: "${FAR_PORTS.traced}-${FAR_PORTS.traced + 50}", action: ${to(farHost, 9)} }`,
    ];
    const interfaces = [`{ name: ${INTERFACES.steer} }`, `{ name: ${BACK} }`];
    const box = parts.use(await startAppliance(network, (socket) => defaultConfig(socket, interfaces, rules)));
    return new Scene(family, network, box, outer, parts.move());
  }

  client(script: string, ...args: readonly (string | number)[]): Promise<string> {
    return run(this.network.names.client, script, SERVICE[this.family], ...args);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.parts.disposeAsync();
  }
}

for (const family of BOTH) {
  Deno.test(`ICMP errors reach those whom they concern, through the box: ${family}`, async (test) => {
    await using scene = await Scene.set(family);
    const { box, network } = scene;

    await test.step("a port that is closed at the backend refuses the client", async () => {
      assert.equal(await askOnce(network.names.client, SERVICE[family], CLOSED_PORT), "ConnectionRefusedError");
      const status = await settled(box);
      assert.deepEqual(fatesOf(status, "closed"), { forwarded: 1 });
      assert.equal(answersOf(status, "closed").error_returned, 1);
    });

    await test.step("a client learns how much the way to a backend carries, and all its data arrives", async () => {
      const [left, mtu] = JSON.parse(await scene.client(TRANSFER, FAR_PORTS.open, HEADERS[family]));
      assert.deepEqual([left, mtu], [0, MTU]);
      const status = await settled(box);
      assert.ok(answersOf(status, "far").error_returned! >= 1);
      assert.ok(answersOf(status, "far").returned! >= 100);
    });

    await test.step("a backend learns how much the way to a client carries", async () => {
      const [bytes, asked] = JSON.parse(await run(scene.outer.namespace, ASK_FOR_MANY, SERVICE[family], OPEN_PORT));
      assert.equal(bytes, 1200);
      assert.ok(asked >= 2, "the first answer is too big");
      assert.ok(fatesOf(await settled(box), "open").error_forwarded! >= 1);
    });

    await test.step("tracepath sees the box, the router behind it and the backend, and the narrow link", async () => {
      const argv = ["tracepath", "-n", "-m", "8", "-p", `${FAR_PORTS.traced}`, SERVICE[family]];
      await using program = Program.run(network.names.client, argv);
      const output = await program.result();
      assert.match(output, new RegExp(`pmtu ${MTU}\\n`), output);
      assert.match(output, /Resume: pmtu 1280 hops 3 back \d+/, output);
    });

    await test.step("traceroute to a listed port sees the box, the router behind it and the backend", async () => {
      const before = await settled(box);
      const argv = ["traceroute", "-n", "-U", "-q", "1", "-w", "30", "-m", "8", "-p", `${FAR_PORTS.traced}`];
      await using program = Program.run(network.names.client, [...argv, SERVICE[family]]);
      const hops = (await program.result()).trim().split("\n").slice(1);
      assert.deepEqual(hops.map((line) => line.trim().split(/\s+/).slice(0, 2)), [
        ["1", SERVICE[family]],
        ["2", SERVICE[family]],
        ["3", SERVICE[family]],
      ]);
      const status = await settled(box);
      const more = (name: string): number => fatesOf(status, "traced")[name]! - (fatesOf(before, "traced")[name] ?? 0);
      assert.ok(more("hops_exceeded") >= 1, "the first is told by the box itself");
      assert.ok(more("forwarded") >= 2);
    });

    await test.step("what an outsider forges changes nothing", async () => {
      const before = await settled(box);
      const { bytes } = buildFrame({
        source: { mac: MACS.client, address: CLIENT[family], port: 40_000 },
        destination: { mac: MACS.steer, address: SERVICE[family], port: OPEN_PORT },
        payload: new TextEncoder().encode("begins a session"),
      });
      await sendFrames(network.names.client, INTERFACES.client, [bytes]);
      const forged = [
        errorAboutAnswer(family, OPEN_PORT, 40_001), // no such client
        errorAboutAnswer(family, CLOSED_PORT, 40_000), // not with this rule
        errorAboutAnswer(family, 61_500, BACKEND_PORT), // as if about a packet to a backend
        errorAboutAnswer(family, 12_345, 40_000), // a port of the kernel stack's
      ];
      await sendFrames(network.names.client, INTERFACES.client, forged, 40);
      const status = await until("all of them", async () => {
        const now = await settled(box);
        return (strayAnswers(now).error_unmatched ?? 0) === 10 && now;
      });
      assert.equal(fatesOf(status, "open").error_unmatched, 10);
      assert.equal(fatesOf(status, "closed").error_unmatched, 10);
      assert.ok(passedFor(status, "not_udp") >= passedFor(before, "not_udp") + 10);
      // The backend's answer to the first is refused by the client's kernel: that one is no forgery.
      assert.ok(fatesOf(status, "open").error_forwarded! <= fatesOf(before, "open").error_forwarded! + 1);
    });

    await test.step("a flood of errors is sent on at a bounded rate, and each one is counted", async () => {
      const before = fatesOf(await settled(box), "open");
      const frame = errorAboutAnswer(family, OPEN_PORT, 40_000);
      const start = performance.now();
      await sendFrames(network.names.client, INTERFACES.client, [frame], FLOOD);
      const status = await settled(box);
      const seconds = (performance.now() - start) / 1000;
      const { error_forwarded: sent = 0, error_limited: limited = 0 } = fatesOf(status, "open");
      const sentOn = sent - before.error_forwarded!;
      assert.equal(sentOn + limited + status.totals.socketDrops, FLOOD);
      assert.ok(sentOn > 0 && sentOn <= 10 * (seconds + 2), `${sentOn} in ${seconds} s`);
    });
  });
}
