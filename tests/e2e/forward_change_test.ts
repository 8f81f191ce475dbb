import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { fatesOf, passedFor, ruleOf, settled } from "./support/accounts.ts";
import { startAppliance, type Status } from "./support/appliance.ts";
import {
  BACK,
  BACK_2,
  backendAddress,
  BackendHost,
  type BackendOptions,
  BOTH,
  Clients,
  type ClientsReport,
  FAMILIES,
  FAR,
  forwardConfig,
  forwardTo,
} from "./support/backends.ts";
import { lossesAround } from "./support/link.ts";
import { python } from "./support/python.ts";
import { type ForwardScene, startScene, untilForwarded } from "./support/scene.ts";
import { PATIENCE_MS, sleep, until } from "./support/wait.ts";

const PORT = 8080;
const CLIENTS = 200;
const SERVICE = FAMILIES.IPv4.service;
const IPV4_ONLY = { families: ["IPv4"] as const };
const CHECKED = {
  ...IPV4_ONLY,
  more: ", health: { check: udp, interval: 0.5, timeout: 0.45, rise: 2, fall: 3 }",
};

/** Client, box and backend host, with backends 1 to `serving` running. */
function setScene(rule: string, serving = 3, options: BackendOptions = {}): Promise<ForwardScene> {
  const interfaces = [INTERFACES.steer, BACK, ...(options.gateway ? [BACK_2] : [])];
  const numbers = Array.from({ length: serving }, (_, index) => index + 1);
  return startScene(
    (socket) => forwardConfig(socket, [rule], { interfaces }),
    { ...options, ...IPV4_ONLY, serving: numbers },
  );
}

const clientsOf = ({ network }: ForwardScene, more = {}): Promise<Clients> =>
  Clients.start(network, { address: SERVICE, port: PORT, clients: CLIENTS, ...more });

/** Everything that came is accounted for, and everything that was not answered has its reason. */
async function assertAccounted({ box }: ForwardScene, report: ClientsReport): Promise<Status> {
  const status = await settled(box);
  const fates = fatesOf(status, "web");
  const came = Object.values(fates).reduce((sum, packets) => sum + packets, 0);
  assert.equal(came, report.sent, JSON.stringify(fates));
  return status;
}

async function oneAnswer({ network }: ForwardScene, timeoutMs = 200): Promise<boolean> {
  await using client = await Clients.start(network, {
    address: SERVICE,
    port: PORT,
    clients: 1,
    requests: 1,
    timeoutMs,
  });
  return (await client.report()).answered === 1;
}

Deno.test("backends come and go in the configuration under load: sessions stay, new ones follow, nothing is lost", async () => {
  await using scene = await setScene(forwardTo(PORT, [1, 2], IPV4_ONLY));
  const { box, host } = scene;
  await using early = await clientsOf(scene);
  await early.ready();
  const change = async (numbers: readonly number[], generation: number): Promise<void> => {
    await box.writeConfig(forwardConfig(box.socket, [forwardTo(PORT, numbers, IPV4_ONLY)]));
    await box.waitForGeneration(generation);
  };
  await change([1, 2, 3], 2);
  await using late = await clientsOf(scene);
  await late.ready();
  await change([2, 3], 3); // 1 keeps the sessions it has
  await using last = await clientsOf(scene);
  await last.ready();
  await untilForwarded(scene);
  const reports = await Promise.all([early.stop(), late.stop(), last.stop()]);
  for (const { lost, wrong, late: tooLate, moved } of reports) {
    assert.deepEqual({ lost, wrong, tooLate, moved }, { lost: 0, wrong: 0, tooLate: 0, moved: 0 });
  }
  assert.deepEqual(reports.map(({ byBackend }) => Object.keys(byBackend)), [["1", "2"], ["1", "2", "3"], ["2", "3"]]);
  const sent = reports.reduce((sum, report) => sum + report.sent, 0);
  assert.deepEqual(fatesOf(await settled(box), "web"), { forwarded: sent });
  await host.stop("IPv4", 1);
});

Deno.test("a backend fails and heals: its clients move to the others, no one else does", async () => {
  await using scene = await setScene(forwardTo(PORT, [1, 2, 3], CHECKED));
  const { box, host } = scene;
  await using clients = await clientsOf(scene, { timeoutMs: 1000 });
  await clients.ready();
  await host.stop("IPv4", 2);
  await until("the log to say so", () => box.log.some(({ message }) => /10\.12\.0\.12:9000.*unhealthy/.test(message)));
  await box.untilStatus(
    "each session to have moved with its client's next packet",
    ({ backends }) => backends.find(({ name }) => name === "10.12.0.12:9000")!.sessions === 0,
  );
  await host.serve("IPv4", 2);
  await until("the log to say so", () => box.log.some(({ message }) => /10\.12\.0\.12:9000.* healthy/.test(message)));
  await using fresh = await clientsOf(scene);
  await fresh.ready();
  const news = await fresh.stop();
  const report = await clients.stop();
  assert.equal(report.wrong, 0);
  assert.deepEqual(Object.keys(report.byBackend), ["1", "3"], "who has moved stays where it is");
  assert.ok(report.moved > 40 && report.moved < 100, `${report.moved} moved: about a third of ${CLIENTS}`);
  assert.ok(report.lost > 0, "some are lost until the third check has failed");
  assert.deepEqual(Object.keys(news.byBackend), ["1", "2", "3"]);
  assert.equal(news.lost, 0);
});

