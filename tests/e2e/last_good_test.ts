import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { finish, productCommand, TempDir } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { until } from "./support/wait.ts";

const rules = (...ports: readonly number[]): TestConfig => ({
  rules: ports.map((port) => `{ name: port${port}, ports: ${port}, worker: 0 }`),
  workers: 1,
});

async function stop(box: Appliance): Promise<void> {
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
}

Deno.test("a start with a refused file has the last good configuration, says so, and takes the file when it is good", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const { path } = directory;
  const [file, state] = [`${path}/steering.yaml`, `${path}/state`];
  await Deno.mkdir(state);
  const text = (config: TestConfig): string => configText(config, `${path}/control.sock`);
  // A temporary file is renamed as soon as it is written.
  const kept = (): string =>
    [...Deno.readDirSync(state)].filter(({ name }) => !name.startsWith("."))
      .map(({ name }) => Deno.readTextFileSync(`${state}/${name}`)).join();
  const start = (): Promise<Appliance> =>
    startAppliance(network, rules(1), { directory: path, configFile: "steering.yaml" });
  {
    await Deno.writeTextFile(file, text(rules(1)));
    await using box = await start();
    await until("the first copy", () => kept() === text(rules(1)));
    assert.equal((await box.put(text(rules(1, 2)))).code, 200);
    await box.writeConfig(text(rules(3)));
    await until("the copy of what was reloaded", () => kept() === text(rules(3)));
    await stop(box);
  }
  const mistakes: Readonly<Record<string, () => Promise<void>>> = {
    'unknown key "wrong"': () => Deno.writeTextFile(file, `${text(rules(4))}wrong: 1\n`),
    "does not exist": () => Deno.remove(file),
  };
  for (const [mistake, make] of Object.entries(mistakes)) {
    await make();
    const strict = [...productCommand(), "run", "--strict", "--config", file];
    const { code, stderr } = await finish(network, strict, { env: { XDPSTEER_STATE_DIR: state } });
    assert.equal(code, 3, stderr);
    assert.ok(stderr.includes(mistake), stderr);
    await using box = await start();
    const { problems: [told, ...others] } = await box.problems();
    assert.deepEqual([told!.kind, others], ["config_last_good", []]);
    assert.ok(told!.message.includes(mistake) && told!.message.includes(state), told!.message);
    assert.deepEqual((await box.status()).rules.map(({ name }) => name), ["port3"]);
    const said = box.log.filter(({ level }) => level === "error");
    assert.equal(said.length, 1, box.stderr);
    assert.match(said[0]!.message, /^The configuration is refused, and the last good one is in force/);
    await Deno.writeTextFile(file, text(rules(3, 5)));
    await box.waitForGeneration(2);
    await until("the end of the problem", async () => (await box.problems()).problems.length === 0);
    await until("the copy", () => kept() === text(rules(3, 5)));
    await Deno.writeTextFile(file, text(rules(3)));
    await box.waitForGeneration(3);
    await until("the copy", () => kept() === text(rules(3)));
    await stop(box);
  }
});
