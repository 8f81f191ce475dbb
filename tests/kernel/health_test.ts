import assert from "node:assert/strict";
import type { BackendHealth } from "../../src/backends/health/checks.ts";
import { HEALTH_CHECKS } from "../../src/steering/forward.ts";
import { TempDir } from "../e2e/support/command.ts";
import { asOrdinaryUser, copyPackages } from "../e2e/support/ordinary_user.ts";
import { sleep, until } from "../e2e/support/wait.ts";
import { type BackendText, type Change, HealthProcess } from "../support/health_cli.ts";
import { HealthServers } from "../support/health_servers.ts";
import { INTERFACES, IPV4, IPV6, TestNetwork } from "../support/netns.ts";

const FAMILIES = {
  ipv4: { peer: IPV4.steer, blackhole: "10.11.0.66", beyond: "10.50.0.1", ping: [] },
  ipv6: { peer: IPV6.steer, blackhole: "fd11::66", beyond: "fd50::1", ping: ["-6"] },
} as const;

/** Quick, and lenient with a machine that is busy. */
const QUICK = { intervalMs: 40, timeoutMs: 1000, rise: 2, fall: 2 } as const;
/** For those that say nothing. */
const SHORT = { ...QUICK, timeoutMs: 100 } as const;

/** Servers in the steer namespace are checked from the client's, which also knows a host that is not there. */
async function healthNetwork(): Promise<TestNetwork> {
  const network = await TestNetwork.create();
  try {
    for (const { blackhole } of Object.values(FAMILIES)) {
      const neighbour = [blackhole, "lladdr", "02:00:00:00:00:66", "nud", "permanent", "dev", INTERFACES.client];
      await network.exec("client", ["ip", "neighbour", "replace", ...neighbour]);
    }
    // Else the kernel tells of an unreachable port once a second only.
    const unlimited = ["net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"];
    await network.exec("steer", ["sysctl", "-q", "-w", ...unlimited]);
    return network;
  } catch (error) {
    await network[Symbol.asyncDispose]();
    throw error;
  }
}

/** Waits until a backend has been checked so often since `from`. */
function untilChecked(health: HealthProcess, name: string, count: number, from = 0): Promise<BackendHealth> {
  return until(`${count} checks of ${name}`, async () => {
    const status = (await health.status())[name]!;
    return status.checks >= from + count ? status : undefined;
  }, { describe: () => health.log });
}

function untilChanged(health: HealthProcess, name: string, count: number): Promise<Change> {
  return until(`${count} changes of ${name}`, () => {
    const changes = health.events.filter((change) => change.name === name);
    return changes.length >= count ? changes[count - 1] : undefined;
  }, { describe: () => health.log });
}

/** The log's sentences. */
function messages(health: HealthProcess): string[] {
  return health.log.trim().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line).message);
}

