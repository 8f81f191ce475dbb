/** action: deliver, to programs of the box that other people wrote. */
import assert from "node:assert/strict";
import { INTERFACES, IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { sumOf } from "../support/metrics.ts";
import { assertSameCounts, ruleOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { Beyond } from "./support/beyond.ts";
import { finish, productCommand } from "./support/command.ts";
import { askOnce, echoAll, startEcho } from "./support/echo.ts";
import { fdInfos } from "./support/fdinfo.ts";
import { DNS_PORT, DnsLoad, dnsServer, Program } from "./support/programs.ts";
import { python } from "./support/python.ts";
import { until } from "./support/wait.ts";

const BOX = [IPV4.steer, IPV6.steer] as const;
const [BLUE, GREEN] = [5353, 5454] as const;
const ROOT = new URL("../..", import.meta.url).pathname;

const deliver = (port: number, more = ""): string =>
  `{ name: dns, ports: ${DNS_PORT}, action: { deliver: { port: ${port} } }${more} }`;

/** What is attached to what leaves by the steered interface: programs, filters, and the qdisc that these hang on. */
async function attachedToEgress(network: TestNetwork): Promise<string[]> {
  const device = INTERFACES.steer;
  const show = async (...words: string[]): Promise<string[]> =>
    (await network.exec("steer", ["tc", ...words])).split("\n").filter((line) => line !== "");
  const programs = await python<number>(network, "steer", TCX_PROGRAMS, { device });
  return [
    ...Array<string>(programs).fill("tcx"),
    ...(await show("filter", "show", "dev", device, "egress")).filter((line) => line.includes("xdpsteer_answer")),
    ...(await show("qdisc", "show", "dev", device)).filter((line) => line.includes("clsact")),
  ];
}

/** bpf(BPF_PROG_QUERY): Debian's bpftool does not know tcx. */
const TCX_PROGRAMS = `
import ctypes, platform, struct
BPF_PROG_QUERY, BPF_TCX_EGRESS = 16, 47
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
device = socket.if_nametoindex(options["device"])
query = ctypes.create_string_buffer(struct.pack("IIIIQII", device, BPF_TCX_EGRESS, 0, 0, 0, 0, 0) + bytes(32))
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(number, BPF_PROG_QUERY, query, len(query)) < 0: raise OSError(ctypes.get_errno())
print(json.dumps(struct.unpack_from("I", query, 24)[0]))
`;

/** dnsperf over IPv4 and IPv6, which must lose nothing. @returns how many queries were answered. */
async function load(network: TestNetwork, during: () => Promise<void>): Promise<number> {
  await using four = await DnsLoad.start(network.names.client, IPV4.steer);
  await using six = await DnsLoad.start(network.names.client, IPV6.steer);
  await during();
  let answered = 0;
  for (const each of [four, six]) {
    const { sent, completed, lost, codes } = await each.stop();
    assert.deepEqual({ completed, lost, codes }, { completed: sent, lost: 0, codes: { NOERROR: sent } });
    assert.ok(sent >= MANY, `${sent} queries`);
    answered += sent;
  }
  return answered;
}

/** Packets between two things that a test does. */
const MANY = 500;

/** Waits for many more packets that are delivered. */
async function untilMore(box: Appliance): Promise<void> {
  const count = async (): Promise<number> => ruleOf(await box.status(), "dns").delivered.packets;
  const before = await count();
  await until("more packets", async () => await count() > before + 3 * MANY);
}

Deno.test("dnsmasq on another port answers clients on 53, and a save moves them to a second one without a lost answer", async () => {
  await using network = await TestNetwork.create();
  await using _blue = await dnsServer(network.names.steer, BOX, BLUE);
  await using _green = await dnsServer(network.names.steer, BOX, GREEN);
  await using box = await startAppliance(network, { rules: [deliver(BLUE)] });
  const answers = await load(network, async () => {
    for (const [turn, port] of [GREEN, BLUE, GREEN].entries()) {
      await untilMore(box);
      await box.writeConfig({ rules: [deliver(port)] });
      await box.waitForGeneration(turn + 2);
    }
    await untilMore(box);
  });
  const status = await settled(box);
  const { delivered: { packets }, answered, passed } = ruleOf(status, "dns");
  assert.ok(packets >= answers);
  assert.equal(answered.packets, packets);
  assert.equal(passed.packets, 0);
  const metrics = await box.metrics();
  assertSameCounts(status, metrics);
  assert.equal(sumOf(metrics, "xdpsteer_rule_answered_packets_total", { rule: "dns" }), packets);
});

Deno.test("datagrams of all sizes go both ways, in fragments too, and each client sees its own port", async () => {
  await using network = await TestNetwork.create();
  await using _echo = await startEcho(network.names.steer, BOX.map((address) => [address, BLUE] as const));
  await using box = await startAppliance(network, {
    rules: [deliver(BLUE), `{ name: more, ports: [54, 55], action: { deliver: { port: ${BLUE} } } }`],
  });
  const sizes = [0, 1, 2, 3, 100, 511, 512, 1400, 1472, 1473, 4000, 9000, 60_000];
  for (const address of BOX) {
    for (const port of [DNS_PORT, 54, 55]) await echoAll(network.names.client, { address, port, sizes });
    // The program's own port is nobody's business.
    await echoAll(network.names.client, { address, port: BLUE, sizes });
  }
  await echoAll(network.names.client, { address: IPV4.steer, port: DNS_PORT, sizes, plain: true });
  const status = await settled(box);
  const { delivered, answered } = ruleOf(status, "more");
  // Of fragments only the first is a rule's.
  assert.equal(delivered.packets, 2 * BOX.length * sizes.length);
  assert.equal(answered.packets, delivered.packets);
});

Deno.test("an answer that leaves by another steered interface has the listed port too", async () => {
  await using network = await TestNetwork.create();
  await using beyond = await Beyond.create({ router: network.names.steer, name: "beyond", number: 12, mtu: 1500 });
  // The client's address is here and there, and the box's way to it is the other one.
  const roamer = "10.99.0.1";
  await network.exec("client", ["ip", "address", "add", `${roamer}/32`, "dev", "lo"]);
  const settings = ["net.ipv4.conf.all.rp_filter=0", `net.ipv4.conf.${INTERFACES.steer}.rp_filter=0`];
  await network.exec("steer", ["sysctl", "-q", "-w", ...settings]);
  await network.exec("steer", ["ip", "route", "add", `${roamer}/32`, "via", beyond.addresses.IPv4.host]);
  await using _echo = await startEcho(network.names.steer, [[IPV4.steer, BLUE]]);
  await using box = await startAppliance(network, {
    rules: [deliver(BLUE)],
    others: ["{ name: beyond0, attach: native }"],
  });
  await using hearer = await Program.start(beyond.namespace, ["/usr/bin/python3", "-c", HEAR, roamer], "ready");
  await python(network, "client", ASK_FROM, { from: roamer, to: IPV4.steer, port: DNS_PORT });
  assert.equal(JSON.parse((await hearer.result()).replace("ready", "")), `${IPV4.steer} ${DNS_PORT}`);
  assert.equal(ruleOf(await box.status(), "dns").answered.packets, 1);
});

/** Who an answer to the address is from. */
const HEAR = `
import json, socket, subprocess, sys
subprocess.run(["ip", "address", "add", sys.argv[1] + "/32", "dev", "lo"], check=True)
hearer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hearer.settimeout(60)
hearer.bind((sys.argv[1], 40000))
print("ready", flush=True)
_, (address, port) = hearer.recvfrom(100)
print(json.dumps(f"{address} {port}"))
`;

const ASK_FROM = `
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.bind((options["from"], 40000))
asker.sendto(b"?", (options["to"], options["port"]))
print("null")
`;

Deno.test("an interface that is deleted and comes back delivers, and its answers have the listed port", async () => {
  await using network = await TestNetwork.create();
  await using _echo = await startEcho(network.names.steer, [["::", BLUE]]);
  await using box = await startAppliance(network, { rules: [deliver(BLUE)] });
  await network.exec("steer", ["ip", "link", "delete", INTERFACES.steer]);
  await box.untilStatus("it to be gone", ({ interfaces: [steer] }) => steer!.state === "gone");
  await network.connect();
  await box.untilStatus("it to be attached", ({ interfaces: [steer] }) => steer!.state === "attached");
  for (const address of BOX) {
    const isLost = (): boolean => {
      const told = box.log.findLast(({ message }) => message.includes("own addresses") && message.includes(address));
      return told?.message.split("without")[1]?.includes(address) ?? false;
    };
    await until(`${address} to be the box's again`, () => !isLost());
  }
  for (const address of BOX) await echoAll(network.names.client, { address, port: DNS_PORT, sizes: [1, 1000, 4000] });
  const { stdout } = await finish(network, [...productCommand(), "status", "--socket", box.socket]);
  assert.match(stdout, /RULE .* PASSED +DELIVERED +ANSWERED +LOST\ndns +53 .* deliver +0 +0 +0 +6 +6 +0\n/);
});

Deno.test("programs of the box itself are answered where lo is steered, in generic mode", async () => {
  await using network = await TestNetwork.create();
  await using _echo = await startEcho(network.names.steer, [["::", BLUE]]);
  await using box = await startAppliance(network, { interface: "lo", attach: "generic", rules: [deliver(BLUE)] });
  const addresses = ["127.0.0.1", "::1", ...BOX];
  const sizes = [1, 1000, 4000];
  for (const address of addresses) await echoAll(network.names.steer, { address, port: DNS_PORT, sizes });
  const { delivered, answered } = ruleOf(await box.status(), "dns");
  const packets = addresses.length * sizes.length;
  assert.deepEqual([delivered.packets, answered.packets], [packets, packets]);
});

Deno.test("a client is told when nobody listens, and the operator too", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: [deliver(BLUE)] });
  for (const address of BOX) {
    assert.equal(await askOnce(network.names.client, address, DNS_PORT), "ConnectionRefusedError");
  }
  const told = async (): Promise<string[]> => (await box.problems()).problems.map(({ message }) => message);
  const message = `Nobody listens on port ${BLUE}, which rule dns delivers to`;
  await until("the problem", async () => (await told()).includes(message));
  await using _server = await dnsServer(network.names.steer, BOX, BLUE);
  await until("its end", async () => !(await told()).includes(message));
});

