/** Which addresses a rule's packets may be for. */
import assert from "node:assert/strict";
import { LIMIT } from "../../src/bpf/layout.gen.ts";
import { INTERFACES, IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { assertSameCounts, fatesOf, passedFor, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { Beyond } from "./support/beyond.ts";
import { echoAll, startEcho } from "./support/echo.ts";
import { until } from "./support/wait.ts";

const PORT = 53;
const PACKETS = 40;
const BOTH = ["IPv4", "IPv6"] as const;
const BOX = { IPv4: IPV4.steer, IPv6: IPV6.steer } as const;
const FLOWS = 10;
const SENT = FLOWS * 100;

/** Sends {@linkcode SENT} packets to the port at an address. */
async function send(network: TestNetwork, address: string): Promise<void> {
  const { sent } = await runTraffic(network, "udp", {
    address,
    ports: [PORT],
    flows: FLOWS,
    packetsPerFlow: SENT / FLOWS,
  });
  assert.equal(sent, SENT);
}

function logged(box: Appliance, text: string): Promise<unknown> {
  return until(`"${text}" in the log`, () => box.log.some(({ message }) => message.includes(text)));
}

async function addAddress(network: TestNetwork, address: string, verb: "add" | "del" = "add"): Promise<void> {
  const [length, nodad] = address.includes(":") ? ["64", ["nodad"]] : ["24", []];
  const words = verb === "add" ? nodad : [];
  await network.exec("steer", ["ip", "address", verb, `${address}/${length}`, "dev", INTERFACES.steer, ...words]);
}

Deno.test("a router passes what is for a server behind it, and steers what is for itself, on the same port", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  await using behind = await Beyond.create({ router: network.names.steer, name: "behind", number: 12, mtu: 1500 });
  for (const family of BOTH) {
    const { net } = behind.addresses[family];
    await network.exec("client", ["ip", "route", "add", net, "via", BOX[family]]);
  }
  await using _server = await startEcho(behind.namespace, BOTH.map((family) => [behind.addresses[family].host, PORT]));
  await using box = await startAppliance(network, {
    rules: [`{ name: dns, ports: ${PORT}, action: echo }`, "{ name: all, ports: 54, action: echo, addresses: any }"],
  });
  const sizes = Array<number>(PACKETS).fill(100);
  for (const family of BOTH) {
    await echoAll(network.names.client, { address: behind.addresses[family].host, port: PORT, sizes });
    await echoAll(network.names.client, { address: BOX[family], port: PORT, sizes });
  }
  const status = await settled(box, 2 * 2 * PACKETS);
  assert.deepEqual(fatesOf(status, "dns"), { echoed: 2 * PACKETS });
  assert.equal(passedFor(status, "other_address"), 2 * PACKETS);
  assertSameCounts(status, await box.metrics());

  // Nobody listens there: the box answers for whoever it is.
  for (const family of BOTH) {
    await echoAll(network.names.client, { address: behind.addresses[family].host, port: 54, sizes });
  }
  assert.deepEqual(fatesOf(await settled(box, 6 * PACKETS), "all"), { echoed: 2 * PACKETS });
});

Deno.test("an address that the box gets is steered, and one that it loses is not, without a reload", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  await using box = await startAppliance(network, { rules: [`{ name: dns, ports: ${PORT}, action: count }`] });
  const { generation } = await box.status();
  const added = ["10.11.0.77", "fd11::77"];
  let sent = 0;
  for (const address of added) {
    await addAddress(network, address);
    await logged(box, `with ${address}`);
    await send(network, address);
    sent += SENT;
  }
  const status = await settled(box, sent);
  assert.deepEqual(fatesOf(status, "dns"), { counted: sent });
  assert.equal(passedFor(status, "other_address"), 0);

  for (const address of added) {
    await addAddress(network, address, "del");
    await logged(box, `without ${address}`);
  }
  // Its network still leads there, and the router's way on is the box again: it is somebody else's now.
  await network.exec("client", ["ip", "neigh", "replace", added[0]!, "lladdr", "02:00:00:00:00:02", "dev", "client0"]);
  await send(network, added[0]!);
  const after = await settled(box, sent + SENT);
  assert.deepEqual(fatesOf(after, "dns"), { counted: sent });
  assert.equal(passedFor(after, "other_address"), SENT);
  assert.equal(after.generation, generation);
});

