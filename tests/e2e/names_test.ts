import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import {
  BACKEND_PORT,
  backendAddress,
  BackendHost,
  backendName,
  BOTH,
  Clients,
  FAMILIES,
  type Family,
  forwardConfig,
} from "./support/backends.ts";
import { finish, type Finished, productCommand } from "./support/command.ts";
import { FAILING, NAME_SERVER, NameServer, ZONE } from "./support/name_server.ts";
import { until } from "./support/wait.ts";

const PORT = 8080;
const GAME = `game.${ZONE}`;
const GAME_SERVICE = `_game._udp.${ZONE}`;
const NOTHING_LOST = { lost: 0, wrong: 0, late: 0 };

interface Scene extends AsyncDisposable {
  readonly network: TestNetwork;
  readonly host: BackendHost;
  readonly names: NameServer;
  readonly box: Appliance;
  clients(clients: number, requests?: number): Promise<Clients>;
  /** Waits until a name means these backends, and whether it is in force as its server says it. */
  untilMeans(name: string, numbers: readonly number[], isGood?: boolean): Promise<Status>;
}

/** A box whose rule has backends by name, and three backends. */
async function setScene(
  family: Family,
  to: string,
  prepare: (names: NameServer, host: BackendHost) => Promise<void>,
  { machineServers = false } = {},
): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await TestNetwork.create());
  const host = stack.use(await BackendHost.create(network));
  const names = stack.use(await NameServer.start(host));
  await prepare(names, host);
  for (const number of [1, 2, 3]) await host.serve(family, number);
  const rule = `{ name: web, ports: ${PORT}, action: { forward: { to: [${to}] } } }`;
  const servers = machineServers ? [] : [`forwarding: { name_servers: [${NAME_SERVER}] }`];
  if (machineServers) stack.defer(await resolvConf(network.names.steer));
  const box = stack.use(
    await startAppliance(network, (socket) => forwardConfig(socket, [rule], { more: servers }), { favoured: true }),
  );
  const parts = stack.move();
  return {
    network,
    host,
    names,
    box,
    clients: (clients, requests = 0) =>
      Clients.start(network, { address: FAMILIES[family].service, port: PORT, clients, requests }),
    untilMeans: (name, numbers, isGood = true) => {
      const expected = `${numbers.map((number) => backendName(family, number))}`;
      return box.untilStatus(`${name} means ${expected}, ${isGood}`, (status) => {
        const found = status.names.find((each) => each.name === name);
        const inForce = status.backends.filter(({ rules }) => rules.length > 0).map((each) => each.name).sort();
        return `${found?.backends}` === expected && `${inForce}` === expected && (found?.error === null) === isGood;
      });
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** What `ip netns exec` puts in the place of /etc/resolv.conf. @returns what removes it. */
async function resolvConf(namespace: string): Promise<() => Promise<void>> {
  const folder = `/etc/netns/${namespace}`;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(
    `${folder}/resolv.conf`,
    `# the second one answers\nnameserver 10.12.0.99\nnameserver ${NAME_SERVER}\n`,
  );
  return async () => {
    await Deno.remove(folder, { recursive: true });
    await Deno.remove("/etc/netns").catch(() => {}); // unless others have some
  };
}

for (const family of BOTH) {
  const addresses = (...numbers: readonly number[]): string[] =>
    numbers.map((number) => backendAddress(family, number));

  Deno.test(`a name under load: addresses come, go and change, its server fails in every way, and no packet is lost: ${family}`, async () => {
    const name = `${GAME}:${BACKEND_PORT}`;
    await using scene = await setScene(family, `"${name}"`, (names) => names.set({ [GAME]: addresses(1, 2) }));
    const { box, names, untilMeans } = scene;
    await untilMeans(name, [1, 2]);
    await using clients = await scene.clients(100);
    await clients.ready();
    const untilProblem = (isThere: boolean): Promise<unknown> =>
      until(`problem ${isThere}`, async () => (await box.problemKinds()).includes("name_unresolved") === isThere);
    const backendsOf = async (): Promise<string[]> => {
      await using some = await scene.clients(60, 1);
      const { byBackend, ...report } = await some.report();
      assert.equal(report.lost, 0);
      // A client may have the port of one whose session goes on with another backend.
      return Object.keys(byBackend).filter((number) => byBackend[number]! > 5);
    };

    await names.set({ [GAME]: addresses(1, 2, 3) });
    await untilMeans(name, [1, 2, 3]);
    assert.deepEqual(await backendsOf(), ["1", "2", "3"], "an address is added");

    await names.set({ [GAME]: addresses(2, 3) });
    const status = await untilMeans(name, [2, 3]);
    assert.equal(status.backends.find((backend) => backend.name === backendName(family, 1))?.leavingSeconds, 0);
    assert.deepEqual(await backendsOf(), ["2", "3"], "an address is removed: its sessions go on, new ones do not come");

    await names.set({ [GAME]: addresses(3) });
    await untilMeans(name, [3]);
    await names.set({ [GAME]: addresses(2) });
    await untilMeans(name, [2]);
    assert.deepEqual(await backendsOf(), ["2"], "an address is changed");

    names.hush();
    await untilMeans(name, [2], false);
    await untilProblem(true);
    assert.deepEqual(await backendsOf(), ["2"], "no answer: the last good one is in force");
    names.speak();
    await untilMeans(name, [2]);
    await untilProblem(false);

    await names.set({});
    const empty = await untilMeans(name, [2], false);
    assert.match(empty.names[0]!.error!, /NXDOMAIN/);
    await untilProblem(true);
    assert.deepEqual(await backendsOf(), ["2"], "an empty answer empties nothing");
    await names.set({ [GAME]: addresses(1, 2) });
    await untilMeans(name, [1, 2]);
    await untilProblem(false);

    const report = await clients.stop();
    assert.deepEqual({ lost: report.lost, wrong: report.wrong, late: report.late }, NOTHING_LOST);
    assert.equal(report.moved, 0, "sessions of addresses that are gone drain");
    const { forwarded, ...others } = fatesOf(await settled(box), "web");
    assert.ok(forwarded! > report.sent);
    assert.deepEqual(others, {});
  });

  Deno.test(`SRV records: ports, weights and priorities, and targets with several addresses: ${family}`, async () => {
    const record = { name: GAME_SERVICE, port: BACKEND_PORT };
    const services = [
      { ...record, target: `a.${ZONE}`, priority: 1, weight: 1 },
      { ...record, target: `b.${ZONE}`, priority: 1, weight: 3 },
      { ...record, target: `c.${ZONE}`, priority: 2, weight: 9 },
    ];
    await using scene = await setScene(family, `{ srv: ${GAME_SERVICE} }`, async (names) => {
      await names.set({ [`a.${ZONE}`]: addresses(1), [`b.${ZONE}`]: addresses(2), [`c.${ZONE}`]: addresses(3) });
      await names.serve(...services);
    });
    await scene.untilMeans(GAME_SERVICE, [1, 2, 3]);
    await using clients = await scene.clients(800, 1);
    const { byBackend, lost } = await clients.report();
    assert.equal(lost, 0);
    assert.deepEqual(Object.keys(byBackend), ["1", "2"], "the target of a lower priority is a backup");
    assert.ok(byBackend[1]! > 140 && byBackend[1]! < 260, `${byBackend[1]} of 800, not about a quarter`);
    await scene.names.serve({ ...services[2]!, priority: 1 });
    await scene.untilMeans(GAME_SERVICE, [3]);
    await using others = await scene.clients(50, 1);
    const moved = (await others.report()).byBackend;
    assert.ok(moved[3]! >= 40, `${JSON.stringify(moved)}: all but those that have the port of an earlier client`);
  });
}

Deno.test("a name with 100 addresses, whose answer comes by TCP, and one whose server fails from the start", async () => {
  const many = Array.from({ length: 100 }, (_, index) => `10.12.1.${index + 1}`);
  const to = `"${GAME}:9000", "web.${FAILING}:9000", "${backendName("IPv4", 1)}"`;
  await using scene = await setScene("IPv4", to, (names) => names.set({ [GAME]: many }));
  const { box } = scene;
  const status = await box.untilStatus(
    "100 backends, and a failure",
    ({ backends, names }) => backends.length === 101 && /SERVFAIL/.test(names[1]?.error ?? ""),
  );
  const [game, failing] = status.names;
  assert.equal(game!.backends.length, 100);
  assert.equal(game!.error, null);
  assert.deepEqual(failing!.backends, []);
  await until("the problem", async () => (await box.problemKinds()).includes("name_unresolved"));
  const metrics = await box.metrics();
  assert.equal(metrics.get('xdpsteer_name_backends{name="game.example.test:9000"}'), 100);
  assert.equal(metrics.get('xdpsteer_name_resolved{name="web.failing.test:9000"}'), 0);
});

Deno.test("SERVFAIL after good answers, under load: what a name meant last stays in force, and no packet is lost", async () => {
  const host = `game.${FAILING}`; // known while the server's file has it; else its upstream says SERVFAIL
  const name = `${host}:${BACKEND_PORT}`;
  const both = (number: number): string[] => BOTH.map((family) => backendAddress(family, number));
  await using scene = await setScene("IPv4", `"${name}"`, (names) => names.set({ [host]: both(1) }));
  const untilIn = (number: number, error: RegExp): Promise<Status> =>
    scene.box.untilStatus(`${name} means backend ${number}, ${error}`, ({ names: [status] }) => {
      const expected = BOTH.map((family) => backendName(family, number)).sort();
      return `${[...status!.backends].sort()}` === `${expected}` && error.test(status!.error ?? "none");
    });
  await untilIn(1, /^none$/);
  await using clients = await scene.clients(50);
  await clients.ready();
  await scene.names.set({});
  await untilIn(1, /SERVFAIL/);
  await using late = await scene.clients(50, 1);
  assert.deepEqual((await late.report()).byBackend, { 1: 50 });
  await scene.names.set({ [host]: both(2) });
  await untilIn(2, /^none$/);
  const { lost, wrong, late: tooLate, moved } = await clients.stop();
  assert.deepEqual({ lost, wrong, late: tooLate, moved }, { ...NOTHING_LOST, moved: 0 });
});

Deno.test("backends list says which name means a backend, --save refuses what stands in no file, and check --probe asks", async () => {
  const name = `${GAME}:${BACKEND_PORT}`;
  const [one, two] = [1, 2].map((number) => backendName("IPv4", number)) as [string, string];
  const prepare = (names: NameServer): Promise<void> => names.set({ [GAME]: [backendAddress("IPv4", 1)] });
  await using scene = await setScene("IPv4", `"${name}", "${two}"`, prepare);
  const { box, network } = scene;
  await box.untilStatus("both", ({ backends }) => backends.length === 2);
  const run = (...args: string[]): Promise<Finished> => finish(network, [...productCommand(), ...args], {});
  const { stdout } = await run("backends", "list", "--socket", box.socket);
  assert.match(stdout, /^BACKEND +NAME +RULES/);
  assert.match(stdout, new RegExp(`^${one} +${name} +web `, "m"));
  assert.match(stdout, new RegExp(`^${two} +- +web `, "m"));
  assert.deepEqual((await box.status()).backends.map(({ meantBy }) => meantBy).sort(), [[], [name]]);
  const refused = await run("backends", "drain", one, "--save", "--socket", box.socket);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, new RegExp(`"${one}" is not in the file, which has the name ${name}: leave --save out`));
  assert.equal((await run("backends", "drain", one, "--socket", box.socket)).code, 0);
  const text = await Deno.readTextFile(box.configFile);
  await box.saveInPlace(text.replace(`"${two}"]`, `"${two}"], health: { check: udp, timeout: 5 }`));
  const probed = await run("check", box.configFile, "--probe", "--json");
  const { names, probes } = JSON.parse(probed.stdout);
  assert.deepEqual(names, [{ name, backends: [one], error: null }]);
  assert.deepEqual(
    probes.map(({ backend, succeeded }: { backend: string; succeeded: boolean }) => [backend, succeeded]),
    [
      [two, true],
      [one, true],
    ],
  );
  await scene.names.set({});
  const gone = await run("check", box.configFile, "--probe");
  assert.equal(gone.code, 1);
  assert.match(gone.stdout, new RegExp(`^${name} +- +FAILED +\\S`, "m"));
});

Deno.test("without name_servers those of resolv.conf are asked, one after the other", async () => {
  const prepare = (names: NameServer): Promise<void> => names.set({ [GAME]: [backendAddress("IPv4", 2)] });
  await using scene = await setScene("IPv4", `"${GAME}:${BACKEND_PORT}"`, prepare, { machineServers: true });
  await scene.untilMeans(`${GAME}:${BACKEND_PORT}`, [2]);
  await using clients = await scene.clients(10, 1);
  assert.deepEqual((await clients.report()).byBackend, { 2: 10 });
});
