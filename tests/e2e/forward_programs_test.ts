import assert from "node:assert/strict";
import { MACS, TestNetwork } from "../support/netns.ts";
import { answersOf, fatesOf, settled, strayAnswers } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import {
  BACK,
  backendAddress,
  BackendHost,
  BOTH,
  FAMILIES,
  type Family,
  FAR,
  forwardConfig,
} from "./support/backends.ts";
import { echoAll, startEcho } from "./support/echo.ts";
import { lossesInAll } from "./support/link.ts";
import { converse, GAME_PORT, SIP_PORT, startPhonesAndGames } from "./support/phones_and_games.ts";
import { DNS_PORT, DnsLoad, dnsServer, iperf, IPERF_PORT, iperfServer, NAMES, UNDER_WAY } from "./support/programs.ts";
import { Sniffer } from "./support/sniffer.ts";
import {
  addDirectWay,
  DIRECT_SERVICE,
  directPackets,
  InnerHost,
  knownNeighbours,
  leaveTcpToTheKernel,
  silence,
} from "./support/ways.ts";

const SERVICES: Readonly<Record<Family, string>> = { IPv4: FAMILIES.IPv4.service, IPv6: FAMILIES.IPv6.service };
/** The product's default range. */
const TRANSLATION_PORTS = [61_000, 65_535] as const;

const start = (network: TestNetwork, rules: readonly string[]): Promise<Appliance> =>
  startAppliance(network, (socket) => forwardConfig(socket, rules), { favoured: true });

/** A rule that forwards a port to the same port of two hosts, one for each family. */
function rule(
  name: string,
  port: number,
  addressOf: (family: Family) => string,
  mode = "nat",
  health: object | null = null,
): string {
  const to = [`${addressOf("IPv4")}:${port}`, `[${addressOf("IPv6")}]:${port}`];
  const forward = { to, mode, ...health === null ? {} : { health } };
  // The service's addresses are on the backend, and on no interface of the box.
  const addresses = mode === "dsr" ? JSON.stringify(Object.values(DIRECT_SERVICE)) : "own";
  return `{ name: ${name}, ports: ${port}, addresses: ${addresses}, action: ${JSON.stringify({ forward })} }`;
}

const backend = (family: Family): string => backendAddress(family, 1);

const ROUNDS = 5;
const QUERIES = ROUNDS * NAMES;

/**
 * dnsperf over IPv4 and IPv6 at once, through a box that knows no neighbour of its next hop's, and gets to know it when
 * packets wait for it already.
 *
 * @returns the status at the end.
 */
async function askAll(
  network: TestNetwork,
  host: BackendHost,
  rules: readonly string[],
  services: Readonly<Record<Family, string>>,
): Promise<Status> {
  const silent = await silence(network, host);
  await using box = await start(network, rules);
  assert.deepEqual(await knownNeighbours(network), []);
  await using load4 = await DnsLoad.start(network.names.client, services.IPv4, ROUNDS);
  await using load6 = await DnsLoad.start(network.names.client, services.IPv6, ROUNDS);
  const first = 2 * UNDER_WAY;
  const waiting = await box.untilStatus("the first queries", ({ totals }) => totals.verdicts.redirect >= first);
  await silent.speak();
  assert.deepEqual(fatesOf(waiting, "dns"), {}, "what had come in was waiting");
  for (const load of [load4, load6]) {
    const all = { sent: QUERIES, completed: QUERIES, lost: 0, codes: { NOERROR: QUERIES } };
    assert.deepEqual(await load.report(), all);
  }
  const status = await settled(box);
  assert.deepEqual(fatesOf(status, "dns"), { forwarded: 2 * QUERIES });
  return status;
}

Deno.test("dnsperf loses nothing on its way to a DNS server that the box has never talked to", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await using _server = await dnsServer(host.name, BOTH.map(backend));
  const status = await askAll(network, host, [rule("dns", DNS_PORT, backend)], SERVICES);
  assert.deepEqual([answersOf(status, "dns"), strayAnswers(status)], [{ returned: 2 * QUERIES }, {}]);
});