for (const [family, { peer, blackhole, beyond }] of Object.entries(FAMILIES)) {
  Deno.test(`a backend that answers is healthy: udp, tcp, icmp and dns over ${family}`, async () => {
    await using network = await healthNetwork();
    await using servers = await HealthServers.start(network, {
      udp: { 5001: "echo", 5002: "twice", 5003: "empty", 5004: "dns" },
      tcp: [5001],
    });
    await using health = await HealthProcess.start(network);
    const before = await health.openFiles();
    const backends: BackendText[] = [
      { ...QUICK, name: "udp", address: peer, port: 5001, kind: "udp", payload: "ping", expect: "pong ping" },
      { ...QUICK, name: "any", address: peer, port: 5001, kind: "udp" },
      { ...QUICK, name: "twice", address: peer, port: 5002, kind: "udp", payload: "two", expect: "pong" },
      { ...QUICK, name: "empty", address: peer, port: 5003, kind: "udp" },
      { ...QUICK, name: "other port", address: peer, port: 9, checkPort: 5001, kind: "udp" },
      { ...QUICK, name: "tcp", address: peer, port: 5001, kind: "tcp" },
      { ...QUICK, name: "icmp", address: peer, port: 9, kind: "icmp" },
      { ...QUICK, name: "dns", address: peer, port: 5004, kind: "dns" },
    ];
    assert.deepEqual(new Set<string>(HEALTH_CHECKS).difference(new Set(backends.map(({ kind }) => kind))), new Set());
    await health.set(backends);
    for (const { name, kind } of backends) {
      const status = await untilChecked(health, name, 10);
      assert.equal(status.healthy, true, name);
      assert.equal(status.failures, 0, `${name}: ${status.reason}`);
      assert.equal(status.reason, kind === "tcp" ? "connected" : "answered");
      assert.ok(status.lastMs! > 0 && status.lastMs! < QUICK.timeoutMs, `${name}: ${status.lastMs} ms`);
      assert.ok(Math.abs(Date.parse(status.since) - Date.now()) < 60_000);
    }
    const udp = servers.requests("udp", 5001).filter(({ data }) => data === "ping");
    assert.ok(udp.length >= 10);
    assert.equal(new Set(udp.map(({ peerPort }) => peerPort)).size, 1, "one socket for all of a backend's checks");
    const twice = servers.requests("udp", 5002);
    assert.ok(new Set(twice.map(({ peerPort }) => peerPort)).size >= 9, "no answer too many is taken for the next one");
    const tcp = servers.requests("tcp", 5001);
    assert.ok(tcp.length >= 9 && tcp.every(({ data }) => data === "b''"), "connections end in order");
    assert.deepEqual(health.events, []);
    assert.equal(health.log, "", "nothing to say");

    await health.set(backends.slice(1));
    assert.deepEqual(Object.keys(await health.status()), backends.slice(1).map(({ name }) => name));
    assert.deepEqual(await health.end(), before, "no socket is left");
  });

  Deno.test(`a game server is healthy with the bytes of its protocol, which text cannot say, over ${family}`, async () => {
    await using network = await healthNetwork();
    await using servers = await HealthServers.start(network, { udp: { 27015: "a2s" } });
    await using health = await HealthProcess.start(network);
    const query = new TextEncoder().encode("....TSource Engine Query\0").fill(0xff, 0, 4);
    const server = { ...SHORT, timeoutMs: 1000, address: peer, port: 27015, kind: "udp" } as const;
    const good = { payload: { hex: query.toHex() }, expect: { hex: "ff ff ff ff 49" } };
    await health.set([
      { ...server, ...good, name: "hex" },
      { ...server, name: "base64", payload: { base64: query.toBase64() }, expect: { base64: "/////0k=" } },
      { ...server, ...good, name: "another answer", expect: { hex: "ff ff ff ff 41" } },
      { ...server, ...SHORT, name: "text", payload: "\xff\xff\xff\xffTSource Engine Query\0" },
    ]);
    for (const name of ["hex", "base64"]) {
      const { healthy, failures, reason } = await untilChecked(health, name, 5);
      assert.deepEqual({ healthy, failures, reason }, { healthy: true, failures: 0, reason: "answered" }, name);
    }
    const { reason } = await untilChanged(health, "another answer", 1);
    assert.equal(reason, "wrong answer of 22 bytes: ffffffff491173746565726564006465...");
    assert.equal((await untilChanged(health, "text", 1)).reason, "no answer in 100 ms");
    const data = servers.requests("udp", 27015).map((request) => request.data);
    assert.ok(data.some((bytes) => bytes.startsWith("\\xff\\xff\\xff\\xffTSource")), "bytes as they were written");
    assert.ok(data.some((bytes) => bytes.startsWith("ÿÿÿÿT")), "text as UTF-8");
  });

  Deno.test(`a port nobody listens on fails at once, and its server is found when it comes, over ${family}`, async () => {
    await using network = await healthNetwork();
    await using health = await HealthProcess.start(network);
    // Only a request that a server takes with it when it ends waits for so long.
    const timeoutMs = 2000;
    const patient = { ...QUICK, timeoutMs, address: peer, port: 5001 };
    await health.set([
      { ...patient, name: "udp", kind: "udp", payload: "ping" },
      { ...patient, name: "tcp", kind: "tcp" },
    ]);
    for (const name of ["udp", "tcp"]) {
      const { checks, healthy, reason } = await untilChanged(health, name, 1);
      assert.deepEqual({ checks, healthy, reason }, {
        checks: QUICK.fall,
        healthy: false,
        reason: "nobody listens on the port (ECONNREFUSED)",
      });
      const { lastMs } = (await health.status())[name]!;
      assert.equal(lastMs, null);
    }
    {
      await using _servers = await HealthServers.start(network, { udp: { 5001: "echo" }, tcp: [5001] });
      for (const name of ["udp", "tcp"]) {
        assert.equal((await untilChanged(health, name, 2)).healthy, true);
        const { reason, failure } = (await health.status())[name]!;
        assert.notEqual(reason, failure);
        assert.equal(failure, "nobody listens on the port (ECONNREFUSED)", "what it was");
      }
    }
    for (const name of ["udp", "tcp"]) assert.equal((await untilChanged(health, name, 3)).healthy, false);
    const refused = "nobody listens on the port (ECONNREFUSED), 2 in a row";
    assert.deepEqual(messages(health).filter((message) => message.includes("Backend udp")), [
      `Backend udp is unhealthy: ${refused}`,
      "Backend udp is healthy again: answered, 2 in a row",
      `Backend udp is unhealthy: ${refused}`,
    ]);
    assert.equal(messages(health).length, 6, "each change is logged once");
  });

  Deno.test(`silence, late answers and wrong ones are failures over ${family}`, async () => {
    await using network = await healthNetwork();
    await using _servers = await HealthServers.start(network, {
      udp: { 5001: "silent", 5002: { delayMs: 1000 }, 5003: { pattern: "0" }, 5004: "echo", 5005: "empty" },
    });
    await using health = await HealthProcess.start(network);
    const cases: readonly (readonly [BackendText, string])[] = [
      [{ ...SHORT, name: "silent", address: peer, port: 5001, kind: "udp" }, "no answer in 100 ms"],
      // Its answers come while later checks go on.
      [{ ...SHORT, name: "slow", address: peer, port: 5002, kind: "udp" }, "no answer in 100 ms"],
      [
        { ...SHORT, name: "wrong", address: peer, port: 5003, kind: "udp", expect: "pong" },
        "wrong answer of 40 bytes: 1b5b33316d6e6f0a2c20616e64206120...",
      ],
      [
        { ...SHORT, name: "longer", address: peer, port: 5004, kind: "udp", expect: "pong ping" },
        "wrong answer of 5 bytes: 706f6e6720",
      ],
      [
        { ...SHORT, name: "empty", address: peer, port: 5005, kind: "udp", expect: "p" },
        "wrong answer of 0 bytes: ",
      ],
      [{ ...SHORT, name: "gone udp", address: blackhole, port: 5001, kind: "udp" }, "no answer in 100 ms"],
      [{ ...SHORT, name: "gone tcp", address: blackhole, port: 5001, kind: "tcp" }, "no connection in 100 ms"],
      [{ ...SHORT, name: "gone icmp", address: blackhole, port: 5001, kind: "icmp" }, "no answer in 100 ms"],
    ];
    await health.set(cases.map(([backend]) => backend));
    for (const [{ name }, reason] of cases) {
      const change = await untilChanged(health, name, 1);
      assert.deepEqual([change.healthy, change.reason, change.checks], [false, reason, SHORT.fall], name);
    }
    const { checks } = await untilChecked(health, "slow", 20);
    const status = await health.status();
    assert.ok(checks >= 20);
    for (const [{ name }] of cases) assert.equal(status[name]!.failures, status[name]!.checks, name);
    assert.equal(health.events.length, cases.length);
  });

  Deno.test(`what a router says of a host it cannot reach is a failure at once over ${family}`, async () => {
    await using network = await healthNetwork();
    const forward = family === "ipv4" ? "net.ipv4.ip_forward=1" : "net.ipv6.conf.all.forwarding=1";
    await network.exec("steer", ["sysctl", "-q", "-w", forward]);
    await network.exec("steer", ["ip", "route", "add", "unreachable", beyond]);
    await network.exec("client", ["ip", "route", "add", beyond, "via", peer]);
    await using health = await HealthProcess.start(network);
    // A router says so five times and then once a second only: what it does not say, ends with "no answer" after a
    // minute.
    const patient = { ...QUICK, intervalMs: 1000, fall: 1, timeoutMs: 60_000, address: beyond, port: 5001 };
    const kinds = ["udp", "tcp", "icmp"] as const;
    await health.set(kinds.filter((kind) => kind !== "tcp").map((kind) => ({ ...patient, name: kind, kind })));
    for (const kind of ["udp", "icmp"]) {
      const change = await untilChanged(health, kind, 1);
      assert.match(change.reason, /^(the host cannot be reached|there is no route to it) \(E(HOST|NET)UNREACH\)$/);
      assert.equal(change.checks, patient.fall);
    }
    // Without a route of our own nothing is sent at all.
    await network.exec("client", ["ip", "route", "delete", beyond]);
    await health.set(kinds.map((kind) => ({ ...patient, name: `${kind} unrouted`, kind })));
    for (const kind of kinds) {
      assert.equal((await untilChanged(health, `${kind} unrouted`, 1)).reason, "there is no route to it (ENETUNREACH)");
    }
    assert.deepEqual(Object.keys(await health.status()), kinds.map((kind) => `${kind} unrouted`));
  });
}

