import assert from "node:assert/strict";
import { finishedName, makeRoom } from "./names.ts";

/** Makes files named by their contents, frees the name `game.pcapng`, and lists what is there then. */
async function madeRoom(names: Readonly<Record<string, string>>, keep: number): Promise<Record<string, string>> {
  const directory = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(names)) await Deno.writeTextFile(`${directory}/${name}`, content);
    makeRoom(`${directory}/game.pcapng`, keep);
    const found: Record<string, string> = {};
    for await (const { name } of Deno.readDir(directory)) {
      found[name] = await Deno.readTextFile(`${directory}/${name}`);
    }
    return found;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("finishedName() puts the number before the suffix", () => {
  assert.equal(finishedName("/a.pcapng/b.c.pcapng", 12), "/a.pcapng/b.c.12.pcapng");
});

Deno.test("makeRoom() does nothing where nothing is", async () => {
  assert.deepEqual(await madeRoom({ "game.1.pcapng": "old" }, 3), { "game.1.pcapng": "old" });
});

Deno.test("makeRoom() moves every file one number up, and drops the last", async () => {
  const files = { "game.pcapng": "d", "game.1.pcapng": "c", "game.2.pcapng": "b", "game.3.pcapng": "a", other: "x" };
  assert.deepEqual(await madeRoom(files, 3), {
    "game.1.pcapng": "d",
    "game.2.pcapng": "c",
    "game.3.pcapng": "b",
    other: "x",
  });
});

Deno.test("makeRoom() fills the first gap, and leaves what is behind it", async () => {
  const files = { "game.pcapng": "c", "game.1.pcapng": "b", "game.3.pcapng": "a" };
  assert.deepEqual(await madeRoom(files, 5), { "game.1.pcapng": "c", "game.2.pcapng": "b", "game.3.pcapng": "a" });
});

Deno.test("makeRoom() keeps none where none are to be kept, and leaves those of before", async () => {
  assert.deepEqual(await madeRoom({ "game.pcapng": "b", "game.1.pcapng": "a" }, 0), { "game.1.pcapng": "a" });
  assert.deepEqual(await madeRoom({ "game.pcapng": "b", "game.1.pcapng": "a" }, 1), { "game.1.pcapng": "b" });
});

Deno.test("makeRoom() names what is in the way of a capture, and leaves it alone", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/game.pcapng`;
  const kinds: Readonly<Record<string, () => unknown>> = {
    "a FIFO": () => new Deno.Command("mkfifo", { args: [path] }).outputSync(),
    "a directory": () => Deno.mkdirSync(path),
    "a symbolic link": () => Deno.symlinkSync("/dev/null", path),
  };
  try {
    for (const [kind, make] of Object.entries(kinds)) {
      make();
      assert.throws(() => makeRoom(path, 3), new RegExp(`${kind} is there: expected a regular file or nothing`));
      await Deno.remove(path);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
