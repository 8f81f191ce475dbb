/** Machines that lose packets of listed ports, or steer others than were sent: refused, or told with the fix. */
import assert from "node:assert/strict";
import { INTERFACES, IPV4, type Side, TestNetwork } from "../support/netns.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { startInVain } from "./support/bad_start.ts";
import { finish, type Finished, productCommand, TempDir } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { until } from "./support/wait.ts";

interface Found {
  readonly check: string;
  readonly status: string;
  readonly text: string;
  readonly fix?: string;
}

/** Runs a command on a file with a configuration, whose name is its last word. */
async function runOn(network: TestNetwork, config: TestConfig, ...words: readonly string[]): Promise<Finished> {
  await using directory = await TempDir.create();
  const file = `${directory.path}/steering.yaml`;
  await Deno.writeTextFile(file, configText(config, `${directory.path}/control.sock`));
  return await finish(network, [...productCommand(), ...words, file]);
}

/** What doctor finds that is not ok, by check. */
async function misfits(network: TestNetwork, config: TestConfig): Promise<Record<string, Found>> {
  const { stdout, stderr } = await runOn(network, config, "doctor", "--json", "--config");
  assert.equal(stderr, "");
  const { findings }: { findings: Found[] } = JSON.parse(stdout);
  return Object.fromEntries(findings.filter(({ status }) => status !== "ok").map((found) => [found.check, found]));
}

/** What check warns of: place and message, each in a line. */
async function warned(network: TestNetwork, config: TestConfig): Promise<string[]> {
  const { code, stderr } = await runOn(network, config, "check");
  assert.equal(code, 0, "the file may be for another machine");
  return [...stderr.matchAll(/^warning: .*?:(\d+:\d+: .*)$/gm)].map(([, words]) => words!);
}

/** What the log has told of the machine, when it has so much to tell. */
async function warnings(box: Appliance, count: number): Promise<string[]> {
  const told = (): string[] => box.log.filter(({ logger }) => logger === "xdpsteer.host").map(({ message }) => message);
  await until(`${count} warnings`, () => told().length >= count, { describe: () => box.stderr });
  return told();
}

/** Runs a command line that a finding or the log advises. */
function follow(network: TestNetwork, side: Side, command: string): Promise<string> {
  return network.exec(side, command.split(", where ")[0]!.replace("PEER", INTERFACES[side]).split(" "));
}

Deno.test("an interface whose packets have no Ethernet header is refused, and doctor says so before", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  await network.exec("steer", ["ip", "tuntap", "add", "tun0", "mode", "tun"]);
  await network.exec("steer", ["ip", "link", "set", "tun0", "up"]);
  for (const attach of ["auto", "generic"] as const) {
    const config: TestConfig = { rules: ["{ name: all, ports: 9000, action: drop }"], interface: "tun0", attach };
    const { "interface.link_layer": found, "interface.native_xdp": native } = await misfits(network, config);
    assert.equal(found?.status, "problem");
    assert.equal(found.text, "its packets have no Ethernet header (link type 65534), and a start is refused");
    assert.match(found.fix!, /^ip -o link \| grep link\/ether/);
    assert.equal(native, undefined, "nothing was attached to try it");
    const [warning, ...more] = await warned(network, config);
    assert.match(
      warning!,
      /^\d+:\d+: cannot attach to interface "tun0": its packets have no .*: run would not start here \(steer the /,
    );
    assert.deepEqual(more, []);
    const start = { config: configText(config, `${directory.path}/control.sock`) };
    const { code, stderr } = await startInVain(network, directory.path, start);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /Cannot attach to interface "tun0": its packets have no Ethernet header \(link type 65534\)\n +hint: steer the /,
    );
  }
});

