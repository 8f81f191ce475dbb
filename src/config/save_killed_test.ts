import assert from "node:assert/strict";
import { SIZE } from "../../tests/support/sizes.ts";
import { removeLeftoversOf } from "./temporary.ts";

const LOOP = new URL("../../tests/support/save_loop.ts", import.meta.url).pathname;
// Long enough for a kill to meet it half written.
const REST = Array.from({ length: 4000 }, (_, line) => `# line ${line} of what was not changed\n`).join("");
const TEXT = `version: 1
interfaces: [{ name: eth0 }]
steering:
  - { name: game, ports: 8080, worker: 0 }
${REST}`;
const TEXTS = [TEXT, TEXT.replace("worker: 0", "worker: 1")];

Deno.test(`a save that is killed leaves the file whole: ${SIZE.savesKilled} random moments`, async () => {
  const folder = await Deno.makeTempDir();
  const file = `${folder}/steering.yaml`;
  let left = 0;
  try {
    await Deno.writeTextFile(file, TEXT);
    for (let kills = 0; kills < SIZE.savesKilled; kills++) {
      const args = ["run", "--quiet", "-A", "--no-check", LOOP, file];
      await using child = new Deno.Command(Deno.execPath(), { args, stdout: "piped", stderr: "inherit" }).spawn();
      const reader = child.stdout.getReader();
      await reader.read();
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
      assert.ok(TEXTS.includes(await Deno.readTextFile(file)), `kill ${kills}`);
      left = Math.max(left, [...Deno.readDirSync(folder)].length - 1);
      assert.ok(left <= 1, "the save after a kill removes what was left by it");
    }
    removeLeftoversOf(file);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["steering.yaml"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
