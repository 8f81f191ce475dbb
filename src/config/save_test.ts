import assert from "node:assert/strict";
import { HeldFile } from "../ffi/held_file.ts";
import { parseConfig } from "./parse.ts";
import type { Rule } from "../steering/rule.ts";
import { prepareSave, type Saving } from "./save.ts";
import type { Config } from "./schema.ts";
import { TemporaryFile } from "./temporary.ts";

const TEXT = `# kept
version: 1
interfaces: [{ name: eth0 }]
steering:
  - { name: game, ports: 8080, worker: 0 }
`;
const MOVED = TEXT.replace("worker: 0", "worker: 1");
const CPUS = 2;

const config = (text: string): Config => parseConfig(text, { file: "steering.yaml", cpuCount: CPUS });
const move = (rules: readonly Rule[]): Rule[] => rules.map((rule) => ({ ...rule, worker: 1 }));
const save = async (file: string): Promise<Saving> => {
  const saving = prepareSave({ file, cpuCount: CPUS }, config(MOVED), move);
  await saving.write();
  return saving;
};

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await test(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("prepareSave() keeps owner and permissions, and neither setuid, setgid nor sticky", () =>
  withFolder(async (folder) => {
    const file = `${folder}/steering.yaml`;
    Deno.writeTextFileSync(file, TEXT);
    Deno.chownSync(file, 12345, 54321);
    Deno.chmodSync(file, 0o7654);
    using saved = await save(file);
    assert.equal(Deno.readTextFileSync(file), MOVED);
    const { mode, uid, gid } = Deno.lstatSync(file);
    assert.deepEqual([(mode! & 0o7777).toString(8), uid, gid], ["654", 12345, 54321]);
    await saved.takeBack();
    assert.equal(Deno.readTextFileSync(file), TEXT);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["steering.yaml"]);
  }));

Deno.test("prepareSave() follows no link in the file's place, and refuses what is no regular file", () =>
  withFolder(async (folder) => {
    const file = `${folder}/steering.yaml`;
    Deno.writeTextFileSync(`${folder}/target`, TEXT);
    Deno.symlinkSync("target", file);
    await assert.rejects(save(file), { name: "SteerError", message: /is a symbolic link, as a Kubernetes/ });
    Deno.removeSync(file);
    Deno.mkdirSync(file);
    await assert.rejects(save(file), { message: `Cannot save to "${file}": it is a directory, not a regular file` });
    Deno.removeSync(file);
    await assert.rejects(save(file), { message: `Cannot save to "${file}": it does not exist` });
    assert.equal(Deno.readTextFileSync(`${folder}/target`), TEXT);
  }));

Deno.test("prepareSave() works in the directory it has found, whatever its name leads to later", () =>
  withFolder(async (folder) => {
    for (const name of ["mine", "other"]) {
      Deno.mkdirSync(`${folder}/${name}`);
      Deno.writeTextFileSync(`${folder}/${name}/steering.yaml`, name === "mine" ? TEXT : "precious");
    }
    using saved = await save(`${folder}/mine/steering.yaml`);
    Deno.renameSync(`${folder}/mine`, `${folder}/moved`);
    Deno.symlinkSync("other", `${folder}/mine`);
    await saved.takeBack();
    assert.equal(Deno.readTextFileSync(`${folder}/moved/steering.yaml`), TEXT);
    assert.equal(Deno.readTextFileSync(`${folder}/other/steering.yaml`), "precious");
  }));

Deno.test("prepareSave() keeps this thread waiting for no disk: it writes and syncs elsewhere", () =>
  withFolder(async (folder) => {
    const file = `${folder}/steering.yaml`;
    Deno.writeTextFileSync(file, TEXT);
    const { prototype } = Deno.FsFile;
    const { sync, syncSync, syncDataSync, writeSync } = prototype;
    const disk = Promise.withResolvers<void>();
    const refused = (): never => {
      throw new Error("this thread waits for a disk");
    };
    try {
      Object.assign(prototype, {
        ...{ syncSync: refused, syncDataSync: refused, writeSync: refused },
        sync: async function (this: Deno.FsFile): Promise<void> {
          await disk.promise;
          await sync.call(this);
        },
      });
      let isSaved = false;
      const saving = save(file).then((saved) => {
        isSaved = true;
        return saved;
      });
      await new Promise((resolve) => setTimeout(resolve, 20)); // the disk takes its time, and timers run
      assert.deepEqual([isSaved, Deno.readTextFileSync(file)], [false, TEXT]);
      disk.resolve();
      using _saved = await saving;
      assert.equal(Deno.readTextFileSync(file), MOVED);
    } finally {
      Object.assign(prototype, { sync, syncSync, syncDataSync, writeSync });
    }
  }));