Deno.test("check warns of each interface that a start here would refuse, in the words of the start", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const name = INTERFACES.steer;
  await network.exec("steer", ["ip", "link", "property", "add", "dev", name, "altname", "lan0"]);
  const rules = ["{ name: a, ports: 9000 }"];
  const refused: readonly (readonly [more: Partial<TestConfig>, words: RegExp, hint: RegExp])[] = [
    [
      { interface: "none0" },
      /there is no interface "none0" in this network namespace/i,
      /the interfaces are: .*\blo\b/,
    ],
    [{ memory: "queues: [0, 7]" }, new RegExp(`interface "${name}" has no rx queue 7: it has \\d+`, "i"), /ethtool -L/],
    [{ others: ["{ name: lan0 }"] }, new RegExp(`"${name}" and "lan0" are names of one interface`), /list it once/],
  ];
  for (const [more, words, hint] of refused) {
    const config: TestConfig = { rules, ...more };
    const [warning, ...others] = await warned(network, config);
    assert.match(
      warning!,
      new RegExp(`^\\d+:\\d+: ${words.source}.*: run would not start here \\(${hint.source}`, "i"),
    );
    assert.deepEqual(others, []);
    const start = { config: configText(config, `${directory.path}/control.sock`) };
    const { code, stderr } = await startInVain(network, directory.path, start);
    assert.notEqual(code, 0);
    assert.match(stderr, words);
  }
  assert.deepEqual(await warned(network, { rules }), []);
});

/** Sends messages that the device is to cut into datagrams of 100 bytes, and prints the sizes of what comes back. */
const SEGMENTS = `
import json, socket
UDP_SEGMENT = 103
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
client.connect(("${IPV4.steer}", 9000))
client.send(b"x" * 300)
sizes = []
client.settimeout(20)
while sum(sizes) < 300: sizes.append(len(client.recv(1000)))
print(json.dumps(sizes))
`;

Deno.test("generic mode: several datagrams of a sender come as one, as the start warns; its fix cuts them", async () => {
  await using network = await TestNetwork.create();
  const config: TestConfig = { rules: ["{ name: echo, ports: 9000, action: echo }"], attach: "generic" };
  const { "interface.segments": found, ...others } = await misfits(network, config);
  assert.deepEqual(others, {});
  assert.equal(found?.status, "warning");
  await using box = await startAppliance(network, config);
  assert.deepEqual(await warnings(box, 1), [`Interface ${INTERFACES.steer}: ${found.text}. Fix: ${found.fix}`]);
  const sizes = async (): Promise<number[]> =>
    JSON.parse(await network.exec("client", ["/usr/bin/python3", "-c", SEGMENTS]));
  assert.deepEqual(await sizes(), [300], "three are one");
  await follow(network, "client", found.fix!);
  assert.deepEqual(await sizes(), [100, 100, 100]);

  await using native = await TestNetwork.create();
  assert.deepEqual(await misfits(native, { ...config, attach: "native" }), {});
});

Deno.test("generic mode: GRO is told, and the fix is one that doctor finds", async () => {
  await using network = await TestNetwork.create();
  const config: TestConfig = { rules: ["{ name: a, ports: 9000 }"], attach: "generic" };
  await network.exec("steer", ["ethtool", "-K", INTERFACES.steer, "gro", "on"]);
  const { "interface.gro": found } = await misfits(network, config);
  assert.equal(found?.status, "warning");
  await follow(network, "steer", found.fix!);
  assert.deepEqual(Object.keys(await misfits(network, config)), ["interface.segments"]);
});

/** Asks a server twenty times from ports that the kernel chooses, and prints how often it was answered. */
const ASK = `
import socket
answers = 0
for _ in range(20):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.3)
        client.connect(("${IPV4.client}", 53))
        client.send(b"?")
        try: answers += len(client.recv(100))
        except OSError: pass
print(answers)
`;
const SERVE = `
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("${IPV4.client}", 53))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(100)
    server.sendto(data, peer)
`;

