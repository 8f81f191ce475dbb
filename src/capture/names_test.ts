import assert from "node:assert/strict";
import { withFolder } from "../../tests/support/folder.ts";
import { sectionHeader } from "../packet/pcapng.ts";
import { finishedName, holdPlace, makeRoom } from "./names.ts";

/** A capture of ours; `mark` tells it from others. */
function capture(mark: string): Uint8Array<ArrayBuffer> {
  return sectionHeader({ hardware: mark, os: "Linux", userappl: "xdpsteer 0.1.0" });
}

function freeName(folder: string, keep: number): void {
  using place = holdPlace(folder, `${folder}/game.pcapng`);
  makeRoom(place, keep);
}

/** Makes captures by their marks, frees the name `game.pcapng`, and lists what is there then. */
async function madeRoom(names: Readonly<Record<string, string>>, keep: number): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  await withFolder(async (folder) => {
    for (const [name, mark] of Object.entries(names)) await Deno.writeFile(`${folder}/${name}`, capture(mark));
    freeName(folder, keep);
    for await (const { name } of Deno.readDir(folder)) {
      const bytes = await Deno.readFile(`${folder}/${name}`);
      found[name] = Object.values(names).find((mark) => isSame(capture(mark), bytes))!;
    }
  });
  return found;
}

const isSame = (one: Uint8Array, other: Uint8Array): boolean => `${one}` === `${other}`;

Deno.test("finishedName() puts the number before the suffix", () => {
  assert.equal(finishedName("b.c.pcapng", 12), "b.c.12.pcapng");
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

Deno.test("makeRoom() takes a file without anything in it for a capture that had just begun", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/game.pcapng`, "");
    freeName(folder, 1);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["game.1.pcapng"]);
  }));

/** What is no capture of ours, by what it is called. */
const FOREIGN: Readonly<Record<string, (path: string) => unknown>> = {
  "a FIFO": (path) => new Deno.Command("mkfifo", { args: [path] }).outputSync(),
  "a directory": (path) => Deno.mkdirSync(path),
  "a symbolic link": (path) => Deno.symlinkSync("/dev/null", path),
  "another program's file": (path) => Deno.writeTextFileSync(path, "precious"),
  "another program's file, of the same format": (path) =>
    Deno.writeFileSync(path, sectionHeader({ hardware: "", os: "", userappl: "Dumpcap (Wireshark) 4.0" })),
};

Deno.test("makeRoom() renames and removes captures of ours only, and names what is in the way", () =>
  withFolder(async (folder) => {
    for (const [kind, make] of Object.entries(FOREIGN)) {
      for (
        const [name, keep] of [["game.pcapng", 3], ["game.pcapng", 0], ["game.1.pcapng", 1], [
          "game.1.pcapng",
          3,
        ]] as const
      ) {
        const path = `${folder}/${name}`;
        await Deno.writeFile(`${folder}/game.pcapng`, capture("ours"));
        if (name === "game.pcapng") await Deno.remove(path);
        make(path);
        const before = Deno.lstatSync(path);
        const expected = `"${name}" is ${
          kind.split(",")[0]
        }: expected a file that xdpsteer has captured in, or nothing`;
        assert.throws(() => freeName(folder, keep), { message: expected });
        assert.equal(Deno.lstatSync(path).ino, before.ino);
        assert.ok(Deno.lstatSync(`${folder}/game.pcapng`));
        await Deno.remove(path, { recursive: true });
      }
    }
  }));

Deno.test("holdPlace() finds directories below the root, and is led out of it by no link", () =>
  withFolder(async (folder) => {
    const root = `${folder}/root`;
    await Deno.mkdir(`${root}/deeper`, { recursive: true });
    await Deno.writeTextFile(`${root}/deeper/x`, "x");
    await Deno.symlink("deeper", `${root}/inside`);
    await Deno.symlink("..", `${root}/up`);
    await Deno.symlink(root, `${root}/absolute`);
    await Deno.symlink("root", `${folder}/link`);
    for (const [from, directory] of [[root, "deeper"], [root, "inside"], [`${folder}/link`, "deeper"]]) {
      using place = holdPlace(from!, `${from}/${directory}/game.pcapng`);
      assert.equal(place.name, "game.pcapng");
      assert.equal(await Deno.readTextFile(place.at("x")), "x");
    }
    for (const directory of ["up", "absolute", "../root/deeper"]) {
      assert.throws(() => holdPlace(root, `${root}/${directory}/game.pcapng`), {
        name: "SteerError",
        message: `directory "${root}/${directory}" is led elsewhere by a symbolic link`,
      });
    }
    assert.throws(() => holdPlace(root, `${root}/none/game.pcapng`), {
      message: `directory "${root}/none" does not exist`,
    });
    using top = holdPlace("/", "/game.pcapng");
    assert.ok(await Deno.stat(top.at("etc")));
  }));
