import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { FileWatch } from "./watch.ts";

Deno.test("FileWatch tells of a save in place, a rename, a swapped link, and of a FIFO without opening it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const at = (name: string): string => `${folder}/${name}`;
    await Deno.writeTextFile(at("one"), "1");
    await Deno.writeTextFile(at("two"), "22");
    await Deno.symlink("one", at("link"));
    await Deno.symlink("link", at("watched"));
    let changes = 0;
    const timers = new FakeTimers();
    using _watch = new FileWatch(at("watched"), () => changes++, timers);
    const steps: readonly (readonly [what: string, step: () => Promise<unknown>])[] = [
      ["a save in place", () => Deno.writeTextFile(at("one"), "12345")],
      ["a rename", async () => {
        await Deno.writeTextFile(at("new"), "54321");
        await Deno.rename(at("new"), at("one"));
      }],
      ["a swapped link", async () => {
        await Deno.symlink("two", at("next"));
        await Deno.rename(at("next"), at("link"));
      }],
      ["a FIFO", async () => {
        await new Deno.Command("mkfifo", { args: [at("fifo")] }).output();
        await Deno.rename(at("fifo"), at("two"));
      }],
      ["its end", () => Deno.remove(at("two"))],
    ];
    for (const [what, step] of steps) {
      const before = changes;
      await step();
      await timers.pass(100 + 60);
      assert.equal(changes - before, 1, what);
      await timers.pass(140);
      assert.equal(changes - before, 1, what);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
