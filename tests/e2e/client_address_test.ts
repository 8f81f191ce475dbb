/** Backends are told who the client is; programs in three languages, and dnsdist, read it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { INTERFACES, MACS, TestNetwork } from "../support/netns.ts";
import { answersOf, fatesOf, settled, strayAnswers } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import {
  BACK,
  BACKEND_PORT,
  backendAddress,
  BackendHost,
  backendName,
  BOTH,
  FAMILIES,
  FAR,
  forwardConfig,
} from "./support/backends.ts";
import { addManyAddresses, askDnsWho, askWho, learnMtu } from "./support/many_clients.ts";
import { Program, startDnsdist } from "./support/programs.ts";
import { Sniffer } from "./support/sniffer.ts";
import { TempDir } from "./support/command.ts";

const EXAMPLES = join(import.meta.dirname!, "../../config/examples");
const KINDS = { proxy_v2: 7001, proxy_v2_first: 7002, simple_proxy: 7003 } as const;
const CLIENTS = 1000;
const TURNS = 3;
/** Bytes that are added to each packet. */
const ADDED = { proxy_v2: { IPv4: 28, IPv6: 52 }, simple_proxy: { IPv4: 38, IPv6: 38 } } as const;

const READERS = ["python", "node", "go"] as const;

/** How each example is run; Go's is compiled first. */
async function commandOf(reader: typeof READERS[number], directory: string): Promise<string[]> {
  if (reader === "python") return ["/usr/bin/python3", `${EXAMPLES}/client_address.py`];
  if (reader === "node") return ["node", `${EXAMPLES}/client_address.mjs`];
  const binary = `${directory}/reader`;
  const { success, stderr } = await new Deno.Command("go", {
    args: ["build", "-o", binary, `${EXAMPLES}/client_address.go`],
    env: { GOCACHE: `${directory}/cache`, GO111MODULE: "off", CGO_ENABLED: "0" },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return [binary];
}

/** The three readers, each as a backend of each family. */
async function startReaders(host: BackendHost): Promise<AsyncDisposableStack> {
  const readers = new AsyncDisposableStack();
  try {
    const directory = readers.use(await TempDir.create());
    for (const [index, reader] of READERS.entries()) {
      const command = await commandOf(reader, directory.path);
      for (const family of BOTH) {
        const end = [backendAddress(family, index + 1), `${BACKEND_PORT}`];
        readers.use(await Program.start(host.name, [...command, ...end], "ready\n"));
      }
    }
    return readers;
  } catch (error) {
    await readers.disposeAsync();
    throw error;
  }
}

const RULES = Object.entries(KINDS).map(([kind, port]) => {
  const to = BOTH.flatMap((family) => READERS.map((_, index) => backendName(family, index + 1)));
  return `{ name: ${kind}, ports: ${port}, action: ${JSON.stringify({ forward: { to, client_address: kind } })} }`;
});

Deno.test("a thousand clients of each IP version are known to Node, Python and Go, by each kind of header", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await addManyAddresses(network);
  await using _readers = await startReaders(host);
  await using box = await startAppliance(network, (socket) => forwardConfig(socket, RULES), { favoured: true });
  for (const port of Object.values(KINDS)) {
    for (const family of BOTH) {
      const options = { address: FAMILIES[family].service, port, clients: CLIENTS, turns: TURNS };
      assert.deepEqual(await askWho(network, family, options), { right: CLIENTS * TURNS, wrong: [] });
    }
  }
  const status = await settled(box);
  const all = 2 * CLIENTS * TURNS;
  for (const kind of Object.keys(KINDS)) {
    assert.deepEqual([fatesOf(status, kind), answersOf(status, kind)], [{ forwarded: all }, { returned: all }], kind);
  }
  assert.deepEqual(strayAnswers(status), {});
});

Deno.test("clients learn an MTU that leaves room for the header", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await using _readers = await startReaders(host);
  await using box = await startAppliance(network, (socket) => forwardConfig(socket, RULES));
  for (const [kind, added] of Object.entries(ADDED)) {
    for (const family of BOTH) {
      const { first, learned } = await learnMtu(network, FAMILIES[family].service, KINDS[kind as "proxy_v2"]);
      const expected = 1500 - added[family];
      assert.deepEqual({ first, learned }, { first: 1500, learned: expected }, `${kind} ${family}`);
    }
    const { too_big: _, error_forwarded: __, ...served } = fatesOf(await settled(box), kind);
    assert.deepEqual(served, { forwarded: 2 }, "one of the size that was learned, of each family");
    await network.exec("client", ["ip", "route", "flush", "cache"]);
    await network.exec("client", ["ip", "-6", "route", "flush", "cache"]);
  }
});

