import assert from "node:assert/strict";
import { LogRecords } from "../../tests/support/log_records.ts";
import { ConfigError } from "../errors.ts";
import { LastGood } from "./last_good.ts";
import { loadConfig, type LoadedConfig } from "./load.ts";

const GOOD = "version: 1\ninterfaces: [{ name: eth0 }]\n";
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Rig {
  readonly folder: string;
  readonly file: string;
  readonly lastGood: LastGood;
  readonly load: () => Promise<LoadedConfig>;
}

async function withRig(test: (rig: Rig) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const file = `${folder}/steering.yaml`;
  await Deno.mkdir(`${folder}/state`);
  const lastGood = new LastGood(`${folder}/state`, file);
  try {
    await test({ folder, file, lastGood, load: () => loadConfig(file, { cpuCount: 1, lastGood }) });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("LastGood keeps a file byte for byte, for its owner alone, under a name of its own for each path", () =>
  withRig(async ({ folder, lastGood }) => {
    const path = "/etc/xdp-steer/a b\x1b.yaml";
    assert.equal(new LastGood("/s", path).path, "/s/last-good.etc-xdp%2Dsteer-a%20b%1B.yaml");
    assert.equal(new LastGood("/s", "/etc//x/../xdp-steer/a b\x1b.yaml").path, new LastGood("/s", path).path);
    assert.equal(lastGood.read(), undefined);
    for (const text of [GOOD, `${GOOD}# changed\n`]) {
      await lastGood.keep(bytes(text));
      assert.deepEqual(lastGood.read(), bytes(text));
    }
    const { mode, ino } = await Deno.lstat(lastGood.path);
    assert.equal(mode! & 0o777, 0o600);
    await Deno.writeTextFile(`${folder}/state/.${lastGood.path.split("/").at(-1)}.01234567`, "half");
    await lastGood.keep(bytes(`${GOOD}# changed\n`));
    assert.equal((await Deno.lstat(lastGood.path)).ino, ino, "what is the same is not written again");
    assert.equal([...Deno.readDirSync(`${folder}/state`)].length, 1);
  }));

Deno.test("LastGood keeps nothing where there is no directory, and says once where it cannot write", () =>
  withRig(async ({ folder, file }) => {
    using log = new LogRecords();
    const nowhere = new LastGood(`${folder}/none`, file);
    await nowhere.keep(bytes(GOOD));
    assert.equal(nowhere.read(), undefined);
    assert.deepEqual(log.lines, []);
    const unwritable = new LastGood("/proc/self", file);
    for (let times = 0; times < 2; times++) await unwritable.keep(bytes(GOOD));
    assert.equal(log.lines.length, 1);
    assert.match(
      log.lines[0]!,
      /^warning: The last good configuration cannot be kept in \/proc\/self\/last-good\.\S+: [^']*$/,
    );
  }));

Deno.test("LastGood is not read where another user could have written it", () =>
  withRig(async ({ lastGood }) => {
    await lastGood.keep(bytes(GOOD));
    await Deno.chmod(lastGood.path, 0o620);
    assert.throws(() => lastGood.read(), {
      message: `"${lastGood.path}" is another user's, or may be written by others`,
    });
    await Deno.chmod(lastGood.path, 0o600);
    await Deno.chown(lastGood.path, 12345, null);
    assert.throws(() => lastGood.read(), { message: /is another user's/ });
    await Deno.remove(lastGood.path);
    await Deno.symlink("/etc/passwd", lastGood.path);
    assert.throws(() => lastGood.read(), { message: `"${lastGood.path}" is a symbolic link` });
  }));

Deno.test("loadConfig() uses the last good configuration where the file is refused for whatever reason", () =>
  withRig(async ({ file, lastGood, load }) => {
    await assert.rejects(load(), { name: "ConfigError", message: /does not exist/, exitCode: 3 });
    await lastGood.keep(bytes(GOOD));
    const refused: Readonly<Record<string, () => Promise<unknown>>> = {
      "does not exist": () => Promise.resolve(),
      "the file is empty": () => Deno.writeTextFile(file, ""),
      'unknown key "wrong"': () => Deno.writeTextFile(file, `${GOOD}wrong: 1\n`),
      "is a FIFO": async () => {
        await Deno.remove(file);
        await new Deno.Command("mkfifo", { args: [file] }).output();
      },
    };
    for (const [why, make] of Object.entries(refused)) {
      await make();
      const { config, content, instead } = await load();
      assert.equal(config.interfaces[0]!.name, "eth0");
      assert.deepEqual(content, bytes(GOOD));
      assert.equal(instead!.used, lastGood.path);
      assert.ok(instead!.error.message.includes(why), instead!.error.message);
    }
    await Deno.remove(file);
    await Deno.writeTextFile(file, GOOD);
    assert.equal((await load()).instead, undefined);
  }));

Deno.test("loadConfig() says what is wrong with both where this version takes neither", () =>
  withRig(async ({ file, lastGood, load }) => {
    await Deno.writeTextFile(file, "version: 2\n");
    await Deno.writeTextFile(lastGood.path, `${GOOD}gone: 1\n`, { mode: 0o600 });
    await assert.rejects(load(), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.ok(error.message.startsWith(`${file}:1:1: `), error.message);
      assert.ok(
        error.notes[0]!.startsWith(
          `Nor can the last good configuration be used: ${lastGood.path}:3:1: unknown key "gone"`,
        ),
        error.notes[0],
      );
      return true;
    });
  }));
