/** Files that do not stand still, or lose most of their rules: what is told of them, and when they count. */
import assert from "node:assert/strict";
import type { Problem } from "../../src/observe/problems/kinds.ts";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { finish, productCommand } from "./support/command.ts";
import { configText } from "./support/config.ts";
import { Endless } from "./support/storm.ts";
import { sleep, until } from "./support/wait.ts";

const rule = (index: number): string => `{ name: r${index}, ports: ${7000 + index} }`;
const RULES = [0, 1, 2, 3, 4, 5].map(rule);

Deno.test("a file that is saved without a pause is put in force all the same, and a reload says what was first", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  {
    const text = configText({ rules: [...RULES, rule(6)] }, box.socket);
    await using _saves = new Endless(async (round) => {
      await box.writeConfig(`# ${round}\n${text}`);
      await sleep(50);
    });
    await box.waitForGeneration(2);
  }
  await until("a line in the log", () => box.log.some(({ message }) => message.includes("saved without a pause")));
  const reload = await finish(network, [...productCommand(), "reload", "--socket", box.socket]);
  assert.match(
    reload.stdout,
    /^nothing to change: already in force as generation 2, by the file watch \d+(\.\d)? s ago\n$/,
  );
});

Deno.test("a file that loses most of its rules is a problem while it settles, and a reload does not wait", async () => {
  await using network = await TestNetwork.create();
  const settle = (text: string): string => text.replace("control: {", "control: { settle: 60,");
  await using box = await startAppliance(network, (socket) => settle(configText({ rules: RULES }, socket)));
  const problem = (): Promise<Problem | undefined> => box.problem("config_settling");
  await box.writeConfig(settle(configText({ rules: RULES.slice(4) }, box.socket)));
  const told = await until("the problem", problem);
  assert.match(told.message, /loses 4 of 6 rules, and is put in force in \d+ seconds? if it still says so$/);
  assert.match(told.fix!, /^xdpsteer reload puts it in force at once/);
  assert.equal((await box.request("GET", "/readyz")).code, 200);
  assert.equal((await box.status()).generation, 1);
  const reload = await finish(network, [...productCommand(), "reload", "--socket", box.socket]);
  assert.match(reload.stdout, /^generation 2 is in force/m);
  await until("no problem", async () => await problem() === undefined);
});