Deno.test("checks are sent from ports that no rule has, also when a rule takes the one that they have", async () => {
  await using network = await healthNetwork();
  await using servers = await HealthServers.start(network, { udp: { 5001: "echo" } });
  await using health = await HealthProcess.start(network);
  // Of twenty ports that the kernel chooses from, eighteen are steered: an answer to one of those never arrives.
  await network.exec("client", ["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=40000 40019"]);
  const backend: BackendText = { ...QUICK, name: "one", address: IPV4.steer, port: 5001, kind: "udp" };
  const others = Array.from({ length: 9 }, (_, index): BackendText => ({ ...backend, name: `${index}` }));
  const portsUsed = (): Set<number> => new Set(servers.requests("udp", 5001).map(({ peerPort }) => peerPort));
  await health.set([backend], [{ first: 40_001, last: 40_018 }]);
  await untilChecked(health, "one", 5);
  const [first, ...more] = portsUsed();
  assert.ok((first === 40_000 || first === 40_019) && more.length === 0, `${first}, ${more}`);

  const last = first === 40_000 ? 40_019 : 40_000;
  await health.set([backend], [{ first: 40_001, last: 40_018 }, { first, last: first }]);
  await untilChecked(health, "one", 5, (await health.status())["one"]!.checks);
  assert.deepEqual([...portsUsed()], [first, last]);

  // More checks than ports are left in the range: the others are sent from outside of it.
  await health.set([backend, ...others], [{ first: 40_000, last: 40_019 }]);
  for (const { name } of others) await untilChecked(health, name, 5);
  const outside = [...portsUsed()].filter((port) => port !== first && port !== last);
  assert.ok(outside.length >= 10 && outside.every((port) => port >= 1024 && (port < 40_000 || port > 40_019)));
  assert.ok(Object.values(await health.status()).every(({ failures }) => failures === 0));
});