/** The check of docs/forwarding.md: PROXY protocol without a client, and a question. */
const CHECK = {
  check: "udp",
  send: {
    hex: "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 20 00 00 00" +
      "0007 0100 0001 0000 0000 0000 05 636865636b 04 74657374 00 0001 0001",
  },
  expect: { hex: "0007" },
  interval: 0.2,
};

Deno.test("a thousand clients of each IP version are known to dnsdist by PROXY protocol version 2", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await addManyAddresses(network);
  await using directory = await TempDir.create();
  const ends = BOTH.map((family) => backendName(family, 1));
  await using _dnsdist = await startDnsdist(host.name, ends, directory.path);
  const forward = { to: ends, client_address: "proxy_v2", health: CHECK };
  const rule = `{ name: dns, ports: 53, action: ${JSON.stringify({ forward })} }`;
  await using box = await startAppliance(network, (socket) => forwardConfig(socket, [rule]), { favoured: true });
  for (const family of BOTH) {
    const options = { address: FAMILIES[family].service, port: 53, clients: CLIENTS };
    assert.deepEqual(await askDnsWho(network, family, options), { right: CLIENTS, wrong: [] });
  }
  assert.deepEqual(fatesOf(await settled(box), "dns"), { forwarded: 2 * CLIENTS });
  const { backends } = await box.untilStatus(
    "checks",
    ({ backends }) => backends.every(({ health }) => health!.checks > 2),
  );
  assert.deepEqual(backends.map(({ health }) => health!.failures), [0, 0], "a check that says it is the box's own");
});

for (const checksumOffload of [true, false]) {
  const senders = checksumOffload ? "leave checksums to hardware that is not there" : "compute checksums";
  Deno.test(`tshark reads PROXY protocol and finds every checksum right, where the senders ${senders}`, async () => {
    await using network = await TestNetwork.create({ checksumOffload });
    await using host = await BackendHost.create(network);
    if (!checksumOffload) await host.exec(["ethtool", "-K", FAR, "tx", "off"]);
    await addManyAddresses(network);
    await using _readers = await startReaders(host);
    await using box = await startAppliance(network, (socket) => forwardConfig(socket, RULES), { favoured: true });
    const [{ address }] = JSON.parse(await network.exec("steer", ["ip", "-j", "link", "show", "dev", BACK]));
    await using back = await Sniffer.start(host.name, FAR, `udp and ether src ${address}`);
    const { client } = network.names;
    await using front = await Sniffer.start(client, INTERFACES.client, `udp and ether src ${MACS.steer}`);
    const some = 74; // twice every size of payload
    for (const port of Object.values(KINDS)) {
      for (const family of BOTH) {
        const options = { address: FAMILIES[family].service, port, clients: some, turns: 2 };
        assert.deepEqual(await askWho(network, family, options), { right: 2 * some, wrong: [] });
      }
    }
    await settled(box);
    const all = 3 * 2 * 2 * some;
    const checksums = ["ip.checksum.status", "udp.checksum.status"];
    const names = [...checksums, "proxy.v2.version", "proxy.src.ipv4", "proxy.src.ipv6", "proxy.srcport"];
    const told = new Map<string, number>();
    for (const [ip, udp, version, ipv4, ipv6, port] of await back.fields(all, names)) {
      const isTold = version === "2" && /^20\d{3}$/.test(port!) && /^10\.40\.|^fd40::/.test(ipv4! + ipv6!);
      const key = `IP ${ip || "-"}, UDP ${udp}, ${isTold ? "told" : version === "" ? "no header" : "wrong"}`;
      told.set(key, (told.get(key) ?? 0) + 1);
    }
    // proxy_v2 tells with each of two datagrams, proxy_v2_first with one; tshark does not know simple_proxy.
    assert.deepEqual(Object.fromEntries([...told].toSorted()), {
      "IP -, UDP 1, no header": 3 * some,
      "IP -, UDP 1, told": 3 * some,
      "IP 1, UDP 1, no header": 3 * some,
      "IP 1, UDP 1, told": 3 * some,
    });
    const answers = await front.fields(all, checksums);
    assert.deepEqual(new Set(answers.map((fields) => fields.join(" "))), new Set(["1 1", " 1"]));
  });
}