Deno.test("no healthy backend left: dropped and counted, or left to the kernel stack where the rule says so", async () => {
  for (const noneLeft of ["drop", "pass"] as const) {
    const more = `${CHECKED.more}, none_left: ${noneLeft}`;
    await using scene = await setScene(forwardTo(PORT, [1], { ...IPV4_ONLY, more }), 1);
    const { box, host } = scene;
    assert.ok(await oneAnswer(scene, PATIENCE_MS));
    await host.stop("IPv4", 1);
    await until("an unhealthy backend", () => box.log.some(({ message }) => /unhealthy/.test(message)));
    await until("packets without a backend", async () => {
      await oneAnswer(scene);
      const status = await box.status();
      return (noneLeft === "drop" ? fatesOf(status, "web").no_backend ?? 0 : ruleOf(status, "web").passed.packets) > 0;
    });
    assert.ok(!(await oneAnswer(scene)));
    await host.serve("IPv4", 1);
    await until("an answer again", () => oneAnswer(scene));
  }
});

Deno.test("none_left: pass with a backend that leaves: it is none of the rule's, but its sessions outlast the passing", async () => {
  const more = `${CHECKED.more}, none_left: pass, idle_timeout: 600`;
  await using scene = await setScene(forwardTo(PORT, [1, 2], { ...IPV4_ONLY, more }), 2);
  const { box, host } = scene;
  await using clients = await clientsOf(scene, { timeoutMs: 200 });
  await clients.ready();
  await box.writeConfig(forwardConfig(box.socket, [forwardTo(PORT, [2], { ...IPV4_ONLY, more })]));
  await box.waitForGeneration(2);
  await untilForwarded(scene);
  const passed = (status: Status): number => ruleOf(status, "web").passed.packets;
  const leaving = (status: Status): number =>
    status.backends.find(({ leavingSeconds }) => leavingSeconds !== null)?.sessions ?? 0;
  const draining = await box.status();
  assert.equal(passed(draining), 0, "the new backend is healthy");
  const sessions = leaving(draining);
  assert.ok(sessions > 40, `${sessions} of ${CLIENTS} are with the backend that leaves`);

  await host.stop("IPv4", 2);
  await box.untilStatus("packets that pass", (status) => passed(status) > 0);
  assert.ok(!(await oneAnswer(scene)), "nobody is served by the one that leaves");
  assert.equal(leaving(await box.status()), sessions);
  await host.serve("IPv4", 2);
  await until("an answer again", () => oneAnswer(scene));
  await untilForwarded(scene);
  const report = await clients.stop();
  assert.deepEqual({ wrong: report.wrong, moved: report.moved }, { wrong: 0, moved: 0 });
  assert.equal(report.byBackend["1"], sessions);
  const { forwarded, no_backend, ...others } = fatesOf(await settled(box), "web");
  assert.deepEqual(others, {}, `beside ${forwarded} forwarded, and ${no_backend} until the rule passed`);
});

/** What happens to the way to the backends, and what of it may be seen. */
const EVENTS: Readonly<
  Record<string, { options?: BackendOptions; happen: (scene: ForwardScene) => Promise<unknown> }>
> = {
  "the backends' MAC address changes": {
    happen: async ({ host }) => {
      // As whoever takes an address over does.
      await host.exec(["sysctl", "-q", "-w", `net.ipv4.conf.${FAR}.arp_notify=1`]);
      await host.exec(["ip", "link", "set", FAR, "address", "02:00:00:00:99:99"]);
    },
  },
  "the box's own MAC address changes": {
    happen: async ({ host, network }) => {
      await network.exec("steer", ["sysctl", "-q", "-w", `net.ipv4.conf.${BACK}.arp_notify=1`]);
      await network.exec("steer", ["ip", "link", "set", BACK, "address", "02:00:00:00:88:88"]);
      await host.exec(["ip", "neighbour", "flush", "dev", FAR]);
    },
  },
  "the route moves to a gateway on another interface": {
    options: { gateway: true },
    happen: async ({ network }) => {
      for (const number of [1, 2, 3]) {
        await network.exec("steer", ["ip", "route", "replace", backendAddress("IPv4", number), "via", "10.14.0.1"]);
      }
    },
  },
  "the interface to the backends goes down and up": {
    happen: async ({ network }) => {
      await network.exec("steer", ["ip", "link", "set", BACK, "down"]);
      await sleep(200);
      await network.exec("steer", ["ip", "link", "set", BACK, "up"]);
    },
  },
  "the neighbour entries are flushed": {
    happen: ({ network }) => network.exec("steer", ["ip", "neighbour", "flush", "dev", BACK]),
  },
};

