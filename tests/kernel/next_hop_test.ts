import assert from "node:assert/strict";
import { sleep, until } from "../e2e/support/wait.ts";
import { IPV4, IPV6, MACS, TestNetwork } from "../support/netns.ts";
import type { NoRoute } from "../../src/backends/next_hop/next_hops.ts";
import { NextHopProcess, type NextHopText } from "../support/next_hop_cli.ts";

const DEVICE = "steer0";
const OTHER_MAC = "02:00:00:00:00:99";
const LINK_LOCAL = { client: "fe80::1", steer: "fe80::2" } as const;

/** Runs `ip` with some words in the box's namespace. */
async function ip(network: TestNetwork, words: string): Promise<string> {
  return await network.exec("steer", ["ip", ...words.split(" ")]);
}

/** Runs many `ip` commands at once. */
async function batch(network: TestNetwork, lines: readonly string[]): Promise<void> {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, lines.join("\n") + "\n");
    await network.exec("steer", ["ip", "-batch", file]);
  } finally {
    await Deno.remove(file);
  }
}

/** Makes a change, and waits until it is told of and the answer is as wanted. */
async function changes(
  process: NextHopProcess,
  destination: string,
  change: () => Promise<unknown>,
  wanted: (nextHop: NextHopText | null) => boolean,
): Promise<NextHopText | null> {
  await sleep(50); // whatever came before is over
  const before = process.events.length;
  await change();
  await until("a change to be told of", () => process.events.length > before);
  const nextHop = await until("the answer after a change", async () => {
    const answer = await process.lookup(destination);
    return wanted(answer) ? { answer } : undefined;
  }, { describe: () => process.events });
  return nextHop.answer;
}

const resolved = (mac: string) => (nextHop: NextHopText | null): boolean => nextHop?.mac === mac;

Deno.test("NextHops.lookup() finds direct neighbours and provoke() has them resolved", async (test) => {
  await using network = await TestNetwork.create();
  await using process = await NextHopProcess.start(network);
  for (const [destination, source] of [[IPV4.client, IPV4.steer], [IPV6.client, IPV6.steer]] as const) {
    await test.step(destination, async () => {
      await ip(network, `neigh flush dev ${DEVICE}`);
      const links = JSON.parse(await ip(network, "-j link show"));
      const { ifindex } = links.find(({ ifname }: { ifname: string }) => ifname === DEVICE);
      const missing = await process.lookup(destination);
      const known = { ifindex, routeIfindex: ifindex, interfaceName: DEVICE, vlan: [], mtu: 1500, up: true };
      assert.deepEqual(missing, { ...known, source, sourceMac: MACS.steer, gateway: null, mac: null });
      const found = await changes(process, destination, () => process.provoke(destination), resolved(MACS.client));
      assert.deepEqual(found, { ...missing!, mac: MACS.client });
      assert.equal(await process.failed(destination), false);
    });
  }
});

Deno.test("NextHops.lookup() takes gateways, IPv6 ones of IPv4 routes too", async (test) => {
  await using network = await TestNetwork.create();
  await network.exec("client", ["ip", "address", "add", `${LINK_LOCAL.client}/64`, "dev", "client0", "nodad"]);
  await ip(network, `address add ${LINK_LOCAL.steer}/64 dev ${DEVICE} nodad`);
  await using process = await NextHopProcess.start(network);
  const cases = [
    { destination: "192.0.2.7", route: `192.0.2.0/24 via ${IPV4.client}`, gateway: IPV4.client, source: IPV4.steer },
    { destination: "198.51.100.7", route: `198.51.100.0/24 via inet6 ${LINK_LOCAL.client} dev ${DEVICE}` },
    { destination: "2001:db8::7", route: `2001:db8::/64 via ${IPV6.client}`, gateway: IPV6.client },
    { destination: "2001:db8:1::7", route: `2001:db8:1::/64 via ${LINK_LOCAL.client} dev ${DEVICE}` },
    { destination: "203.0.113.7", route: `default via ${IPV4.client}`, gateway: IPV4.client },
  ];
  for (const { destination, route, gateway = LINK_LOCAL.client } of cases) {
    await test.step(route, async () => {
      const source = destination.includes(":") ? IPV6.steer : IPV4.steer;
      await ip(network, `neigh flush dev ${DEVICE}`);
      await changes(process, destination, () => ip(network, `route add ${route}`), (hop) => hop?.gateway === gateway);
      const found = await changes(process, destination, () => process.provoke(destination), resolved(MACS.client));
      assert.deepEqual([found!.gateway, found!.source, found!.interfaceName], [gateway, source, DEVICE]);
    });
  }
});