Deno.test("an echo reply that is not ours is none", async () => {
  await using network = await healthNetwork();
  const quiet = ["net.ipv4.icmp_echo_ignore_all=1", "net.ipv6.icmp.echo_ignore_all=1"];
  await network.exec("steer", ["sysctl", "-q", "-w", ...quiet]);
  // So that it is a raw socket: one that sees everybody's replies.
  await network.exec("client", ["sysctl", "-q", "-w", "net.ipv4.ping_group_range=1 0"]);
  await using servers = await HealthServers.start(network, { falseEcho: true });
  await using health = await HealthProcess.start(network);
  const families = Object.entries(FAMILIES);
  await health.set(families.map(([name, { peer }]) => ({ ...SHORT, name, address: peer, port: 9, kind: "icmp" })));
  for (const [name] of families) {
    const { reason, checks } = await untilChanged(health, name, 1);
    assert.deepEqual([reason, checks], ["no answer in 100 ms", SHORT.fall]);
  }
  assert.ok(servers.requests("icmp", 0).length >= 4, "there were such answers");
});

/** Who may send ICMP, and under which net.ipv4.ping_group_range. */
const PINGERS = {
  "root without the group": { wrapper: [], groups: "1 0", may: true },
  "a user with CAP_NET_RAW": { wrapper: asOrdinaryUser(["net_raw"]), groups: "1 0", may: true },
  "a user in the group": { wrapper: asOrdinaryUser(), groups: "0 2147483647", may: true },
  "a user with neither": { wrapper: asOrdinaryUser(), groups: "1 0", may: false },
} as const;