/** Puts a link to argv[2] in the place of each temporary file in argv[1], until its standard input ends. */
const SWAPPER = `
import os, select, sys
folder, victim = sys.argv[1:]
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(500):
        for name in os.listdir(folder):
            if not name.startswith(".steering.yaml."): continue
            try:
                os.unlink(f"{folder}/{name}")
                os.symlink(victim, f"{folder}/{name}")
            except OSError:
                pass
`;
const SAVES = 100;

Deno.test("prepareSave() gives away no file that the directory's owner links to from its temporary one", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [file, victim] = [`${folder}/etc/steering.yaml`, `${folder}/victim`];
    await Deno.mkdir(`${folder}/etc`);
    await Deno.writeTextFile(victim, "precious", { mode: 0o600 });
    const { uid } = await Deno.lstat(victim);
    const args = ["-c", SWAPPER, `${folder}/etc`, victim];
    await using swapper = new Deno.Command("/usr/bin/python3", { args, stdin: "piped", stdout: "piped" }).spawn();
    const reader = swapper.stdout.getReader();
    await reader.read();
    for (let count = 0; count < SAVES; count++) {
      await Deno.remove(file).catch(() => {});
      await Deno.writeTextFile(file, TEXT);
      await Deno.chown(file, 12345, 54321);
      await Deno.chmod(file, 0o666);
      try {
        (await save(file))[Symbol.dispose]();
      } catch {
        // The temporary file was gone.
      }
      const found = await Deno.lstat(victim);
      assert.deepEqual([found.uid, found.mode! & 0o7777], [uid, 0o600], `after ${count} saves`);
    }
    assert.equal(await Deno.readTextFile(victim), "precious");
    await reader.cancel();
    await swapper.stdin.close();
    await swapper.status;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("prepareSave() removes what saves that were killed have left, and nothing else", () =>
  withFolder(async (folder) => {
    const file = `${folder}/steering.yaml`;
    Deno.writeTextFileSync(file, TEXT);
    const kept = [".other.yaml.01234567", ".steering.yaml.0123456", ".steering.yaml.0123456x", "steering.yaml"];
    for (const name of [".steering.yaml.01234567", ".steering.yaml.89abcdef", ...kept.slice(0, 3)]) {
      Deno.writeTextFileSync(`${folder}/${name}`, "half");
    }
    Deno.symlinkSync("steering.yaml", `${folder}/.steering.yaml.00000000`);
    using directory = new HeldFile(folder);
    {
      using underWay = new TemporaryFile(directory, "steering.yaml");
      using _saved = await save(file);
      assert.equal(Deno.lstatSync(underWay.path).isFile, true);
    }
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assert.deepEqual(names, [...kept, ".steering.yaml.00000000"].sort());
  }));

Deno.test("prepareSave() on a full disk leaves the file as it was, and nothing else, and says what to do", () =>
  withFolder(async (folder) => {
    const run = (program: string, ...args: readonly string[]): void => {
      const { success, stderr } = new Deno.Command(program, { args: [...args] }).outputSync();
      assert.ok(success, new TextDecoder().decode(stderr));
    };
    run("mount", "-t", "tmpfs", "-o", "size=64k", "xdpsteer-test", folder);
    try {
      const file = `${folder}/steering.yaml`;
      Deno.writeTextFileSync(file, TEXT);
      assert.throws(() => Deno.writeFileSync(`${folder}/full`, new Uint8Array(1 << 20)), { code: "ENOSPC" });
      await assert.rejects(save(file), {
        message: `Cannot save to "${file}": No space left on device (os error 28)`,
        hint: "make room on the disk and do it again; until then the change can be made without saving it",
      });
      assert.equal(Deno.readTextFileSync(file), TEXT);
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["full", "steering.yaml"]);
    } finally {
      run("umount", "--lazy", folder);
    }
  }));