Deno.test("rules for ports that the kernel gives to programs: told at the start, at a change, and fixed by sysctl", async () => {
  await using network = await TestNetwork.create();
  const server = network.spawn("client", ["/usr/bin/python3", "-c", SERVE], { stderr: "null" });
  const reader = server.stdout.getReader();
  await reader.read();
  const range = "net.ipv4.ip_local_port_range=40000 40019";
  await network.exec("steer", ["sysctl", "-q", "-w", range, "net.ipv4.ip_local_reserved_ports=8080"]);
  const rule = (ports: string): TestConfig => ({ rules: [`{ name: media, ports: "${ports}" }`] });
  const { "machine.local_ports": found, ...others } = await misfits(network, rule("40001-40019"));
  assert.deepEqual(others, {});
  assert.match(found!.text, /^the kernel gives ports that are steered \(40001-40019\) to programs of this box/);

  await using box = await startAppliance(network, rule("40010-40012"));
  assert.equal((await warnings(box, 1)).length, 1);
  await box.put(rule("1-40019"));
  const { body } = await box.put(rule("40001-40019"));
  const told = await warnings(box, 3);
  assert.deepEqual(JSON.parse(body).warnings, [told.at(-1)]);
  assert.equal(told.at(-1), `T${found!.text.slice(1)}. Fix: ${found!.fix}`);
  assert.equal(told.length, 3);
  const answered = async (): Promise<number> => Number(await network.exec("steer", ["/usr/bin/python3", "-c", ASK]));
  assert.ok(await answered() < 20, "answers are counted, and not delivered");

  await network.exec("steer", [...found!.fix!.split(" ")]);
  assert.equal(await answered(), 20);
  assert.deepEqual(await misfits(network, rule("40001-40019")), {});
  await reader.cancel();
  server.kill("SIGKILL");
  await server.status;
});

Deno.test("a joined network namespace with the /sys of another: all queues are covered, and it is told", async () => {
  await using network = await TestNetwork.create({ queues: 2 });
  const config: TestConfig = { rules: ["{ name: a, ports: 9000 }"], attach: "auto" };
  const { steer } = network.names;
  // Its /sys is of a namespace where the interface of this name has one queue, or where there is none.
  for (const elsewhere of [`ip link add ${INTERFACES.steer} type veth peer name other0`, "true"]) {
    const join = `${elsewhere} && mount -t sysfs sysfs /sys && exec nsenter --net="$0" "$@"`;
    const as = ["unshare", "--mount", "--net", "sh", "-c", join, `/run/netns/${steer}`];
    await using box = await startAppliance(network, config, { as });
    const { interfaces } = await box.status();
    assert.deepEqual(interfaces.map(({ name, queues }) => [name, queues.length]), [[INTERFACES.steer, 2]]);
    const [told, ...more] = await warnings(box, 1);
    assert.deepEqual(more, []);
    assert.match(told!, /^Interface steer0: \/sys is not that of this network namespace: .* Fix: unshare --mount /);
    assert.equal((await box.metrics()).get(`xdpsteer_interface_up{interface="${INTERFACES.steer}"}`), 1);
  }
});

Deno.test("a run takes no inotify instance, of which there may be none left", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: [] });
  const files = [...Deno.readDirSync(`/proc/${box.pid}/fd`)].flatMap(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/${box.pid}/fd/${name}`);
    } catch {
      return []; // closed since
    }
  });
  assert.ok(files.length > 10);
  assert.deepEqual(files.filter((file) => file.includes("inotify")), []);
});

Deno.test("an IPv6 backend where IPv6 is off: told, and fixed by sysctl", async () => {
  await using network = await TestNetwork.create();
  const to = JSON.stringify(["[fd11::1]:9000"]);
  const config: TestConfig = { rules: [`{ name: six, ports: 9000, action: { forward: { to: ${to} } } }`] };
  assert.deepEqual(await misfits(network, config), {});
  const off = `net.ipv6.conf.${INTERFACES.steer}.disable_ipv6=1`;
  await network.exec("steer", ["sysctl", "-q", "-w", off]);
  const { "machine.ipv6": found, "forwarding.backends": way, ...others } = await misfits(network, config);
  assert.deepEqual(others, {});
  assert.match(way!.text, /\[fd11::1\]:9000 \(no route\)$/);
  assert.equal(found?.text, `backend [fd11::1]:9000 has an IPv6 address, and IPv6 is off on ${INTERFACES.steer}`);
  await follow(network, "steer", found.fix!);
  // The kernel has forgotten the interface's addresses with IPv6.
  await network.exec("steer", ["ip", "address", "add", "fd11::2/64", "dev", INTERFACES.steer, "nodad"]);
  assert.deepEqual(await misfits(network, config), {});
});