Deno.test("NextHops.lookup() takes source address and MTU of the route", async () => {
  await using network = await TestNetwork.create();
  await ip(network, `address add 10.11.0.77/32 dev ${DEVICE}`);
  await ip(network, `address add fd11::77/128 dev ${DEVICE} nodad`);
  await ip(network, `route add 192.0.2.0/24 via ${IPV4.client} src 10.11.0.77 mtu 1400`);
  await ip(network, `route add 2001:db8::/64 via ${IPV6.client} src fd11::77 mtu 1300`);
  await ip(network, `route add 198.51.100.0/24 via ${IPV4.client} mtu 9000`);
  await using process = await NextHopProcess.start(network);
  const answer = async (destination: string): Promise<unknown[]> => {
    const nextHop = await process.lookup(destination);
    return [nextHop?.source, nextHop?.mtu];
  };
  assert.deepEqual(await answer("192.0.2.1"), ["10.11.0.77", 1400]);
  assert.deepEqual(await answer("2001:db8::1"), ["fd11::77", 1300]);
  assert.deepEqual(await answer("198.51.100.1"), [IPV4.steer, 1500], "no more than the device takes");
  const setMtu = (): Promise<unknown> => ip(network, `link set ${DEVICE} mtu 1350`);
  await changes(process, IPV4.client, setMtu, (hop) => hop?.mtu === 1350);
  await ip(network, `address flush dev ${DEVICE}`);
  await ip(network, `route add 203.0.113.0/24 dev ${DEVICE}`);
  assert.deepEqual(await answer("203.0.113.1"), ["0.0.0.0", 1350], "a box without an address");
});

Deno.test("NextHops follows neighbours, routes and devices", async (test) => {
  await using network = await TestNetwork.create();
  await using process = await NextHopProcess.start(network);
  await process.provoke(IPV4.client);
  await until("the neighbour", async () => resolved(MACS.client)(await process.lookup(IPV4.client)));
  const step = (
    name: string,
    destination: string,
    change: () => Promise<unknown>,
    wanted: (nextHop: NextHopText | null) => boolean,
  ): Promise<boolean> => test.step(name, async () => void await changes(process, destination, change, wanted));

  await step("the neighbour's MAC changes", IPV4.client, async () => {
    // The neighbour tells of it by itself, as a machine that takes over an address does.
    await network.exec("client", ["sysctl", "-q", "-w", "net.ipv4.conf.client0.arp_notify=1"]);
    // Else the kernel does not believe a second answer within a second.
    await network.exec("steer", ["sysctl", "-q", "-w", `net.ipv4.neigh.${DEVICE}.locktime=0`]);
    await network.exec("client", ["ip", "link", "set", "client0", "address", OTHER_MAC]);
  }, resolved(OTHER_MAC));
  await step(
    "a route is added",
    "192.0.2.1",
    () => ip(network, `route add 192.0.2.0/24 dev ${DEVICE}`),
    (hop) => hop?.gateway === null,
  );
  const move = (): Promise<string> => ip(network, `route replace 192.0.2.0/24 via ${IPV4.client}`);
  await step(
    "the route moves to a gateway",
    "192.0.2.1",
    move,
    (hop) => hop?.gateway === IPV4.client && hop.mac === OTHER_MAC,
  );
  await step(
    "a rule goes before it",
    "192.0.2.1",
    () => ip(network, "rule add to 192.0.2.0/24 unreachable"),
    (hop) => hop === null,
  );
  await step(
    "the rule goes",
    "192.0.2.1",
    () => ip(network, "rule del to 192.0.2.0/24 unreachable"),
    (hop) => hop !== null,
  );
  await step("the route goes", "192.0.2.1", () => ip(network, "route del 192.0.2.0/24"), (hop) => hop === null);
  await step("a nexthop object comes", "192.0.2.1", async () => {
    await ip(network, `nexthop add id 7 via ${IPV4.client} dev ${DEVICE}`);
    await ip(network, "route add 192.0.2.0/24 nhid 7");
  }, (hop) => hop?.gateway === IPV4.client);
  await step("the nexthop object goes", "192.0.2.1", () => ip(network, "nexthop del id 7"), (hop) => hop === null);
  const ownMac = "02:00:00:00:00:77";
  await step(
    "its own MAC changes",
    IPV4.client,
    () => ip(network, `link set ${DEVICE} address ${ownMac}`),
    (hop) => hop?.sourceMac === ownMac,
  );
  await step("it gets another address", IPV4.client, async () => {
    await ip(network, `address add 10.11.0.3/24 dev ${DEVICE}`);
    await ip(network, `address del ${IPV4.steer}/24 dev ${DEVICE}`);
    await ip(network, `address add 10.11.0.3/24 dev ${DEVICE}`).catch(() => {}); // went as a secondary one
  }, (hop) => hop?.source === "10.11.0.3");
  await step(
    "its device is set down",
    IPV4.client,
    () => ip(network, `link set ${DEVICE} down`),
    (hop) => hop === null,
  );
  await step(
    "its device is set up",
    IPV4.client,
    () => ip(network, `link set ${DEVICE} up`),
    (hop) => hop?.up === true,
  );
  await test.step("its device loses the carrier and gets it back", async () => {
    // The kernel tells of a carrier up to a second late, as it does not want to flap.
    const upIs = (up: boolean) => async (): Promise<boolean> => (await process.lookup(IPV4.client))?.up === up;
    await network.exec("client", ["ip", "link", "set", "client0", "down"]);
    await until("the carrier to be lost", upIs(false));
    await network.exec("client", ["ip", "link", "set", "client0", "up"]);
    await until("the carrier to be back", upIs(true));
  });
  await step(
    "its device is renamed",
    IPV4.client,
    () => ip(network, `link set ${DEVICE} name wan0`),
    (hop) => hop?.interfaceName === "wan0",
  );
  await step("its device goes away", IPV4.client, () => ip(network, "link del wan0"), (hop) => hop === null);
});