Deno.test("nothing is left at tc when the process is killed, or stops, and while no rule delivers", async () => {
  await using network = await TestNetwork.create();
  await using _blue = await dnsServer(network.names.steer, BOX, BLUE);
  const killed = await startAppliance(network, { rules: [deliver(BLUE)] });
  assert.equal((await attachedToEgress(network)).length, 1);
  killed.signal("SIGKILL");
  await killed.ended();
  await killed[Symbol.asyncDispose]();
  await until("the kernel's end of it", async () => (await attachedToEgress(network)).length === 0);
  const box = await startAppliance(network, { rules: [deliver(BLUE)] });
  await load(network, () => untilMore(box));
  await box[Symbol.asyncDispose]();
  assert.deepEqual(await attachedToEgress(network), []);
  await using _plain = await startAppliance(network, { rules: ["{ name: other, ports: 99, action: count }"] });
  assert.deepEqual(await attachedToEgress(network), []);
});

/** Runs tests/support/tc_cli.ts in the steer namespace. */
const tc = (network: TestNetwork, ...words: string[]): Promise<string> =>
  network.exec("steer", [
    Deno.execPath(),
    "run",
    "--quiet",
    "-A",
    "--no-check",
    `${ROOT}/tests/support/tc_cli.ts`,
    ...words,
  ]);

