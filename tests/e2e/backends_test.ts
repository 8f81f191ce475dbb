import assert from "node:assert/strict";
import type { BackendStatus } from "../../src/backends/status.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { backendName, BOTH, Clients, FAMILIES, type Family, forwardConfig, forwardTo } from "./support/backends.ts";
import { finish, type Finished, productCommand } from "./support/command.ts";
import { type ForwardScene, startScene, untilForwarded } from "./support/scene.ts";
import { until } from "./support/wait.ts";

const PORT = 8080;
const CLIENTS = 60;

function setScene(families: readonly Family[], more = ""): Promise<ForwardScene> {
  const rule = forwardTo(PORT, [1, 2, 3], { families, more });
  return startScene((socket) => forwardConfig(socket, [rule]), { families, serving: [1, 2, 3] });
}

function command({ box, network }: ForwardScene, ...args: string[]): Promise<Finished> {
  return finish(network, [...productCommand(), "backends", ...args, "--socket", box.socket], {});
}

async function xdpsteer(scene: ForwardScene, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await command(scene, ...args);
  assert.equal(code, 0, stderr);
  return stdout;
}

async function backendOf({ box }: Pick<ForwardScene, "box">, name: string): Promise<BackendStatus> {
  const { backends } = JSON.parse((await box.request("GET", "/v1/backends")).body) as { backends: BackendStatus[] };
  return backends.find((backend) => backend.name === name)!;
}

const clientsOf = ({ network }: ForwardScene, family: Family, more = {}): Promise<Clients> =>
  Clients.start(network, { address: FAMILIES[family].service, port: PORT, clients: CLIENTS, ...more });

Deno.test("drain one of three under load: nothing is lost, its sessions end by themselves, and then it is removed", async () => {
  await using scene = await setScene(BOTH, ", idle_timeout: 2");
  const { box } = scene;
  for (const family of BOTH) {
    const drained = backendName(family, 2);
    await using early = await clientsOf(scene, family);
    await early.ready();
    const { sessions } = await backendOf(scene, drained);
    assert.ok(sessions > 5, `${sessions} of ${CLIENTS}`);
    const said = await xdpsteer(scene, "drain", drained);
    assert.match(said, /takes no new sessions; it has \d+ sessions, which end by themselves/);
    await using late = await clientsOf(scene, family);
    await late.ready();
    await untilForwarded(scene);

    // What the operator did by hand outlives another configuration, which says so.
    await box.writeConfig(forwardConfig(box.socket, [forwardTo(PORT, [1, 2, 3], { more: `, idle_timeout: ${3}` })]));
    await until(
      "the reload to say so",
      () => box.log.some(({ message }) => /^Kept as before: .*by hand/.test(message)),
    );
    assert.equal((await backendOf(scene, drained)).sessions, sessions, "those it had, and no others");
    await untilForwarded(scene);
    const before = await early.stop();
    assert.deepEqual([before.lost, before.wrong, before.late, before.moved], [0, 0, 0, 0]);
    assert.equal(before.byBackend["2"], sessions);

    await until("its sessions to end by themselves", async () => (await backendOf(scene, drained)).sessions === 0);
    const { drain, packets } = await backendOf(scene, drained);
    assert.deepEqual([drain!.by, drain!.until, packets.from], ["hand", null, before.answersOf["2"]]);
    const generation = (await box.status()).generation;
    const two = [1, 3].flatMap((number) => BOTH.map((each) => backendName(each, number)));
    const rest = [...two, backendName(family === "IPv4" ? "IPv6" : "IPv4", 2)].map((name) => `"${name}"`).join(", ");
    const rule = `{ name: web, ports: ${PORT}, action: { forward: { to: [${rest}], idle_timeout: 3 } } }`;
    await box.writeConfig(forwardConfig(box.socket, [rule]));
    await box.waitForGeneration(generation + 1);
    await until("it to be forgotten", async () => (await backendOf(scene, drained)) === undefined);
    await untilForwarded(scene);
    const after = await late.stop();
    assert.deepEqual([after.lost, after.wrong, after.late, after.moved], [0, 0, 0, 0]);
    assert.deepEqual(Object.keys(after.byBackend), ["1", "3"]);
    assert.deepEqual(Object.keys(fatesOf(await settled(box), "web")), ["forwarded"]);
    await box.writeConfig(forwardConfig(box.socket, [forwardTo(PORT, [1, 2, 3], { more: ", idle_timeout: 2" })]));
    await box.waitForGeneration(generation + 2);
    assert.equal((await backendOf(scene, drained)).drain, null, "what is forgotten is not drained when it comes again");
  }
});

