import assert from "node:assert/strict";
import { INTERFACES, IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { fatesOf, passedFor, ruleOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { SteadyTraffic } from "./support/background.ts";
import { refusedFrames } from "./support/link.ts";
import { echoEach, KernelServer, python, TcpClient } from "./support/python.ts";

const TRAFFIC = { ports: [8080, 9090], flows: 200, cpus: [0, 1] };
const UNLISTED_PORT = 5353;
const TCP_PORT = 8080; // the number of a listed UDP port
const RULES = [
  "{ name: game, ports: 8080, worker: 0 }",
  "{ name: chat, ports: 9090, worker: 1 }",
];

const FAMILIES = { IPv4: IPV4.steer, IPv6: IPV6.steer } as const;

/** Everything that a box needs besides steering: whoever logs in, monitors it or routes through it uses these. */
async function assertKernelStackWorks(network: TestNetwork, connections: readonly TcpClient[]): Promise<void> {
  for (const connection of connections) await connection.exchange(20);
  for (const address of Object.values(FAMILIES)) {
    await network.exec("client", ["ip", "neighbour", "flush", "dev", INTERFACES.client]);
    await network.exec("client", ["ping", "-q", "-c", "10", "-i", "0.02", "-W", "2", address]);
    await using fresh = await TcpClient.connect(network, address, TCP_PORT);
    await fresh.exchange(1);
    assert.deepEqual(await echoEach(network, { address, port: UNLISTED_PORT, sizes: [0, 1, 100, 1400] }), []);
  }
}

for (const attach of ["native", "generic"] as const) {
  Deno.test(`TCP, ping, ARP, ND and unlisted UDP work before, under and after load: ${attach}`, async () => {
    await using network = await TestNetwork.create();
    // What makes a veth without native XDP take live frames.
    await network.exec("steer", ["ethtool", "-K", INTERFACES.steer, "gro", "on"]);
    await using _tcp = await KernelServer.start(network, "tcp", TCP_PORT);
    await using _udp = await KernelServer.start(network, "udp", UNLISTED_PORT);
    await using overIpv4 = await TcpClient.connect(network, IPV4.steer, TCP_PORT);
    await using overIpv6 = await TcpClient.connect(network, IPV6.steer, TCP_PORT);
    const connections = [overIpv4, overIpv6]; // there before xdpsteer is, and after
    await assertKernelStackWorks(network, connections);
    {
      await using box = await startAppliance(network, { rules: RULES, attach });
      await assertKernelStackWorks(network, connections);
      await using traffic = await SteadyTraffic.start(network, box, TRAFFIC);
      await assertKernelStackWorks(network, connections);
      const { sent } = await traffic.stop();
      const status = await settled(box);
      assert.equal(status.totals.verdicts.redirect + await refusedFrames(network), sent);
      await assertKernelStackWorks(network, connections);
      box.signal("SIGTERM");
      assert.equal((await box.ended()).code, 0);
    }
    await assertKernelStackWorks(network, connections);
  });
}

for (const [family, address] of Object.entries(FAMILIES)) {
  Deno.test(`a rule's first fragments are dropped, and nobody is told that its port is closed: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using box = await startAppliance(network, { rules: RULES });
    const script = `
client = socket.socket(family(options["address"]), socket.SOCK_DGRAM)
client.settimeout(1)
client.connect((options["address"], 8080))
ends = []
for _ in range(3):
    try: ends.append(client.send(bytes(3000)) and len(client.recv(65535)))
    except OSError as error: ends.append(type(error).__name__)
print(json.dumps(ends))
`;
    assert.deepEqual(await python(network, "client", script, { address }), Array(3).fill("TimeoutError"));
    const status = await settled(box);
    assert.equal(status.interfaces[0]!.verdicts.drop.fragment_dropped, 3);
    assert.equal(passedFor(status, "fragment"), 6);
  });

  Deno.test(`fragments for the port of a rule that passes them reach the kernel's socket, whole again, and are counted: ${family}`, async () => {
    await using network = await TestNetwork.create();
    await using server = await KernelServer.start(network, "udp", 8080);
    await using box = await startAppliance(network, {
      rules: ["{ name: game, ports: 8080, worker: 0, fragments: pass }"],
    });
    // Each goes in three frames, the first of which has the UDP header with the listed port.
    const sizes = Array.from({ length: 20 }, (_, index) => 3000 + 50 * index);
    assert.deepEqual(await echoEach(network, { address, port: 8080, sizes }), []);
    assert.deepEqual(server.datagrams, sizes);

    const status = await settled(box);
    assert.equal(passedFor(status, "fragment"), 3 * sizes.length);
    assert.equal(ruleOf(status, "game").redirected.packets, 0);
    assert.deepEqual(fatesOf(status, "game"), {});
    const metrics = await box.metrics();
    const labels = `interface="${INTERFACES.steer}",verdict="pass",reason="fragment"`;
    assert.equal(metrics.get(`xdpsteer_xdp_packets_total{${labels}}`), 3 * sizes.length);
  });
}

Deno.test("a rule that passes leaves its ports to the kernel's sockets, and counts", async () => {
  await using network = await TestNetwork.create();
  await using server = await KernelServer.start(network, "udp", 5000);
  await using box = await startAppliance(network, { rules: ['{ name: local, ports: "5000-5010", action: pass }'] });
  assert.deepEqual(await echoEach(network, { address: IPV4.steer, port: 5000, sizes: [1, 2, 3] }), []);
  assert.deepEqual(server.datagrams, [1, 2, 3]);
  const status = await settled(box);
  assert.equal(ruleOf(status, "local").passed.packets, 3);
  assert.equal(passedFor(status, "rule_pass"), 3);
});

/** What comes back for a datagram to each port, within so many seconds. */
const ASK_PORTS = `
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
answers = {}
for port, seconds in options["ports"]:
    client.settimeout(seconds)
    client.connect((options["address"], port))
    client.send(b"anybody there?")
    try:
        client.recv(100)
        answers[port] = "echo"
    except OSError as error:
        answers[port] = type(error).__name__
print(json.dumps(answers))
`;

Deno.test("a listed port without a server answers nothing: the kernel stack never sees its packets", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  const answers = await python(network, "client", ASK_PORTS, {
    address: IPV4.steer,
    ports: [[8080, 0.5], [UNLISTED_PORT, 20]],
  });
  assert.deepEqual(answers, { 8080: "TimeoutError", [UNLISTED_PORT]: "ConnectionRefusedError" });
  assert.deepEqual(fatesOf(await settled(box), "game"), { counted: 1 });
});

Deno.test("while it is stopped a port is closed, unless the host's firewall drops it, which never sees what is steered", async () => {
  await using network = await TestNetwork.create();
  const ask = async (seconds: number): Promise<unknown> => {
    const ports = [[8080, seconds]];
    return (await python(network, "client", ASK_PORTS, { address: IPV4.steer, ports }) as Record<string, string>)[8080];
  };
  assert.equal(await ask(20), "ConnectionRefusedError");
  // As docs/forwarding.md has it; many machines have this table.
  const chain = "{ type filter hook input priority filter; }";
  await network.exec("steer", ["nft", `add table inet filter; add chain inet filter input ${chain}`]);
  await network.exec("steer", ["nft", "add rule inet filter input udp dport { 7777, 8080, 61000-65535 } drop"]);
  assert.equal(await ask(0.5), "TimeoutError");
  {
    await using box = await startAppliance(network, {
      rules: ["{ name: game, ports: 8080, worker: 0, action: echo }"],
    });
    assert.equal(await ask(20), "echo");
    assert.deepEqual(fatesOf(await settled(box), "game"), { echoed: 1 });
  }
  assert.equal(await ask(0.5), "TimeoutError");
});
