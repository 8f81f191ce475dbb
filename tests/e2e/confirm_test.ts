/** Changes that are taken back unless they are confirmed: by command, by request, and what is told of them. */
import assert from "node:assert/strict";
import { IPV4, TestNetwork } from "../support/netns.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { finish, type Finished, productCommand } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { startEcho } from "./support/echo.ts";
import { python } from "./support/python.ts";
import { until } from "./support/wait.ts";

const GAME = "{ name: game, ports: 8080, worker: 0 }";
const CONFIG: TestConfig = { rules: [GAME] };
/** Of the operator's own service, which a rule takes away. */
const ADMIN = 2222;

const run = (network: TestNetwork, box: Appliance, ...words: string[]): Promise<Finished> =>
  finish(network, [...productCommand(), ...words, "--socket", box.socket]);
const rules = async (box: Appliance): Promise<string[]> =>
  (await box.status()).rules.filter(({ inForce }) => inForce).map(({ name }) => name);
/** Problems are told with the next look at them. */
const untilKinds = (box: Appliance, ...kinds: readonly string[]): Promise<unknown> =>
  until(`problems "${kinds}"`, async () => `${await box.problemKinds()}` === `${kinds}`);

const ASK = `
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(0.2)
client.sendto(b"let me in", (options["address"], options["port"]))
try:
    client.recv(100)
    print("true")
except TimeoutError:
    print("false")
`;
const answers = (network: TestNetwork): Promise<boolean> =>
  python<boolean>(network, "client", ASK, { address: IPV4.steer, port: ADMIN });

Deno.test("a box that locked its operator's service out repairs itself", async () => {
  await using network = await TestNetwork.create();
  await using _service = await startEcho(network.names.steer, [[IPV4.steer, ADMIN]]);
  await using box = await startAppliance(network, CONFIG);
  assert.equal(await answers(network), true);
  const { code, stdout, stderr } = await run(
    network,
    box,
    "ports",
    "set",
    `${ADMIN}`,
    "--action",
    "drop",
    "--confirm",
    "5s",
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^taken back in 5 s, unless you confirm it: xdpsteer confirm$/m);
  assert.equal(await answers(network), false);
  await until("the service to be reached", () => answers(network));
  assert.deepEqual(await rules(box), ["game"]);
  assert.ok(box.log.some(({ message }) => message.startsWith("Taken back, since nobody has confirmed it within 5 s")));
  const none = await run(network, box, "confirm");
  assert.equal(none.code, 1);
  assert.match(none.stderr, /no change waits for a confirmation/);
});

Deno.test("while a change waits it is told, others are refused; confirmed, it stays and is saved", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const before = await Deno.readTextFile(box.configFile);
  const set = await run(network, box, "ports", "set", "9090", "--worker", "1", "--save", "--confirm", "1h");
  assert.equal(set.code, 0, set.stderr);
  assert.doesNotMatch(set.stdout, /saved/);
  assert.equal(await Deno.readTextFile(box.configFile), before);
  await untilKinds(box, "config_unconfirmed", "config_unsaved");
  const { stdout } = await run(network, box, "status");
  assert.match(stdout, /A change waits for its confirmation, and is taken back in 3[56]\d\d seconds: \+ port-9090/);

  for (
    const [method, path, body] of [
      ["PUT", "/v1/config", before],
      ["POST", "/v1/reload", ""],
      ["DELETE", "/v1/ports?ports=8080", ""],
      ["POST", "/v1/upgrade", ""],
    ] as const
  ) {
    const answer = await box.request(method, path, body);
    assert.ok([409, 422].includes(answer.code), answer.body);
    assert.match(answer.body, /waits for its confirmation/);
  }
  assert.equal((await box.request("PUT", "/v1/config?confirm=never", before)).code, 400);
  assert.equal((await box.request("POST", "/v1/confirm?x", "")).code, 400);
  const two = await box.request("POST", "/v1/ports?confirm=1h", JSON.stringify({ ports: 7777, worker: 0, save: true }));
  assert.equal(JSON.parse(two.body).confirmWithin, 3600, two.body);

  const confirmed = await run(network, box, "confirm");
  assert.equal(confirmed.code, 0, confirmed.stderr);
  assert.match(confirmed.stdout, /^confirmed: generation 3 stays in force; saved to the configuration file$/m);
  const saved = await Deno.readTextFile(box.configFile);
  assert.match(saved, /9090/);
  assert.match(saved, /7777/);
  assert.deepEqual(await rules(box), ["game", "port-9090", "port-7777"]);
  await untilKinds(box);
  const reload = await run(network, box, "reload", "--confirm", "60");
  assert.match(reload.stdout, /^nothing to change/);
});

Deno.test("what a file would change is said beforehand: what is live, and what needs a restart", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const next = `${box.configFile}.next`;
  const chat = "{ name: chat, ports: 9090, worker: 1 }";
  await Deno.writeTextFile(next, configText({ rules: [GAME, chat] }, box.socket));
  const check = await run(network, box, "check", next, "--against-running");
  assert.equal(check.code, 0, check.stderr);
  assert.match(
    check.stdout,
    /^changes live, without a packet lost:\n {2}\+ chat: ports 9090, worker 1, action count\n$/,
  );
  assert.equal((await run(network, box, "reload", next, "--dry-run")).stdout, check.stdout);

  await Deno.writeTextFile(next, configText({ rules: [GAME, chat], attach: "generic", workers: 3 }, box.socket));
  const dry = await run(network, box, "reload", next, "--dry-run");
  assert.equal(dry.code, 1, dry.stdout);
  assert.match(dry.stdout, /by a handover to a new process, without a packet lost:\n {2}workers\.count: 2 -> 3\n/);
  assert.match(dry.stdout, /needs a restart:\n {2}interfaces\.steer0\.attach: native -> generic\n/);
  const same = await run(network, box, "reload", "--dry-run");
  assert.deepEqual([same.code, same.stdout], [0, "no difference to generation 1, which is in force\n"]);
  await Deno.writeTextFile(next, "version: 2\n");
  const bad = await run(network, box, "reload", next, "--dry-run");
  assert.deepEqual([bad.code, bad.stdout], [3, ""], bad.stderr);
  assert.deepEqual([await rules(box), (await box.status()).reloads.refused], [["game"], 0], "nothing has changed");

  await Deno.writeTextFile(next, configText({ rules: [GAME, chat] }, box.socket));
  const reload = await run(network, box, "reload", next, "--confirm", "1h");
  assert.match(reload.stdout, /^taken back in 3600 s/m, reload.stderr);
  assert.deepEqual(await rules(box), ["game", "chat"]);
});

Deno.test("a file that is sent and not confirmed is taken back; SIGTERM meanwhile ends as ever", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const text = configText({ rules: [GAME, "{ name: chat, ports: 9090, worker: 1 }"] }, box.socket);
  const answer = await box.request("PUT", "/v1/config?confirm=1", text);
  assert.equal(answer.code, 200, answer.body);
  await until("it to be taken back", async () => (await rules(box)).length === 1);
  assert.equal((await box.request("PUT", "/v1/config?confirm=1h", text)).code, 200);
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
});