Deno.test("dnsperf loses nothing on its way by a gateway that the box has never talked to", async () => {
  await using network = await TestNetwork.create();
  await using router = await BackendHost.create(network);
  await using inner = await InnerHost.create(network, router);
  const address = (family: Family): string => inner.address(family);
  await using _server = await dnsServer(inner.name, BOTH.map(address));
  const status = await askAll(network, router, [rule("dns", DNS_PORT, address)], SERVICES);
  assert.deepEqual([answersOf(status, "dns"), strayAnswers(status)], [{ returned: 2 * QUERIES }, {}]);
});

Deno.test("mode dsr: dnsperf is answered by the server itself, past the box", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await addDirectWay(network, host);
  await using _server = await dnsServer(host.name, Object.values(DIRECT_SERVICE));
  const status = await askAll(network, host, [rule("dns", DNS_PORT, backend, "dsr")], DIRECT_SERVICE);
  assert.ok(status.rules.every(({ answers }) => answers.length === 0), "no answer comes back this way");
  assert.ok(await directPackets(network) >= 2 * QUERIES);
});

/** Packets that were lost because a program or the box had to wait for its CPU, each counted where that was. */
async function lostOnSlowMachine(network: TestNetwork, host: BackendHost, box: Appliance): Promise<number> {
  return (await lossesInAll(network, host.name, await box.status())).sum;
}

Deno.test("iperf3 loses nothing that is not counted, in either direction, while its TCP passes to the kernel", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await leaveTcpToTheKernel(network, host, IPERF_PORT);
  await using _server4 = await iperfServer(host.name, backend("IPv4"));
  await using _server6 = await iperfServer(host.name, backend("IPv6"));
  await using box = await start(network, [rule("iperf", IPERF_PORT, backend)]);
  for (const family of BOTH) {
    for (const direction of [[], ["--reverse"]]) {
      const shape = ["--bitrate", "20M", "--bytes", "2M", ...direction];
      const before = await lostOnSlowMachine(network, host, box);
      const { packets, lost } = await iperf(network.names.client, SERVICES[family], shape);
      const counted = await lostOnSlowMachine(network, host, box) - before;
      assert.ok(lost <= counted, `${family} ${direction}: ${lost} of ${packets} were lost, ${counted} are counted`);
      assert.ok(packets >= 1400, `${packets} packets`);
    }
  }
  const status = await settled(box);
  // Whoever of the two ends first has closed its port when the other's last packets come.
  const { forwarded, tx_ring_full: _, error_forwarded: __, ...others } = fatesOf(status, "iperf");
  const { returned, tx_ring_full: ___, error_returned: ____, ...otherAnswers } = answersOf(status, "iperf");
  assert.ok(forwarded! > 0 && returned! > 0);
  assert.deepEqual([others, otherAnswers], [{}, {}]);
});

const CLIENTS = 8;

/** The query of docs/configuration.md. It is answered with a challenge, since it shows none. */
const A2S = {
  check: "udp",
  send: { hex: "ff ff ff ff 54 53 6f 75 72 63 65 20 45 6e 67 69 6e 65 20 51 75 65 72 79 00" },
  expect: { hex: "ff ff ff ff" },
  interval: 0.1,
};

Deno.test("SIP phones and game clients are seen with the box's address and a port that stays theirs", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await using _server = await startPhonesAndGames(host.name, BOTH.map(backend));
  await using box = await start(network, [
    rule("sip", SIP_PORT, backend),
    rule("game", GAME_PORT, backend, "nat", A2S),
  ]);
  for (const family of BOTH) {
    const { calls, games } = await converse(network.names.client, SERVICES[family], CLIENTS);
    const [first] = calls;
    for (const [status, address, port] of first!) {
      assert.deepEqual([status, address], ["SIP/2.0 200 OK", FAMILIES[family].net(2)]);
      assert.ok(port >= TRANSLATION_PORTS[0] && port <= TRANSLATION_PORTS[1], `seen with port ${port}`);
    }
    assert.equal(new Set(first!.map(([, , port]) => port)).size, CLIENTS, "a port each");
    assert.deepEqual(calls, [first, first, first], "and always the same");
    assert.deepEqual(games, Array(CLIENTS).fill(["steered", "de_edge", "edge", "Edge"]));
  }
  const status = await settled(box);
  const { backends } = await box.untilStatus("checks of the game server", ({ backends }) => {
    const checked = backends.filter(({ rules }) => rules.includes("game"));
    return checked.length === 2 && checked.every(({ health }) => health!.checks - health!.failures > 5);
  });
  assert.ok(backends.every(({ health }) => health === null || health.healthy));
  const requests = { sip: 2 * 3 * CLIENTS, game: 2 * 2 * CLIENTS };
  for (const [name, forwarded] of Object.entries(requests)) {
    assert.deepEqual([fatesOf(status, name), answersOf(status, name)], [{ forwarded }, { returned: forwarded }]);
  }
  assert.deepEqual(strayAnswers(status), {});
});

