import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { type Appliance, type LogLine, openFiles, startAppliance } from "./support/appliance.ts";
import { SteadyTraffic } from "./support/background.ts";
import { badConfigs } from "./support/bad_configs.ts";
import { makeFifo } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { sleep, until } from "./support/wait.ts";

const GOOD: TestConfig = {
  rules: ["{ name: game, ports: 8080, worker: 0 }", "{ name: chat, ports: 9090, worker: 1 }"],
};
const BETTER: TestConfig = { rules: [...GOOD.rules, "{ name: more, ports: 7777 }"] };
const TRAFFIC = { ports: [8080, 9090], flows: 200, cpus: [0, 1] };
/** Longer than the product waits for a quiet moment before it looks at the file. */
const LOOK_MS = 300;

const refusals = (box: Appliance): LogLine[] => box.log.filter(({ message }) => message.includes("is refused"));

/**
 * Something else happens in the file's directory: the product looks at the file again, and finds what it knows already.
 */
async function promptLook(box: Appliance): Promise<void> {
  await Deno.writeTextFile(`${box.configFile}.bak`, "what an editor leaves");
  await sleep(LOOK_MS);
}

Deno.test("bad files in a row are refused one by one, logged once each, and disturb no traffic", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  await using traffic = await SteadyTraffic.start(network, box, TRAFFIC);

  const bad = badConfigs(configText(GOOD, box.socket));
  assert.ok(bad.length >= 20);
  for (const [index, { what, content, says }] of bad.entries()) {
    await box.writeConfig(content);
    const status = await box.untilStatus(`${what} to be refused`, ({ reloads }) => reloads.refused > index);
    assert.equal(status.generation, 1, what);
    assert.equal(status.lastReload!.result, "refused", what);
    assert.match(status.lastReload!.message, says, `${what}: ${status.lastReload!.message}`);
  }
  await promptLook(box);
  await Deno.remove(box.configFile);
  await box.untilStatus("a file that is gone to be refused", ({ reloads }) => reloads.refused > bad.length);
  await promptLook(box);

  const expected = [...bad.map(({ says }) => says), /does not exist: expected a YAML file/];
  const logged = refusals(box);
  assert.equal(logged.length, expected.length, logged.map(({ message }) => message).join("\n"));
  for (const [index, { level, message }] of logged.entries()) {
    assert.equal(level, "error");
    assert.match(message, expected[index]!);
    assert.match(message, /generation 1 stays in force/);
  }
  const metrics = await box.metrics();
  assert.equal(metrics.get('xdpsteer_config_reloads_total{result="refused"}'), expected.length);
  assert.equal(metrics.get("xdpsteer_config_generation"), 1);

  await box.writeConfig(BETTER);
  await box.waitForGeneration(2);
  const { sent, sentPerPort } = await traffic.stop();
  const status = await settled(box);
  assert.equal(status.totals.received, sent, "none is lost");
  assert.deepEqual(fatesOf(status, "game"), { counted: sentPerPort["8080"] });
  assert.deepEqual(fatesOf(status, "chat"), { counted: sentPerPort["9090"] });
  assert.deepEqual(status.reloads, { applied: 1, unchanged: 0, refused: expected.length });
});

Deno.test("a FIFO in the file's place is refused by whoever reads it, and the next good file is applied", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  await makeFifo(`${box.configFile}.next`);
  await Deno.rename(`${box.configFile}.next`, box.configFile);
  const status = await box.untilStatus("the refusal", ({ reloads }) => reloads.refused === 1);
  assert.equal(status.lastReload!.message, `${box.configFile}: is a FIFO: expected a YAML file`);
  assert.match((await box.request("POST", "/v1/reload")).body, /is a FIFO: expected a YAML file/);
  const order = JSON.stringify({ ports: 8080, worker: 1, save: true });
  assert.match(
    (await box.request("POST", "/v1/ports", order)).body,
    /Cannot save to .*it is a FIFO, not a regular file/,
  );
  assert.equal((await Deno.lstat(box.configFile)).isFifo, true);
  await box.writeConfig(BETTER);
  await box.waitForGeneration(2);
  // One that is made in its place or beside it is not opened by whoever watches, and holds nothing up.
  await Deno.remove(box.configFile);
  for (const name of [box.configFile, `${box.configFile}.beside`]) await makeFifo(name);
  await box.untilStatus("its refusal", ({ lastReload }) => lastReload!.message.includes("is a FIFO"));
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0);
});