Deno.test("one port goes to a rule for each address, and is counted exactly for each", async () => {
  await using network = await TestNetwork.create({ checksumOffload: false });
  const addresses = {
    one: ["10.11.0.21", "fd11::21"],
    two: ["10.11.0.22", "fd11::22"],
    net: ["10.11.0.41", "fd11::1:41"],
  };
  for (const address of Object.values(addresses).flat()) await addAddress(network, address);
  const list = (items: readonly string[]): string => JSON.stringify(items);
  await using box = await startAppliance(network, {
    rules: [
      `{ name: own, ports: ${PORT}, action: count }`,
      `{ name: one, ports: 50-60, action: count, addresses: ${list(addresses.one)} }`,
      `{ name: two, ports: ${PORT}, action: drop, addresses: ${list(addresses.two)} }`,
      `{ name: net, ports: ${PORT}, action: count, addresses: ${list(["10.11.0.40/29", "fd11::1:0/112"])} }`,
    ],
  });
  const all = [...BOTH.map((family) => BOX[family]), ...Object.values(addresses).flat()];
  for (const address of all) await send(network, address);
  const status = await settled(box, all.length * SENT);
  for (const rule of ["own", "one", "net"]) assert.deepEqual(fatesOf(status, rule), { counted: 2 * SENT }, rule);
  assert.equal(status.rules.find(({ name }) => name === "two")!.dropped.packets, 2 * SENT);
  assert.equal(status.totals.verdicts.pass, passedFor(status, "not_udp") + passedFor(status, "not_ip"));
  assertSameCounts(status, await box.metrics());
});

Deno.test("broadcasts and groups go to a rule that lists them, and to no other", async () => {
  await using network = await TestNetwork.create();
  const groups = {
    "255.255.255.255": "ff:ff:ff:ff:ff:ff",
    "10.11.0.255": "ff:ff:ff:ff:ff:ff",
    "239.1.2.3": "01:00:5e:01:02:03",
  };
  const rule = (more: string): { rules: string[] } => ({
    rules: [`{ name: r, ports: ${PORT}, action: count${more} }`],
  });
  await using box = await startAppliance(network, rule(""));
  const count = 64;
  const sendAll = async (): Promise<void> => {
    for (const [address, mac] of Object.entries(groups)) {
      await runTraffic(network, "live", { ports: [PORT], count, destination: { mac, address } });
    }
  };
  await sendAll();
  const status = await settled(box, 3 * count);
  assert.equal(passedFor(status, "other_address"), 3 * count);
  assert.deepEqual(fatesOf(status, "r"), {});

  assert.equal((await box.put(rule(`, addresses: ${JSON.stringify(Object.keys(groups))}`))).code, 200);
  await sendAll();
  const after = await settled(box, 6 * count);
  assert.deepEqual(fatesOf(after, "r"), { counted: 3 * count });
});

Deno.test("with more Ethernet addresses than can be told apart, frames for any are taken, and it is said", async () => {
  await using network = await TestNetwork.create();
  const devices = LIMIT.MACS; // one too many, with the interface they are on
  const adds = Array.from({ length: devices }, (_, index) => {
    const mac = `02:00:00:00:01:${index.toString(16).padStart(2, "0")}`;
    return `link add link ${INTERFACES.steer} name mac${index} address ${mac} type macvlan mode bridge`;
  });
  await network.exec("steer", ["sh", "-c", `printf '${adds.join("\\n")}\\n' | ip -batch -`]);
  await using box = await startAppliance(network, { rules: [`{ name: r, ports: ${PORT}, action: count }`] });
  await logged(box, `has ${devices + 1} Ethernet addresses`);
  const count = 64;
  const sendTo = (mac: string): Promise<unknown> =>
    runTraffic(network, "live", { ports: [PORT], count, destination: { mac, address: IPV4.steer } });
  const [last, strange] = ["02:00:00:00:01:3f", "02:00:00:00:02:00"];
  await sendTo(last);
  await sendTo(strange);
  assert.deepEqual(fatesOf(await settled(box, 2 * count), "r"), { counted: 2 * count });

  await network.exec("steer", ["ip", "link", "del", "mac0"]);
  let sent = 2 * count;
  await until("one less", async () => {
    await sendTo(strange);
    return passedFor(await settled(box, sent += count), "other_mac") > 0;
  }, { limitMs: 30_000 }); // devices are looked at once a minute anyway
  const before = fatesOf(await settled(box, sent), "r").counted!;
  await sendTo(last);
  assert.deepEqual(fatesOf(await settled(box, sent + count), "r"), { counted: before + count });
});