Deno.test("ICMP needs CAP_NET_RAW or a ping_group_range, and a machine with neither keeps its backends", async (test) => {
  await using network = await healthNetwork();
  await using cache = await TempDir.create();
  await copyPackages(cache.path);
  const allow = (groups: string): Promise<string> =>
    network.exec("client", ["sysctl", "-q", "-w", `net.ipv4.ping_group_range=${groups}`]);
  for (const [who, { wrapper, groups, may }] of Object.entries(PINGERS)) {
    for (const [family, { peer, blackhole, ping }] of Object.entries(FAMILIES)) {
      await test.step(`${who}, over ${family}`, async () => {
        await allow(groups);
        await using health = await HealthProcess.start(network, { wrapper, env: { DENO_DIR: cache.path } });
        const icmp: BackendText = { ...QUICK, name: "icmp", address: peer, port: 9, kind: "icmp" };
        const gone: BackendText = { ...icmp, ...SHORT, name: "gone", address: blackhole };
        if (may) {
          // Answers to somebody else reach a raw socket too.
          const noise = network.spawn("client", ["ping", ...ping, "-q", "-i", "0.002", peer]);
          await health.set([icmp, gone]);
          const { healthy, failures, reason } = await untilChecked(health, "icmp", 20);
          assert.deepEqual({ healthy, failures, reason }, { healthy: true, failures: 0, reason: "answered" });
          assert.equal((await untilChanged(health, "gone", 1)).healthy, false);
          noise.kill("SIGKILL");
          await noise.output();
        } else {
          await health.set([icmp, gone]);
          const reason = "Cannot open a raw ICMP socket: socket failed with EPERM (1)";
          await until("the reason", async () => (await health.status())["gone"]!.reason === reason);
          await sleep(10 * QUICK.intervalMs);
          const { healthy, checks, failures, lastMs } = (await health.status())["gone"]!;
          assert.deepEqual({ healthy, checks, failures, lastMs }, {
            healthy: true,
            checks: 0,
            failures: 0,
            lastMs: null,
          });
          assert.equal(messages(health).length, 2, "once for each backend");
          assert.match(
            messages(health)[0]!,
            /cannot be checked and stays healthy\. Cannot open .*: run as root, or give/,
          );
          // The right given meanwhile is used.
          await allow("0 2147483647");
          await untilChecked(health, "icmp", 2);
          assert.ok(messages(health).includes("Backend icmp can be checked again"));
        }
        await health.end();
      });
    }
  }
});