Deno.test("NextHops.lookup() has no next hop where the kernel sends nothing", async () => {
  await using network = await TestNetwork.create();
  for (const type of ["blackhole", "unreachable", "prohibit"]) {
    await ip(network, `route add ${type} 192.0.2.${type.length}`);
    await ip(network, `route add ${type} 2001:db8::${type.length}`);
  }
  await ip(network, `route add 198.51.100.0/24 encap seg6 mode encap segs 2001:db8:9::1 dev ${DEVICE}`);
  await using process = await NextHopProcess.start(network);
  const destinations: Readonly<Record<NoRoute, readonly string[]>> = {
    own: ["127.0.0.1", "::1", IPV4.steer, IPV6.steer],
    refused: ["192.0.2.9", "192.0.2.11", "192.0.2.8", "2001:db8::9", "2001:db8::11", "2001:db8::8"],
    none: ["203.0.113.1", "2001:db8:2::1"],
    group: ["10.11.0.255"],
    no_ethernet: ["198.51.100.1"],
  };
  for (const destination of ["224.0.0.5", "ff02::1", "255.255.255.255"]) { // no backend can be one of these
    assert.equal(await process.lookup(destination), null, destination);
  }
  for (const [why, those] of Object.entries(destinations)) {
    for (const destination of those) {
      assert.equal(await process.lookup(destination), null, destination);
      assert.equal(await process.noRoute(destination), why, destination);
    }
  }
});

Deno.test("NextHops.lookup() goes with the kernel's multipath and rules", async () => {
  await using network = await TestNetwork.create();
  const paths = `nexthop via 10.11.0.11 dev ${DEVICE} nexthop via 10.11.0.12 dev ${DEVICE}`;
  await ip(network, `route add 192.0.2.0/24 ${paths}`);
  await ip(network, `rule add to 198.51.100.0/24 lookup 100`);
  await ip(network, `route add 198.51.100.0/24 via 10.11.0.13 table 100`);
  await ip(network, `route add 198.51.100.0/24 via 10.11.0.14`);
  await using process = await NextHopProcess.start(network);
  assert.equal((await process.lookup("198.51.100.1"))?.gateway, "10.11.0.13");
  const gateways = new Set<string>();
  for (let host = 1; host <= 64; host++) {
    const answer = await process.lookup(`192.0.2.${host}`);
    const [route] = JSON.parse(await ip(network, `-j route get 192.0.2.${host}`));
    assert.equal(answer?.gateway, route.gateway);
    gateways.add(answer!.gateway!);
  }
  assert.deepEqual([...gateways].sort(), ["10.11.0.11", "10.11.0.12"]);
});

