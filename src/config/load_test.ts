import assert from "node:assert/strict";
import { join } from "node:path";
import type { ConfigError } from "../errors.ts";
import { loadConfig, readConfig, SMALLEST_CONFIG } from "./load.ts";
import { parseConfig } from "./parse.ts";

const TEXT = "# kept\nversion: 1\ninterfaces: [{ name: eth0 }]\n";

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await test(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function refuses(path: string, message: string): Promise<void> {
  await assert.rejects(loadConfig(path, { cpuCount: 1 }), {
    name: "ConfigError",
    message: `${path}: ${message}`,
    exitCode: 3,
  });
}

Deno.test("loadConfig() returns the configuration and the bytes", () =>
  withFolder(async (folder) => {
    const path = join(folder, "steering.yaml");
    Deno.writeTextFileSync(path, TEXT);
    const { config, content } = await loadConfig(path, { cpuCount: 3 });
    assert.equal(config.workers.count, 3);
    assert.deepEqual(content, new TextEncoder().encode(TEXT));
  }));

Deno.test("loadConfig() names the file in what is wrong with it", () =>
  withFolder(async (folder) => {
    const path = join(folder, "steering.yaml");
    Deno.writeTextFileSync(path, "");
    await refuses(path, "the file is empty: expected a map with version, interfaces and steering");
  }));

Deno.test("loadConfig() refuses what is not there, a folder, and a file too large to be read", () =>
  withFolder(async (folder) => {
    await refuses(join(folder, "none.yaml"), "does not exist: expected a YAML file");
    await refuses(folder, "is a directory: expected a YAML file");
    await refuses("/proc/self/mem", "cannot be read (read failed with EIO): expected a YAML file");
    const path = join(folder, "large.yaml");
    Deno.writeFileSync(path, new Uint8Array(10_000_000));
    await refuses(path, "the file is 10.0 MB: expected at most 1 MiB");
  }));

/** What an operator or a script may leave in the file's place, each with what it is called. */
const NO_FILES: Readonly<Record<string, (path: string) => void>> = {
  "a FIFO": (path) => void new Deno.Command("mkfifo", { args: [path] }).outputSync(),
  "a character device": (path) => Deno.symlinkSync("/dev/zero", path),
  "a socket": (path) => {
    using _listener = Deno.listen({ transport: "unix", path: `${path}.first` });
    Deno.renameSync(`${path}.first`, path); // closing removes the name it was bound to only
  },
};

for (const [kind, make] of Object.entries(NO_FILES)) {
  Deno.test(`loadConfig() neither opens nor waits for ${kind}`, () =>
    withFolder(async (folder) => {
      const path = join(folder, "steering.yaml");
      make(path);
      await refuses(path, `is ${kind}: expected a YAML file`);
      Deno.symlinkSync(path, join(folder, "link.yaml"));
      await refuses(join(folder, "link.yaml"), `is ${kind}: expected a YAML file`);
    }));
}

Deno.test("loadConfig() reads as many bytes as there may be, and no more", () =>
  withFolder(async (folder) => {
    const path = join(folder, "steering.yaml");
    Deno.writeTextFileSync(path, `${TEXT}#${"x".repeat(1024 * 1024 - TEXT.length - 1)}`);
    assert.equal((await loadConfig(path, { cpuCount: 1 })).content.length, 1024 * 1024);
    Deno.writeTextFileSync(path, "x", { append: true });
    await refuses(path, "the file is larger than 1 MiB: expected at most 1 MiB");
  }));

Deno.test("where there is no configuration yet, the hint says what to write, and that is valid", () =>
  withFolder(async (folder) => {
    const path = join(folder, "steering.yaml");
    const error = await loadConfig(path, { cpuCount: 1 }).then(() => undefined, (error: ConfigError) => error);
    for (const line of SMALLEST_CONFIG.trim().split("\n")) assert.ok(error!.hint!.includes(line), line);
    assert.equal(parseConfig(SMALLEST_CONFIG, { file: path, cpuCount: 1 }).steering.length, 1);
    assert.throws(() => readConfig(path), (other: ConfigError) => other.hint === undefined, "one that is gone");
  }));

Deno.test("loadConfig() says what is to be done where a shell hands the file over as a descriptor", async () => {
  for (const path of ["/dev/fd/999", "/proc/self/fd/999"]) {
    await assert.rejects(loadConfig(path, { cpuCount: 1 }), {
      name: "ConfigError",
      hint: /pipe it to xdpsteer check -$/,
    });
  }
});