Deno.test("what hinders a check on this machine does not count against the backend, and is told once", async () => {
  await using network = await healthNetwork();
  await using _servers = await HealthServers.start(network, { udp: { 5001: "echo" }, tcp: [5001] });
  await using health = await HealthProcess.start(network);
  const inClient = (...argv: string[]): Promise<string> => network.exec("client", argv);
  const families = Object.entries(FAMILIES);
  const filtered = families.flatMap(([family, { peer: address }]) =>
    (["udp", "icmp"] as const).map((kind): BackendText => ({
      ...QUICK,
      name: `${kind} ${family}`,
      address,
      port: 5001,
      kind,
    }))
  );
  const hindered = async (name: string, reason: string): Promise<void> => {
    await until(`the reason of ${name}`, async () => (await health.status())[name]!.reason === reason, {
      describe: () => health.log,
    });
  };
  await inClient(
    "nft",
    "add table inet hinder; add chain inet hinder out { type filter hook output priority 0; policy drop; }",
  );
  await health.set(filtered);
  for (const { name } of filtered) await hindered(name, "Cannot carry out the check: send failed with EPERM (1)");
  await sleep(10 * QUICK.intervalMs);
  for (const { name } of filtered) {
    const { healthy, checks, failures, lastMs } = (await health.status())[name]!;
    assert.deepEqual({ healthy, checks, failures, lastMs }, { healthy: true, checks: 0, failures: 0, lastMs: null });
  }
  assert.equal(messages(health).length, filtered.length, health.log);
  for (const message of messages(health)) assert.match(message, /stays healthy\. .* EPERM \(1\): a packet filter/);
  await inClient("nft", "delete table inet hinder");
  for (const { name } of filtered) assert.equal((await untilChecked(health, name, 3)).healthy, true);
  assert.equal(messages(health).filter((message) => message.endsWith("can be checked again")).length, filtered.length);

  // One port for two sockets to the same peer: the second has none.
  await health.set([]);
  await inClient("sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=40000 40000");
  const { peer: address } = FAMILIES.ipv4;
  const crowded = ["one", "other"].map((name): BackendText => ({ ...QUICK, name, address, port: 5001, kind: "udp" }));
  await health.set(crowded);
  const status = await until("both", async () => {
    const { one, other } = await health.status();
    return one!.checks + other!.checks >= 5 && [one, other].some((each) => /connect failed/.test(each!.reason))
      ? [one!, other!]
      : undefined;
  }, { describe: () => health.log });
  assert.deepEqual(status.map(({ healthy, failures }) => [healthy, failures]), [[true, 0], [true, 0]]);
  assert.match(health.log, /connect failed with EAGAIN \(11\): no local port is free/);
  assert.deepEqual(health.events, []);
});

Deno.test("rise and fall are counted exactly, and each change is told once", async () => {
  const patterns = { 5001: "11100100011011", 5002: "0001000011101110", 5003: "01010101010101", 5004: "000" };
  const [rise, fall] = [3, 2];
  await using network = await healthNetwork();
  const manners = Object.fromEntries(Object.entries(patterns).map(([port, pattern]) => [port, { pattern }]));
  await using servers = await HealthServers.start(network, { udp: manners });
  await using health = await HealthProcess.start(network);
  await health.set(
    Object.keys(patterns).map((port) => ({
      ...{ ...QUICK, rise, fall, intervalMs: 15, kind: "udp", payload: "x", expect: "pong x" },
      ...{ name: port, address: IPV4.steer, port: Number(port) },
    })),
  );
  for (const port of Object.keys(patterns)) await untilChecked(health, port, 25);
  await health.set([]);
  for (const [port, pattern] of Object.entries(patterns)) {
    const sent = servers.requests("udp", Number(port)).length;
    const outcomes = pattern.padEnd(sent, pattern.at(-1)!).slice(0, sent);
    const expected: [number, boolean][] = [];
    let healthy = true;
    for (let count = 1; count <= sent; count++) {
      const wanted = healthy ? "0".repeat(fall) : "1".repeat(rise);
      const since = expected.at(-1)?.[0] ?? 0;
      if (!outcomes.slice(since, count).endsWith(wanted)) continue;
      healthy = !healthy;
      expected.push([count, healthy]);
    }
    const told = health.events.filter(({ name }) => name === port).map((change) => [change.checks, change.healthy]);
    assert.deepEqual(told, expected, `port ${port}: ${outcomes}`);
  }
});