for (const [what, { options = {}, happen }] of Object.entries(EVENTS)) {
  Deno.test(`${what} under load: it works again, and what was lost is counted`, async () => {
    await using scene = await setScene(forwardTo(PORT, [1, 2, 3], IPV4_ONLY), 3, options);
    assert.ok(await oneAnswer(scene, PATIENCE_MS));
    await using clients = await clientsOf(scene, { timeoutMs: 200 });
    await clients.ready();
    await happen(scene);
    await until("an answer", () => oneAnswer(scene));
    await untilForwarded(scene);
    const report = await clients.stop();
    assert.deepEqual({ wrong: report.wrong, moved: report.moved }, { wrong: 0, moved: 0 });
    assert.ok(report.answered > report.lost, `${report.answered} answered, ${report.lost} lost`);
    const status = await settled(scene.box);
    // Whoever is asked on the way may say that there is no way.
    const { forwarded = 0, no_neighbour = 0, tx_ring_full = 0, error_forwarded: _, ...others } = fatesOf(status, "web");
    assert.deepEqual(others, {});
    // Where the box had to wait for its CPU, packets are lost before it, or the kernel's stack has them.
    const { sum, places } = await lossesAround(scene.network, scene.host.name);
    const { socketDrops } = status.totals;
    const before = sum + socketDrops + passedFor(status, "deadman");
    const counts = JSON.stringify({ sent: report.sent, forwarded, no_neighbour, tx_ring_full, socketDrops, ...places });
    assert.ok(forwarded + no_neighbour + tx_ring_full + before >= report.sent, counts);
    assert.ok(await oneAnswer(scene, PATIENCE_MS));
  });
}

Deno.test("packets too large for the way to the backend: counted, and their sender told the size", async () => {
  for (const family of BOTH) {
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    await host.serve(family, 1);
    await network.exec("steer", ["ip", "link", "set", BACK, "mtu", "1300"]);
    const rule = forwardTo(PORT, [1], { families: [family] });
    await using box = await startAppliance(network, (socket) => forwardConfig(socket, [rule]));
    const address = FAMILIES[family].service;
    await using clients = await Clients.start(network, { address, port: PORT, clients: 3, requests: 5, bytes: 1250 });
    assert.equal((await clients.report()).answered, 15);
    const told = await python(network, "client", PATH_MTU, { address, port: PORT });
    assert.equal(told, 1300, family);
    assert.equal(fatesOf(await settled(box), "web").too_big, 1);
  }
});

const PATH_MTU = `
kind = family(options["address"])
client = socket.socket(kind, socket.SOCK_DGRAM)
level, discover, mtu = (socket.IPPROTO_IPV6, 23, 24) if kind == socket.AF_INET6 else (socket.IPPROTO_IP, 10, 14)
client.setsockopt(level, discover, 2) # always: no fragments
client.connect((options["address"], options["port"]))
client.send(bytes(1400))
time.sleep(0.3)
print(client.getsockopt(level, mtu))
`;

Deno.test("no route to a backend at the start: counted as such, and it works as soon as there is one", async () => {
  await using scene = await setScene(forwardTo(PORT, [1], IPV4_ONLY), 1);
  const { box, network } = scene;
  assert.ok(await oneAnswer(scene, PATIENCE_MS));
  await network.exec("steer", ["ip", "address", "flush", "dev", BACK]);
  const status = await until("a packet without a way", async () => {
    await oneAnswer(scene); // one may still come: the backends know the box
    const now = await box.status();
    return (fatesOf(now, "web").no_neighbour ?? 0) > 0 && now;
  });
  assert.ok(!(await oneAnswer(scene)));
  await network.exec("steer", ["ip", "address", "add", "10.12.0.2/24", "dev", BACK]);
  await until("an answer", () => oneAnswer(scene));
  await assertAccounted(
    scene,
    { sent: Object.values(fatesOf(await settled(box), "web")).reduce((a, b) => a + b) } as ClientsReport,
  );
  assert.ok(status.generation === 1);
});

Deno.test("translation ports that the kernel also gives to programs are complained of, with the fix", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await host.serve("IPv4", 1);
  const warningsOf = async (count: number): Promise<string[]> => {
    const more = ["forwarding: { ports: 40000-49999 }"];
    const rule = forwardTo(PORT, [1], IPV4_ONLY);
    await using box = await startAppliance(network, (socket) => forwardConfig(socket, [rule], { more }));
    const told = (): string[] => box.log.filter(({ level }) => level === "warning").map(({ message }) => message);
    await until("warnings", () => told().length >= count);
    return told();
  };
  assert.match((await warningsOf(1)).join("\n"), /sysctl -w net\.ipv4\.ip_local_reserved_ports=40000-49999/);
  await network.exec("steer", ["sysctl", "-q", "-w", "net.ipv4.ip_local_reserved_ports=40000-49999"]);
  assert.deepEqual(await warningsOf(0), []);
});