/** Even and odd, none, and up to all that fits. */
const SIZES = [...Array.from({ length: 40 }, (_, size) => size), 255, 256, 511, 1024, 1449, 1450, 1451, 1452];
const [NAT_PORT, DSR_PORT] = [7000, 7001];

/**
 * All that the box has sent out of an interface, where a sniffer listens, is right: checksums, and that there is a
 * packet of every size, of each family.
 */
async function assertRight(sniffer: Sniffer, times: { readonly [family in Family | "plain"]: number }): Promise<void> {
  const packets = await sniffer.packets((times.IPv4 + times.IPv6 + times.plain) * SIZES.length);
  const counts: Record<string, number> = {};
  for (const { isIpv6, ipChecksum, udpChecksum } of packets) {
    const kind = `${isIpv6 ? "IPv6" : "IPv4"}: IP ${ipChecksum || "-"}, UDP ${udpChecksum}`;
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  const expected = {
    "IPv4: IP good, UDP good": times.IPv4,
    "IPv4: IP good, UDP none": times.plain,
    "IPv6: IP -, UDP good": times.IPv6,
  };
  const present = Object.entries(expected).filter(([, times]) => times > 0);
  assert.deepEqual(counts, Object.fromEntries(present.map(([kind, times]) => [kind, times * SIZES.length])));
  const sizes = new Set(packets.map(({ payloadBytes }) => payloadBytes));
  assert.deepEqual([...sizes].toSorted((left, right) => left - right), SIZES);
}

for (const checksumOffload of [true, false]) {
  const senders = checksumOffload ? "leave checksums to hardware that is not there" : "compute checksums";
  Deno.test(`tshark finds every checksum right, by nat and dsr, where the senders ${senders}`, async () => {
    await using network = await TestNetwork.create({ checksumOffload });
    await using host = await BackendHost.create(network);
    if (!checksumOffload) await host.exec(["ethtool", "-K", FAR, "tx", "off"]);
    await addDirectWay(network, host);
    const ends = BOTH.flatMap((family) => [[backend(family), NAT_PORT], [DIRECT_SERVICE[family], DSR_PORT]] as const);
    await using _server = await startEcho(host.name, ends);
    await using box = await start(network, [rule("nat", NAT_PORT, backend), rule("dsr", DSR_PORT, backend, "dsr")]);
    const [{ address }] = JSON.parse(await network.exec("steer", ["ip", "-j", "link", "show", "dev", BACK]));
    // What was sent on the spot is not right yet where checksums are left to hardware; what the box has sent must be.
    await using back = await Sniffer.start(host.name, FAR, `udp and ether src ${address}`);
    const { client } = network.names;
    await using front = await Sniffer.start(client, network.interfaces.client, `udp and ether src ${MACS.steer}`);
    for (const family of BOTH) {
      await echoAll(client, { address: SERVICES[family], port: NAT_PORT, sizes: SIZES });
      await echoAll(client, { address: DIRECT_SERVICE[family], port: DSR_PORT, sizes: SIZES });
    }
    await echoAll(client, { address: SERVICES.IPv4, port: NAT_PORT, sizes: SIZES, plain: true });
    await echoAll(client, { address: DIRECT_SERVICE.IPv4, port: DSR_PORT, sizes: SIZES, plain: true });
    await settled(box);
    await assertRight(back, { IPv4: 2, IPv6: 2, plain: 2 });
    await assertRight(front, { IPv4: 2, IPv6: 1, plain: 0 });
  });
}
