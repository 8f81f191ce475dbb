/** A start with a configuration that has passed before takes it as it was remembered. Needs dist/xdpsteer. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { Appliance } from "../e2e/support/appliance.ts";
import { TempDir } from "../e2e/support/command.ts";
import type { TestConfig } from "../e2e/support/config.ts";
import { until } from "../e2e/support/wait.ts";
import { binary } from "./support.ts";

const config = (name: string): TestConfig => ({ rules: [`{ name: ${name}, ports: 8080, worker: 0 }`] });

async function memoIn(cache: string): Promise<string> {
  const [id] = await Array.fromAsync(Deno.readDir(cache));
  return `${cache}/${id!.name}/config.checked`;
}

Deno.test("the next start takes what the last start or change has checked, and nothing else", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const cache = `${directory.path}/cache`;
  const before = Deno.env.get("XDPSTEER_COMMAND");
  Deno.env.set("XDPSTEER_COMMAND", binary());
  const start = (name: string): Promise<Appliance> =>
    Appliance.start(network, config(name), { directory: directory.path, env: { XDPSTEER_CACHE_DIR: cache } });
  const rules = async (box: Appliance): Promise<string[]> => (await box.status()).rules.map(({ name }) => name);
  const remembered = async (name: string): Promise<string> => {
    const memo = await memoIn(cache);
    return await until(`a memo of ${name}`, async () => {
      const found = await Deno.readTextFile(memo).catch(() => "");
      return found.includes(`name: ${name},`) ? found : undefined;
    });
  };
  try {
    {
      await using box = await start("first");
      assert.deepEqual(await rules(box), ["first"]);
      await remembered("first");
      await box.writeConfig(config("second"));
      await box.waitForGeneration(2);
      await remembered("second");
    }
    // What is remembered is what is used, as long as the file is the one it was made of.
    await Deno.writeTextFile(await memoIn(cache), (await remembered("second")).replace('"second"', '"remembered"'));
    {
      await using box = await start("second");
      assert.deepEqual(await rules(box), ["remembered"]);
    }
    {
      await using box = await start("third");
      assert.deepEqual(await rules(box), ["third"]);
      await remembered("third");
    }
  } finally {
    if (before === undefined) Deno.env.delete("XDPSTEER_COMMAND");
    else Deno.env.set("XDPSTEER_COMMAND", before);
  }
});
