import assert from "node:assert/strict";
import { IPV4, IPV6, MACS, type Side, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";

/** What a namespace's UDP receivers made of what came in. */
interface UdpCounters {
  /** Datagrams without fault for which nobody listens. */
  readonly noPorts: number;
  readonly checksumErrors: number;
  /** Datagrams that a socket got. */
  readonly received: number;
}

async function readCounters(network: TestNetwork, family: "ipv4" | "ipv6"): Promise<UdpCounters> {
  if (family === "ipv6") {
    const words = (await network.exec("steer", ["cat", "/proc/net/snmp6"])).split("\n").map((line) =>
      line.split(/\s+/)
    );
    const counters = Object.fromEntries(words.map(([name, value]) => [name, Number(value)]));
    return {
      noPorts: counters["Udp6NoPorts"]!,
      checksumErrors: counters["Udp6InCsumErrors"]!,
      received: counters["Udp6InDatagrams"]!,
    };
  }
  const [names, values] = (await network.exec("steer", ["grep", "^Udp:", "/proc/net/snmp"])).split("\n");
  const number = (name: string): number => Number(values!.split(" ")[names!.split(" ").indexOf(name)]);
  return { noPorts: number("NoPorts"), checksumErrors: number("InCsumErrors"), received: number("InDatagrams") };
}

/** A network whose steer end takes live frames: GRO makes a veth poll its ring without an XDP program. */
async function liveNetwork(): Promise<TestNetwork> {
  const network = await TestNetwork.create();
  await network.exec("steer", ["ethtool", "-K", network.interfaces.steer, "gro", "on"]);
  return network;
}

Deno.test("TestNetwork.create() makes a pair that answers at once, and leaves nothing behind", async () => {
  const list = async (): Promise<string> =>
    new TextDecoder().decode((await new Deno.Command("ip", { args: ["netns", "list"] }).output()).stdout);
  const network = await TestNetwork.create({ queues: 4, mtu: 3000 });
  const child = network.spawn("steer", ["sleep", "60"]);
  for (const address of [IPV4.steer, IPV6.steer]) await network.exec("client", ["ping", "-c1", "-W20", address]);
  for (const side of ["client", "steer"] satisfies Side[]) {
    const link = await network.exec(side, ["ip", "-d", "link", "show", network.interfaces[side]]);
    assert.match(link, /mtu 3000 .*numtxqueues 4 numrxqueues 4/s);
  }
  await assert.rejects(network.exec("client", ["ip", "link", "show", "nothing0"]), /"nothing0" does not exist/);
  await network[Symbol.asyncDispose]();
  await network[Symbol.asyncDispose]();
  await child.output();
  for (const name of Object.values(network.names)) assert.ok(!(await list()).includes(name));
});

for (const family of ["ipv4", "ipv6"] as const) {
  Deno.test(`LiveFrames.send() sends ${family} datagrams without fault and counts them`, async () => {
    await using network = await liveNetwork();
    const count = 60_000;
    const traffic = { ports: [7777, 9090, 9091], flows: 20_001, checksum: true, ipv6: family === "ipv6", count };
    const report = await runTraffic(network, "live", { ...traffic, payloadBytes: 101 });
    assert.equal(report.sent, count);
    assert.deepEqual(report.sentPerPort, { 7777: count / 3, 9090: count / 3, 9091: count / 3 });
    assert.deepEqual(await readCounters(network, family), { noPorts: count, checksumErrors: 0, received: 0 });
  });
}

Deno.test("LiveFrames.send() moves on to the next source address when ports run out", async () => {
  await using network = await liveNetwork();
  const count = 40_000;
  const source = { mac: MACS.client, address: "10.11.0.10" };
  await runTraffic(network, "live", { ports: [7777], flows: count, checksum: true, count, source });
  assert.deepEqual(await readCounters(network, "ipv4"), { noPorts: count, checksumErrors: 0, received: 0 });
});

Deno.test("LiveFrames.send() reaches the receiver's queues by CPU", async () => {
  await using network = await liveNetwork();
  await runTraffic(network, "live", { ports: [7777], cpus: [0, 1], count: 1 << 19 });
  const statistics = await network.exec("steer", ["ethtool", "-S", network.interfaces.steer]);
  const packets = [...statistics.matchAll(/rx_queue_\d_xdp_packets: (\d+)/g)].map(([, digits]) => Number(digits));
  // A few of the kernel's own packets may be among them.
  assert.ok(packets.length === 2 && packets.every((count) => count >= 1 << 18 && count < (1 << 18) + 16), `${packets}`);
});

Deno.test("LiveFrames.send() keeps to a rate, and stops when told to", async () => {
  await using network = await liveNetwork();
  const ratePps = 50_000;
  const { sent, elapsedMs } = await runTraffic(network, "live", { ports: [7777], ratePps, count: 25_000 });
  assert.equal(sent, 25_000);
  assert.ok(elapsedMs > 490, `${sent} frames in ${elapsedMs} ms`);
  const stop = new AbortController();
  const traffic = { ports: [7777], ratePps, count: 10_000_000 };
  const running = runTraffic(network, "live", traffic, { signal: stop.signal });
  while ((await readCounters(network, "ipv4")).noPorts === sent) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  stop.abort();
  const stopped = await running;
  assert.ok(stopped.sent > 0 && stopped.sent < traffic.count);
  assert.equal((await readCounters(network, "ipv4")).noPorts, sent + stopped.sent);
});

for (const [segments, address] of [[1, IPV4.steer], [64, IPV4.steer], [7, IPV6.steer]] as const) {
  Deno.test(`sendFlows() counts exactly what it sends to ${address}, ${segments} datagrams a message`, async () => {
    await using network = await TestNetwork.create();
    // Else a veth without an XDP program at its other end hands a message on uncut, and it is counted as one.
    await network.exec("client", ["ethtool", "-K", network.interfaces.client, "tx-udp-segmentation", "off"]);
    const flows = 5;
    const packetsPerFlow = 2_003;
    const ports = [7777, 9090, 9091];
    const report = await runTraffic(network, "udp", { address, ports, flows, packetsPerFlow, segments });
    assert.equal(report.sent, flows * packetsPerFlow);
    assert.equal(Object.values(report.sentPerPort).reduce((sum, count) => sum + count), report.sent);
    assert.ok(
      Object.values(report.sentPerPort).every((count) => Math.abs(count - report.sent / 3) <= flows * segments),
    );
    const counters = await readCounters(network, address === IPV6.steer ? "ipv6" : "ipv4");
    assert.deepEqual(counters, { noPorts: report.sent, checksumErrors: 0, received: 0 });
  });
}

Deno.test("sendFlows() does not count what a full interface queue drops", async () => {
  await using network = await TestNetwork.create();
  const shaper = ["tbf", "rate", "5mbit", "burst", "4kb", "limit", "4kb"];
  await network.exec("client", ["tc", "qdisc", "replace", "dev", network.interfaces.client, "root", ...shaper]);
  const report = await runTraffic(network, "udp", { ports: [7777], flows: 16, packetsPerFlow: 500 });
  assert.equal(report.sent, 8000);
  assert.equal((await readCounters(network, "ipv4")).noPorts, 8000);
  const statistics = await network.exec("client", ["tc", "-s", "qdisc", "show", "dev", network.interfaces.client]);
  assert.match(statistics, /dropped [1-9]/);
});

Deno.test("sendFlows() counts replies by the port they come from", async () => {
  await using network = await TestNetwork.create();
  const echo = `
    import dgram from "node:dgram";
    const sockets = [7777, 9090].map((port) => dgram.createSocket("udp4").bind(port));
    for (const socket of sockets) socket.on("message", (data, from) => socket.send(data, from.port, from.address));
    let bound = 0;
    for (const socket of sockets) socket.on("listening", () => ++bound === 2 && console.log("bound"));`;
  const server = network.spawn("steer", [Deno.execPath(), "eval", echo], { stderr: "inherit" });
  const reader = server.stdout.getReader();
  await reader.read();
  const traffic = { ports: [7777, 9090], flows: 3, packetsPerFlow: 100, ratePps: 5000, replyTimeoutMs: 30_000 };
  const report = await runTraffic(network, "udp", traffic);
  assert.deepEqual(report.repliesPerPort, { 7777: 150, 9090: 150 });
  assert.equal(report.replies, 300);
  server.kill("SIGKILL");
  await reader.cancel();
  await server.status;
});
