/** Packets get to backends in tunnels, and backends answer the clients past the box. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { TestNetwork } from "../support/netns.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { BACK, BackendHost, backendName, BOTH, FAR, forwardConfig } from "./support/backends.ts";
import { echoAll, startEcho } from "./support/echo.ts";
import { learnMtu } from "./support/many_clients.ts";
import { Program } from "./support/programs.ts";
import { Sniffer } from "./support/sniffer.ts";
import { addDirectWay, DIRECT_SERVICE } from "./support/ways.ts";

const TUNNELS = ["ipip", "gue", "gre"] as const;
const ADDED = { ipip: { IPv4: 20, IPv6: 40 }, gue: { IPv4: 32, IPv6: 52 }, gre: { IPv4: 24, IPv6: 44 } } as const;
const FIRST_PORT = 7100;
/** Each format over each IP version. */
const WAYS = TUNNELS.flatMap((tunnel) => BOTH.map((outer) => ({ tunnel, outer })))
  .map((way, index) => ({ ...way, name: `${way.tunnel}-${way.outer}`, port: FIRST_PORT + index }));
const SIZES = [...Array.from({ length: 40 }, (_, size) => size), 255, 256, 511, 1024, 1399, 1400];

const RULES = WAYS.map(({ tunnel, outer, name, port }) => {
  const forward = { to: [backendName(outer, 1)], mode: "dsr", tunnel };
  const addresses = JSON.stringify(Object.values(DIRECT_SERVICE));
  return `{ name: ${name}, ports: ${port}, addresses: ${addresses}, action: ${JSON.stringify({ forward })} }`;
});

/** A server on the service's addresses, behind the tunnels' end; answers go to the clients directly. */
async function startTunnelled(network: TestNetwork, host: BackendHost): Promise<AsyncDisposableStack> {
  await using stack = new AsyncDisposableStack();
  await addDirectWay(network, host);
  await host.exec(["sysctl", "-q", "-w", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"]);
  const script = join(import.meta.dirname!, "support/tunnel_end.py");
  const end = stack.use(await Program.start(host.name, ["/usr/bin/python3", script, "tun0"], "ready\n"));
  stack.defer(() => assert.equal(end.output, "ready\n", "what came out of tunnels was refused"));
  const ends = WAYS.flatMap(({ port }) => BOTH.map((family) => [DIRECT_SERVICE[family], port] as const));
  stack.use(await startEcho(host.name, ends));
  return stack.move();
}

const start = (network: TestNetwork): Promise<Appliance> =>
  startAppliance(network, (socket) => forwardConfig(socket, RULES), { favoured: true });

Deno.test("datagrams of IPv4 and IPv6 come whole out of IPIP, GUE and GRE over both, and tshark finds them right", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await using _tunnelled = await startTunnelled(network, host);
  await using box = await start(network);
  const [{ address }] = JSON.parse(await network.exec("steer", ["ip", "-j", "link", "show", "dev", BACK]));
  const filter = `ether src ${address} and (ip proto 4 or ip proto 41 or ip proto 47 or udp or ` +
    "ip6 proto 4 or ip6 proto 41 or ip6 proto 47)";
  await using sniffer = await Sniffer.start(host.name, FAR, filter);
  for (const { port } of WAYS) {
    for (const family of BOTH) {
      await echoAll(network.names.client, { address: DIRECT_SERVICE[family], port, sizes: SIZES });
    }
  }
  const status = await settled(box);
  for (const { name } of WAYS) assert.deepEqual(fatesOf(status, name), { forwarded: 2 * SIZES.length });
  const all = WAYS.length * 2 * SIZES.length;
  const packets = await sniffer.fields(all, ["frame.protocols", "ip.checksum.status", "udp.checksum.status"]);
  const counts = new Map<string, number>();
  for (const [protocols = "", ip = "", udp = ""] of packets) {
    // What the datagrams carry does not matter, nor that this tshark does not know GUE.
    const headers = protocols.split(":").filter((name) => ["ip", "ipv6", "gre", "udp"].includes(name)).join(" ");
    const key = `${headers}, IP ${ip || "-"}, UDP ${udp}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const each = SIZES.length;
  assert.deepEqual(Object.fromEntries([...counts].toSorted()), {
    // 1: good, 3: none
    "ip gre ip udp, IP 1,1, UDP 1": each,
    "ip gre ipv6 udp, IP 1, UDP 1": each,
    "ip ip udp, IP 1,1, UDP 1": each,
    "ip ipv6 udp, IP 1, UDP 1": each,
    "ip udp, IP 1, UDP 3": 2 * each,
    "ipv6 gre ip udp, IP 1, UDP 1": each,
    "ipv6 gre ipv6 udp, IP -, UDP 1": each,
    "ipv6 ip udp, IP 1, UDP 1": each,
    "ipv6 ipv6 udp, IP -, UDP 1": each,
    "ipv6 udp, IP -, UDP 1": 2 * each,
  });
});

Deno.test("clients learn an MTU that leaves room for the tunnel", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await using _tunnelled = await startTunnelled(network, host);
  await using box = await start(network);
  for (const { tunnel, outer, port, name } of WAYS) {
    for (const family of BOTH) {
      const mtus = await learnMtu(network, DIRECT_SERVICE[family], port);
      assert.deepEqual(mtus, { first: 1500, learned: 1500 - ADDED[tunnel][outer] }, `${name}, ${family} inside`);
      await network.exec("client", ["ip", family === "IPv4" ? "-4" : "-6", "route", "flush", "cache"]);
    }
    const { too_big: _, error_forwarded: __, ...served } = fatesOf(await settled(box), name);
    assert.deepEqual(served, { forwarded: 2 });
  }
});