Deno.test("NextHops.provoke() tells a neighbour that does not answer, and finds it when it does", async (test) => {
  await using network = await TestNetwork.create();
  const quick = ["ipv4", "ipv6"].map((family) => `net.${family}.neigh.${DEVICE}.retrans_time_ms=100`);
  await network.exec("steer", ["sysctl", "-q", "-w", ...quick]);
  await using process = await NextHopProcess.start(network);
  for (const [destination, prefix] of [["10.11.0.9", 24], ["fd11::9", 64]] as const) {
    await test.step(destination, async () => {
      await process.provoke(destination);
      assert.equal(await process.failed(destination), false, "still looking");
      await until("the neighbour to fail", () => process.failed(destination));
      assert.equal((await process.lookup(destination))?.mac, null);
      await network.exec(
        "client",
        ["ip", "address", "add", `${destination}/${prefix}`, "dev", "client0"].concat(prefix === 64 ? "nodad" : []),
      );
      await changes(process, destination, () => process.provoke(destination), resolved(MACS.client));
      assert.equal(await process.failed(destination), false);
    });
  }
});

Deno.test("NextHops.provoke() confirms a stale neighbour, and going stale is no change", async () => {
  await using network = await TestNetwork.create();
  await network.exec("steer", ["sysctl", "-q", "-w", `net.ipv4.neigh.${DEVICE}.delay_first_probe_time=1`]);
  await using process = await NextHopProcess.start(network);
  const state = async (): Promise<string> => JSON.parse(await ip(network, `-j neigh show ${IPV4.client}`))[0]?.state[0];
  await process.provoke(IPV4.client);
  await until("the neighbour", async () => resolved(MACS.client)(await process.lookup(IPV4.client)));
  await sleep(50);
  const { length } = process.events;
  await ip(network, `neigh change ${IPV4.client} dev ${DEVICE} nud stale`);
  await sleep(50);
  assert.equal(await state(), "STALE");
  await process.provoke(IPV4.client);
  await until("the neighbour to be confirmed", async () => await state() === "REACHABLE");
  assert.ok(resolved(MACS.client)(await process.lookup(IPV4.client)));
  assert.equal(process.events.length, length);
});

Deno.test("NextHops.provoke() works without CAP_NET_ADMIN", async (test) => {
  await using network = await TestNetwork.create();
  const ordinary = ["setpriv", "--inh-caps=-all", "--bounding-set=-net_admin"];
  await using process = await NextHopProcess.start(network, ordinary);
  await ip(network, `route add 192.0.2.0/24 via ${IPV4.client}`);
  for (const destination of ["192.0.2.1", IPV6.client]) {
    await test.step(destination, async () => {
      await changes(process, destination, () => process.provoke(destination), resolved(MACS.client));
    });
  }
});

const octets = (index: number): string => `${index >> 8}.${index & 255}`;

Deno.test("NextHops.open() does not care for 10,000 routes, and reads 1,000 neighbours", async () => {
  await using network = await TestNetwork.create();
  await ip(network, `address add 10.12.0.1/16 dev ${DEVICE}`);
  await using process = await NextHopProcess.start(network);
  const mac = (index: number): string => `02:00:00:01:0${index >> 8}:${(index & 255).toString(16).padStart(2, "0")}`;
  const neighbours = Array.from({ length: 1000 }, (_, index) => index + 2);
  await batch(
    network,
    Array.from(
      { length: 10_000 },
      (_, index) => `route add 172.${16 + (index >> 13)}.${octets(index & 8191)}/32 via ${IPV4.client}`,
    ),
  );
  await batch(
    network,
    neighbours.map((index) => `neigh add 10.12.${octets(index)} lladdr ${mac(index)} dev ${DEVICE}`),
  );
  await process.open();
  for (const index of neighbours) assert.equal((await process.lookup(`10.12.${octets(index)}`))?.mac, mac(index));
});