const FIXED: Readonly<Record<string, (good: string) => string>> = {
  "interfaces\\.steer0\\.attach": (good) => good.replace("attach: native", "attach: generic"),
  "interfaces\\.steer0\\.umem\\.chunks": (good) => good.replace("chunks: 65536", "chunks: 32768"),
  "control\\.socket": (good) => good.replace("control.sock", "other.sock"),
};

Deno.test("a change of what is fixed is refused as a whole, by name, in a file and over the socket", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  const better = configText(BETTER, box.socket);
  for (const [section, change] of Object.entries(FIXED)) {
    const next = change(better);
    assert.notEqual(next, better);
    const { code, body } = await box.put(next);
    assert.equal(code, 422, section);
    assert.match(
      JSON.parse(body).error,
      new RegExp(`^${section} cannot (change while xdpsteer runs|be changed by a request); nothing was applied`),
    );
  }
  await box.writeConfig(Object.values(FIXED).reduce((text, change) => change(text), better));
  const { lastReload } = await box.untilStatus("the file to be refused", ({ reloads }) => reloads.refused === 4);
  assert.match(lastReload!.message, /^interfaces.*attach.*chunks, control\.socket cannot change/);

  const status = await box.status();
  assert.equal(status.generation, 1);
  assert.deepEqual(status.rules.map(({ name }) => name), ["game", "chat"], "the rule that came along is not there");
  assert.equal(status.workers.length, 2);
  assert.equal(status.interfaces[0]!.attach, "native");
});

Deno.test("a file that has not changed is read again when asked to, and makes no generation", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  box.signal("SIGHUP");
  await box.untilStatus("SIGHUP to be obeyed", ({ reloads }) => reloads.unchanged === 1);
  const { code, body } = await box.request("POST", "/v1/reload");
  assert.equal(code, 200, body);
  assert.deepEqual(JSON.parse(body).changes, []);
  await box.saveInPlace(`# a comment more\n${configText(GOOD, box.socket)}`);
  const status = await box.untilStatus("the save to be noticed", ({ reloads }) => reloads.unchanged === 3);
  assert.equal(status.generation, 1);
  assert.deepEqual(status.reloads, { applied: 0, unchanged: 3, refused: 0 });
});

Deno.test("GET /v1/config is the configuration in force, also after a refusal", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  const rules = async (): Promise<string[]> => {
    const { steering } = JSON.parse((await box.request("GET", "/v1/config")).body);
    return steering.map(({ name }: { name: string }) => name);
  };
  assert.deepEqual(await rules(), ["game", "chat"]);
  assert.equal((await box.put("steering: [oops\n")).code, 422);
  assert.deepEqual(await rules(), ["game", "chat"]);
  assert.equal((await box.put(BETTER)).code, 200);
  assert.deepEqual(await rules(), ["game", "chat", "more"]);
});

Deno.test("looks at the file and reloads leave no descriptor open", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  const reload = async (): Promise<void> => assert.equal((await box.request("POST", "/v1/reload")).code, 200);
  await reload(); // what is opened once
  const before = openFiles(box);
  for (let times = 0; times < 20; times++) {
    await box.writeConfig(configText(times % 2 === 0 ? BETTER : GOOD, box.socket));
    await reload();
  }
  await until("no descriptor left open", () => openFiles(box) <= before + 10, {
    describe: () => [before, openFiles(box)],
  });
});