Deno.test("set() keeps the health of what stays, begins anew with what comes, and forgets what goes", async () => {
  await using network = await healthNetwork();
  await using servers = await HealthServers.start(network, { udp: { 5001: "echo" } });
  await using health = await HealthProcess.start(network);
  const good: BackendText = { ...QUICK, name: "good", address: IPV4.steer, port: 5001, kind: "udp" };
  const bad: BackendText = { ...QUICK, name: "bad", address: IPV4.steer, port: 5999, kind: "udp" };
  await health.set([good, bad]);
  const { since } = await untilChanged(health, "bad", 1).then(async () => (await health.status())["bad"]!);
  const { checks } = await untilChecked(health, "good", 5);

  await health.set([good, bad]);
  let status = await health.status();
  assert.equal(status["bad"]!.healthy, false);
  assert.equal(status["bad"]!.since, since);
  assert.ok(status["good"]!.checks >= checks, "the same check goes on");
  const ports = new Set(servers.requests("udp", 5001).map(({ peerPort }) => peerPort));
  assert.equal(ports.size, 1, "with the same socket");

  await health.set([{ ...bad, intervalMs: 60, fall: 3 }]);
  status = await health.status();
  assert.deepEqual(Object.keys(status), ["bad"]);
  assert.equal(status["bad"]!.healthy, false, "another check of the same backend");
  assert.equal(status["bad"]!.since, since);

  await health.set([]);
  await health.set([{ ...bad, port: 5001 }]);
  assert.equal((await health.status())["bad"]!.healthy, true, "another backend of the same name");
  await untilChecked(health, "bad", 5);
  assert.deepEqual(health.events.map(({ name }) => name), ["bad"]);
});

Deno.test("checks of many backends are spread over the interval, and leave nothing open when they end", async () => {
  const COUNT = 200;
  const INTERVAL_MS = 2000;
  await using network = await healthNetwork();
  await using servers = await HealthServers.start(network, { udp: { 5001: "echo" } });
  await using health = await HealthProcess.start(network);
  const before = await health.openFiles();
  const backends = Array.from({ length: COUNT }, (_, index): BackendText => ({
    ...{ name: `backend ${index}`, address: IPV4.steer, port: 5001 },
    ...{ kind: "udp", payload: `${index}`, intervalMs: INTERVAL_MS, timeoutMs: 500, rise: 1, fall: 3 },
  }));
  await health.set(backends);
  // Somewhere between none and all there is a moment that is not missed, unless the machine stands still for a second.
  const asked = (): number => new Set(servers.requests("udp", 5001).map(({ data }) => data)).size;
  const some = await until("a part of the first checks", () => asked() > COUNT * 0.2 && asked());
  assert.ok(some < COUNT * 0.8, `${some} of ${COUNT} at once`);
  for (const { name } of backends) await untilChecked(health, name, 1);
  const open = await health.openFiles();
  assert.equal(open.filter((file) => file === "socket").length, COUNT, "one socket for all checks of a backend");
  // In the middle of it all: some checks are under way.
  await health.set([
    ...backends.slice(0, 10),
    ...backends.slice(0, 50).map((backend): BackendText => ({
      ...{ ...backend, name: `${backend.name} tcp`, kind: "tcp", address: FAMILIES.ipv4.blackhole },
      ...{ intervalMs: 20, timeoutMs: 60_000 },
    })),
  ]);
  await until("connections under way", async () => (await health.openFiles()).length > before.length + 50);
  assert.deepEqual(await health.end(), before);
});