Deno.test("NextHops knows all again after the kernel had to leave out messages", async () => {
  await using network = await TestNetwork.create();
  await using process = await NextHopProcess.start(network);
  const telling = Array.from({ length: 5000 }, (_, index) => `link set ${DEVICE} alias name-${index}`);
  await changes(process, IPV4.client, async () => {
    process.pause();
    await batch(network, telling);
    // Not told of any more.
    await ip(network, `neigh replace ${IPV4.client} lladdr ${OTHER_MAC} dev ${DEVICE}`);
    process.resume();
  }, resolved(OTHER_MAC));
  const sockets = (await network.exec("steer", ["cat", "/proc/net/netlink"])).split("\n").slice(1);
  const drops = sockets.map((line) => Number(line.trim().split(/\s+/)[8]));
  assert.ok(Math.max(...drops) > 0, "some messages were dropped");
});

Deno.test("NextHops.open() misses nothing while devices come and go", async () => {
  await using network = await TestNetwork.create();
  await ip(network, `neigh replace ${IPV4.client} lladdr ${OTHER_MAC} dev ${DEVICE}`);
  await using process = await NextHopProcess.start(network);
  const names = Array.from({ length: 100 }, (_, index) => `link add a${index} type veth peer name b${index}`);
  let running = true;
  const churning = (async () => {
    while (running) {
      await batch(network, names);
      await batch(network, names.map((_, index) => `link del a${index}`));
    }
  })();
  try {
    for (let turn = 0; turn < 100; turn++) {
      await process.open();
      assert.ok(resolved(OTHER_MAC)(await process.lookup(IPV4.client)), `turn ${turn}`);
    }
  } finally {
    running = false;
    await churning;
  }
});

Deno.test("NextHops lets its process end when it is disposed of", async () => {
  await using network = await TestNetwork.create();
  await using process = await NextHopProcess.start(network);
  await process.open();
  assert.equal(await process.end(), 0);
});

Deno.test("NextHops.routes() has the main table's routes with their MTUs, as they are now, and none where they are too many", async () => {
  await using network = await TestNetwork.create();
  await using process = await NextHopProcess.start(network);
  const untilRoutes = async (wanted: readonly string[], missing: readonly string[] = []): Promise<void> => {
    let routes: string[] = [];
    await until("routes", async () => {
      routes = await process.routes();
      return wanted.every((route) => routes.includes(route)) && !missing.some((route) => routes.includes(route));
    }, { describe: () => routes });
  };
  await untilRoutes(["10.11.0.0/24 0", "fd11::/64 0"]);
  await ip(network, `route add 192.0.2.0/24 dev ${DEVICE} mtu 1300`);
  await ip(network, `route add 192.0.2.0/24 dev ${DEVICE} metric 5 mtu 1200`);
  await ip(network, `route add default via ${IPV4.client} mtu lock 1400`);
  await ip(network, `route add fd22::/48 via ${IPV6.client} mtu 1280`);
  await ip(network, `route add 198.51.100.0/24 dev ${DEVICE} mtu 1250 table 7`);
  await ip(network, "route add unreachable 203.0.113.0/24 mtu 1000");
  const all = ["192.0.2.0/24 1300", "0.0.0.0/0 1400", "fd22::/48 1280"];
  await untilRoutes(all, ["192.0.2.0/24 1200", "198.51.100.0/24 1250", "203.0.113.0/24 1000"]);
  await ip(network, `route del 192.0.2.0/24 dev ${DEVICE} metric 0`);
  await ip(network, `route change fd22::/48 via ${IPV6.client} mtu 1290`);
  await untilRoutes(["192.0.2.0/24 1200", "fd22::/48 1290"], ["192.0.2.0/24 1300", "fd22::/48 1280"]);
  const many = Array.from({ length: 4200 }, (_, index) => `10.80.${index >> 8}.${index & 255}/32 dev ${DEVICE}`);
  await batch(network, many.map((route) => `route add ${route}`));
  await untilRoutes([], ["0.0.0.0/0 1400"]);
  await batch(network, many.slice(0, 200).map((route) => `route del ${route}`));
  await untilRoutes(["0.0.0.0/0 1400"]);
});