Deno.test("move: sessions go to another backend at once, or to the one that is named; undrain: it is used again", async () => {
  await using scene = await setScene(["IPv4"]);
  const { box } = scene;
  const [one, two, three] = [1, 2, 3].map((number) => backendName("IPv4", number)) as [string, string, string];
  await using clients = await clientsOf(scene, "IPv4", { timeoutMs: 2000 });
  await clients.ready();
  const { sessions } = await backendOf(scene, two);
  const kept = (await backendOf(scene, one)).sessions;
  assert.match(
    await xdpsteer(scene, "move", two, "--to", three),
    new RegExp(`(go|goes) to ${three.replaceAll(".", "\\.")}`),
  );
  await until("the sessions to be moved", async () => (await backendOf(scene, two)).sessions === 0);
  const found = await Promise.all([one, two, three].map(async (name) => (await backendOf(scene, name)).sessions));
  assert.deepEqual(found, [kept, 0, CLIENTS - kept], `${sessions} of them moved`);
  assert.match(
    await xdpsteer(scene, "list"),
    new RegExp(`${two.replaceAll(".", "\\.")} +web +moved .*moved to ${three}`),
  );
  await xdpsteer(scene, "move", three);
  await until("the rest to be moved", async () => (await backendOf(scene, three)).sessions === 0);
  assert.equal((await backendOf(scene, one)).sessions, CLIENTS);
  for (const name of [two, three]) await xdpsteer(scene, "undrain", name);
  assert.deepEqual((await box.status()).backends.map(({ drain }) => drain), [null, null, null]);
  await using fresh = await clientsOf(scene, "IPv4");
  await fresh.ready();
  assert.deepEqual(Object.keys((await fresh.stop()).byBackend), ["1", "2", "3"]);
  const { wrong } = await clients.stop();
  assert.equal(wrong, 0);
});

Deno.test("--save writes it to the file and leaves the rest of it alone; what cannot be done is refused and says why", async () => {
  await using scene = await setScene(["IPv4"]);
  const { box } = scene;
  const [one, two] = [1, 2].map((number) => backendName("IPv4", number)) as [string, string];
  const before = await Deno.readTextFile(box.configFile);
  await xdpsteer(scene, "drain", two, "--save");
  assert.equal(
    await Deno.readTextFile(box.configFile),
    before.replace(`"${two}"`, `{ address: "${two}", drain: true }`),
  );
  assert.deepEqual((await backendOf(scene, two)).drain, { by: "file", since: null, until: null, movedTo: null });
  await xdpsteer(scene, "undrain", two);
  assert.equal((await backendOf(scene, two)).drain, null, "by hand, against the file");
  await xdpsteer(scene, "undrain", two, "--save");
  assert.equal(await Deno.readTextFile(box.configFile), before);
  assert.equal((await backendOf(scene, two)).drain, null);

  const refusals: [string[], RegExp][] = [
    [["drain", "10.9.9.9:1"], /There is no backend "10\.9\.9\.9:1" \(3 backends known\)/],
    [["move", one, "--to", one], /cannot be moved to itself/],
    [["move", one, "--to", "10.9.9.9:1"], /There is no backend "10\.9\.9\.9:1"/],
  ];
  for (const [args, words] of refusals) {
    const { code, stderr } = await command(scene, ...args);
    assert.deepEqual([code, words.test(stderr)], [1, true], stderr);
  }
  for (const number of [1, 2]) await xdpsteer(scene, "drain", backendName("IPv4", number));
  const { stderr } = await command(scene, "drain", backendName("IPv4", 3));
  assert.match(stderr, /rule web has no backend left that takes new sessions/);
});

Deno.test("ports set --to: ports are forwarded to backends, and to others, with no word about a worker", async () => {
  await using scene = await setScene(["IPv4"]);
  const { box, network } = scene;
  const set = (...numbers: number[]): Promise<Finished> => {
    const to = numbers.map((number) => backendName("IPv4", number)).join(",");
    return finish(network, [...productCommand(), "ports", "set", "8081", "--to", to, "--socket", box.socket]);
  };
  const answering = async (): Promise<string[]> => {
    await using clients = await clientsOf(scene, "IPv4", { port: 8081, requests: 1 });
    const { lost, byBackend } = await clients.report();
    assert.equal(lost, 0);
    return Object.keys(byBackend);
  };
  assert.equal((await set(1)).code, 0);
  // They stay, so that no client after them has a port of theirs, and with it a session.
  await using early = await clientsOf(scene, "IPv4", { port: 8081 });
  await early.ready();
  const { code, stdout } = await set(2, 3);
  assert.deepEqual(
    [code, /^~ port-8081: action forward to \S+ -> forward to \S+ \S+$/m.test(stdout)],
    [0, true],
    stdout,
  );
  assert.deepEqual(await answering(), ["2", "3"]);
  const { lost, byBackend } = await early.stop();
  assert.deepEqual([lost, Object.keys(byBackend)], [0, ["1"]]);
});