Deno.test("a filter that an older kernel has kept of a killed process is removed at the next start, and no other", async () => {
  await using network = await TestNetwork.create();
  const device = INTERFACES.steer;
  await tc(network, "attach-and-close", "clsact", device);
  assert.deepEqual(await attachedToEgress(network), []);
  const plain = { rules: ["{ name: other, ports: 99, action: count }"] };
  await tc(network, "attach", "clsact", device);
  assert.equal((await attachedToEgress(network)).length, 2, "the filter and clsact");
  await (await startAppliance(network, plain))[Symbol.asyncDispose]();
  assert.deepEqual(await attachedToEgress(network), []);

  const others = ["tc", "filter", "add", "dev", device, "egress", "protocol", "all", "prio", "7", "u32"];
  await network.exec("steer", ["tc", "qdisc", "add", "dev", device, "clsact"]);
  await network.exec("steer", [...others, "match", "u32", "0", "0", "flowid", "1:1"]);
  await tc(network, "attach", "clsact", device);
  await (await startAppliance(network, plain))[Symbol.asyncDispose]();
  assert.match(await network.exec("steer", ["tc", "filter", "show", "dev", device, "egress"]), /pref 7 u32/);
  assert.deepEqual((await attachedToEgress(network)).filter((line) => line.includes("xdpsteer_answer")), []);
});

Deno.test("a program at tc that somebody detaches is put back", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: [deliver(BLUE)] });
  const links = JSON.parse(await network.exec("steer", ["bpftool", "--json", "link", "show"]));
  const held = fdInfos(box).map((text) => /^link_id:\s*(\d+)$/m.exec(text)?.[1]);
  // Debian's bpftool knows no name for tcx.
  const tcx = links.filter(({ id, type }: { id: number; type: unknown }) =>
    held.includes(`${id}`) && type !== "xdp" && type !== "tracing"
  );
  assert.equal(tcx.length, 1, JSON.stringify(tcx));
  await network.exec("steer", ["bpftool", "link", "detach", "id", `${tcx[0].id}`]);
  await until("it to be put back", async () => (await attachedToEgress(network)).length === 1);
  const status = await box.untilStatus(
    "the repair",
    ({ repairs }) => repairs.some(({ what, count }) => what === "tc" && count === 1),
  );
  assert.ok(status.ready);
});
