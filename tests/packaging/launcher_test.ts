/** The self-extracting file, as packaging/launcher/launcher.c promises it. Needs dist/xdpsteer. */
import assert from "node:assert/strict";
import { binary, type Result, temporaryFolder } from "./support.ts";

const FILE = binary();
const ORDINARY_USER = 65534;

async function start(
  env: Readonly<Record<string, string>>,
  words: readonly string[] = [FILE, "version"],
): Promise<Result> {
  const [program, ...args] = words;
  const options = { args, env: { PATH: "/usr/sbin:/usr/bin", ...env }, clearEnv: true };
  const { code, stdout, stderr } = await new Deno.Command(program!, options).output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

/** A folder that every user may look into. */
async function temporary(): Promise<{ readonly path: string } & AsyncDisposable> {
  const folder = await temporaryFolder();
  await Deno.chmod(folder.path, 0o755);
  return folder;
}

/** The one cache in a directory. */
async function cacheIn(root: string): Promise<string> {
  const names = (await Array.fromAsync(Deno.readDir(root))).map(({ name }) => name);
  assert.equal(names.length, 1, `in ${root}: ${names.join(", ")}`);
  assert.match(names[0]!, /^[0-9a-f]{64}$/);
  return `${root}/${names[0]}`;
}

function assertStarts({ code, stdout, stderr }: Result): void {
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^xdpsteer \d+\.\d+\.\d+ \(self-extracting, deno /);
  assert.equal(stderr, "");
}

/** Starts until the files of a cache are known without being read. */
async function trusted(env: Readonly<Record<string, string>>, cache: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 50)); // they are older than the clock is coarse
  assertStarts(await start(env));
  const stamp = await Deno.readFile(`${cache}/checked`);
  assert.equal(stamp.byteLength, 8);
  assert.ok(stamp.some((byte) => byte !== 0));
}

Deno.test("the file unpacks once, into a directory that is its owner's alone", async () => {
  await using root = await temporary();
  const env = { XDPSTEER_CACHE_DIR: `${root.path}/cache` };
  assertStarts(await start(env));
  const cache = await cacheIn(env.XDPSTEER_CACHE_DIR);
  for (const directory of [env.XDPSTEER_CACHE_DIR, cache]) {
    assert.equal((await Deno.stat(directory)).mode! & 0o777, 0o700);
  }
  for (const [name, mode] of [["xdpsteer", 0o500], ["main.js", 0o400], ["lib/libbpf.so.1", 0o400]] as const) {
    assert.equal((await Deno.stat(`${cache}/${name}`)).mode! & 0o7777, mode, name);
  }
  const before = await Deno.stat(`${cache}/xdpsteer`);
  assertStarts(await start(env));
  const after = await Deno.stat(`${cache}/xdpsteer`);
  assert.deepEqual([after.ino, after.mtime], [before.ino, before.mtime]);
});

Deno.test("many first starts at once all work, and leave one cache", async () => {
  await using root = await temporary();
  const env = { XDPSTEER_CACHE_DIR: `${root.path}/cache` };
  for (const result of await Promise.all(Array.from({ length: 6 }, () => start(env)))) assertStarts(result);
  await cacheIn(env.XDPSTEER_CACHE_DIR);
});

Deno.test("a cache that was changed, cut or taken from is made anew before anything of it runs", async () => {
  await using root = await temporary();
  const env = { XDPSTEER_CACHE_DIR: `${root.path}/cache` };
  assertStarts(await start(env));
  const cache = await cacheIn(env.XDPSTEER_CACHE_DIR);
  const script = `${cache}/main.js`;
  const whole = await Deno.readTextFile(script);
  const harm: Readonly<Record<string, () => Promise<void>>> = {
    "other text of the same length": async () => {
      await Deno.chmod(script, 0o600);
      await Deno.writeTextFile(script, `console.log("mine");`.padEnd(whole.length));
      await Deno.chmod(script, 0o400);
    },
    "cut": async () => {
      await Deno.chmod(script, 0o600);
      await Deno.truncate(script, 10);
      await Deno.chmod(script, 0o400);
    },
    "gone": () => Deno.remove(script),
    "a link": async () => {
      await Deno.writeTextFile(`${root.path}/elsewhere`, whole);
      await Deno.remove(script);
      await Deno.symlink(`${root.path}/elsewhere`, script);
    },
    "open to others": () => Deno.chmod(cache, 0o755),
  };
  for (const [what, change] of Object.entries(harm)) {
    await trusted(env, cache);
    await change();
    assertStarts(await start(env));
    assert.equal(await Deno.readTextFile(script), whole, what);
    assert.equal((await Deno.lstat(script)).isSymlink, false, what);
    assert.equal((await Deno.stat(cache)).mode! & 0o777, 0o700, what);
  }
});

Deno.test("files are hashed once as long as nothing touches them, and once more where the system was started anew", async () => {
  await using root = await temporary();
  const env = { XDPSTEER_CACHE_DIR: `${root.path}/cache` };
  assertStarts(await start(env));
  const cache = await cacheIn(env.XDPSTEER_CACHE_DIR);
  await trusted(env, cache);
  /** By the program and its launcher, which are one process; a shell that waited for it has them in its account. */
  const mibRead = async (): Promise<number> => {
    const { stdout } = await start(env, ["/bin/sh", "-c", '"$1" version >/dev/null && cat /proc/$$/io', "sh", FILE]);
    return Number(/^rchar: (\d+)$/m.exec(stdout)![1]) / 2 ** 20;
  };
  const known = await mibRead();
  await Deno.writeFile(`${cache}/checked`, new Uint8Array(8).fill(1)); // as of another run
  const hashed = await mibRead();
  assert.ok(hashed - known > 80, `${known}, then ${hashed} MiB`);
  const again = await mibRead();
  assert.ok(Math.abs(again - known) < 1, `${known}, then ${again} MiB`);
});

Deno.test("what older versions left is removed, but not under a running one", async () => {
  await using root = await temporary();
  const env = { XDPSTEER_CACHE_DIR: `${root.path}/cache` };
  const [old, running] = ["a", "b"].map((digit) => `${env.XDPSTEER_CACHE_DIR}/${digit.repeat(64)}`);
  for (const directory of [old!, running!]) {
    await Deno.mkdir(`${directory}/lib`, { recursive: true });
    await Deno.writeTextFile(`${directory}/lib/some.so`, "");
  }
  using held = await Deno.open(running!);
  await held.lock(false);
  assertStarts(await start(env));
  await assert.rejects(Deno.stat(old!), Deno.errors.NotFound);
  assert.ok((await Deno.stat(`${running}/lib/some.so`)).isFile);
});

Deno.test("where the home is read-only or a trap, the next place is taken", async () => {
  await using root = await temporary();
  const file = `${root.path}/xdpsteer`;
  await Deno.copyFile(FILE, file);
  const as = ["setpriv", `--reuid=${ORDINARY_USER}`, `--regid=${ORDINARY_USER}`, "--clear-groups", file, "version"];
  const own = `/dev/shm/xdpsteer-${ORDINARY_USER}`;
  try {
    assertStarts(await start({ HOME: root.path }, as)); // not writable for the user
    await cacheIn(own);
    // Somebody else's directory under a name that the user's cache would have, and a link to the user's own.
    await Deno.mkdir(`${root.path}/xdg/xdpsteer`, { recursive: true });
    assertStarts(await start({ XDG_CACHE_HOME: `${root.path}/xdg` }, as));
    await Deno.remove(`${root.path}/xdg/xdpsteer`);
    await Deno.symlink(own, `${root.path}/xdg/xdpsteer`);
    assertStarts(await start({ XDG_CACHE_HOME: `${root.path}/xdg` }, as));
    const { code, stderr } = await start({ XDPSTEER_CACHE_DIR: `${root.path}/xdg/xdpsteer` }, as);
    assert.equal(code, 1);
    assert.match(stderr, /cannot unpack to XDPSTEER_CACHE_DIR/);
  } finally {
    await Deno.remove(own, { recursive: true }).catch(() => {});
  }
});

Deno.test("a cache on a disk that is full, read-only or noexec is told as that, and a read-only one that is whole is used", async () => {
  await using root = await temporary();
  /** Starts with a file system of its own at the cache's place. */
  const mounted = (options: string, below = ""): ReturnType<typeof start> =>
    start({ XDPSTEER_CACHE_DIR: `${root.path}${below}` }, [
      ...["unshare", "--mount", "sh", "-c", `mount -t tmpfs -o ${options} none ${root.path} && exec "$@"`, "sh"],
      ...[FILE, "version"],
    ]);
  const reasons: readonly (readonly [options: string, below: string, says: string])[] = [
    ["size=4k", "", "no room is left there for 120 MB"],
    ["size=40m", "/sub", "no room is left there for 120 MB"],
    ["ro", "", "Read-only file system"],
    ["ro", "/sub/deeper", "Read-only file system"],
    ["noexec", "", "it is mounted noexec"],
  ];
  for (const [options, below, says] of reasons) {
    const { code, stderr } = await mounted(options, below);
    assert.equal(code, 1, options);
    assert.ok(
      stderr.startsWith(`xdpsteer: cannot unpack to XDPSTEER_CACHE_DIR, ${root.path}${below}: ${says}\n  hint: `),
      stderr,
    );
  }
  const env = { XDPSTEER_CACHE_DIR: `${root.path}/cache` };
  assertStarts(await start(env));
  const readOnly = `mount --bind ${root.path} ${root.path} && mount -o remount,bind,ro ${root.path} && exec "$@"`;
  assertStarts(await start(env, ["unshare", "--mount", "sh", "-c", readOnly, "sh", FILE, "version"]));
});

Deno.test("a damaged file says so and runs nothing", async () => {
  await using root = await temporary();
  const env = { XDPSTEER_CACHE_DIR: `${root.path}/cache` };
  const whole = await Deno.readFile(FILE);
  const changed = whole.slice();
  changed[whole.byteLength - 200]! ^= 1; // in the index
  for (const bytes of [whole.subarray(0, whole.byteLength - 1000), changed]) {
    const file = `${root.path}/damaged`;
    await Deno.writeFile(file, bytes, { mode: 0o755 });
    const { code, stderr } = await start(env, [file, "version"]);
    assert.equal(code, 1);
    assert.match(stderr, /is damaged: .*copy it again/);
    await Deno.remove(file);
  }
});

Deno.test("its libraries are its own, and the system's if asked for", async () => {
  await using root = await temporary();
  for (const [system, from] of [["", `${root.path}/cache/`], ["1", "/usr/lib/"]] as const) {
    const env = {
      XDPSTEER_CACHE_DIR: `${root.path}/cache`,
      ...(system === "" ? {} : { XDPSTEER_SYSTEM_LIBRARIES: system }),
    };
    const control = `control: { socket: ${root.path}/control.sock, http: "off" }\n`;
    const text = `version: 1\ninterfaces: [{ name: lo }]\n${control}steering: []\n`;
    await Deno.writeTextFile(`${root.path}/steering.yaml`, text);
    const words = [FILE, "run", "--bpf-object", "/bin/true", "-c", `${root.path}/steering.yaml`];
    const trace = `${root.path}/trace`;
    await start(env, ["strace", "-f", "-e", "trace=openat", "-o", trace, ...words]);
    const [, path] = /"([^"]+libbpf\.so\.1)"[^\n]* = \d+$/m.exec(await Deno.readTextFile(trace)) ?? [];
    assert.ok(path !== undefined && (await Deno.realPath(path)).startsWith(from), `${path} is not below ${from}`);
  }
});

Deno.test("what it starts gets the environment that it was started in, without what would steer the runtime", async () => {
  await using root = await temporary();
  const seen = `${root.path}/environment`;
  await Deno.writeTextFile(`${root.path}/ip`, `#!/bin/sh\n/usr/bin/env > ${seen}\nexit 1\n`, { mode: 0o755 });
  const plain = { XDPSTEER_CACHE_DIR: `${root.path}/cache`, PATH: `${root.path}:/usr/sbin:/usr/bin` };
  const tuned = { ...plain, GLIBC_TUNABLES: "glibc.malloc.tcache_count=3" };
  const steered = {
    ...{
      DENO_V8_FLAGS: "--no-such-flag",
      NODE_OPTIONS: "--inspect",
      NODE_CHANNEL_FD: "9",
      OTEL_DENO: "true",
      RUST_LOG: "trace",
    },
    ...{ LD_PRELOAD: "/none.so", LD_LIBRARY_PATH: "/usr/lib", LD_DEBUG: "all", GLIBC_OTHER: "1", DENO_DIR: "/none" },
    ...{ XDPSTEER_GLIBC_TUNABLES: "glibc.malloc.perturb=1" },
  };
  for (const [env, more] of [[plain, {}], [tuned, {}], [tuned, steered]] as const) {
    assert.notEqual((await start({ ...env, ...more }, [FILE, "demo"])).code, 0);
    const lines = (await Deno.readTextFile(seen)).trimEnd().split("\n").filter((line) =>
      !/^(PWD|_|OLDPWD|SHLVL)=/.test(line)
    );
    assert.deepEqual(lines.sort(), Object.entries(env).map(([name, value]) => `${name}=${value}`).sort());
  }
});

Deno.test("a name with control characters does not reach the terminal as it is", async () => {
  const { code, stderr } = await start({ XDPSTEER_CACHE_DIR: "/proc/none/\x1b]0;title\x07\x9b31m\u00e9" });
  assert.equal(code, 1);
  assert.match(stderr, /^xdpsteer: cannot unpack to XDPSTEER_CACHE_DIR, \/proc\/none\/\?\]0;title\?\S*31m\u00e9: /);
  // deno-lint-ignore no-control-regex -- they are what is looked for
  assert.doesNotMatch(stderr.replaceAll("\n", ""), /[\x00-\x1f\x7f-\x9f]/);
});

Deno.test("it starts in a directory that has been removed", async () => {
  await using root = await temporary();
  const script = 'mkdir "$1" && cd "$1" && rmdir "$1" && exec "$2" version';
  const env = { XDPSTEER_CACHE_DIR: `${root.path}/cache` };
  assertStarts(await start(env, ["/bin/sh", "-c", script, "sh", `${root.path}/gone`, FILE]));
});

Deno.test("version tells how it is packaged, and all licences", async () => {
  await using root = await temporary();
  const env = { XDPSTEER_CACHE_DIR: `${root.path}/cache` };
  const { stdout } = await start(env, [FILE, "version", "--json"]);
  assert.equal(JSON.parse(stdout).packaging, "self-extracting");
  const { stdout: licences } = await start(env, [FILE, "version", "--licenses"]);
  for (const name of ["xdpsteer", "deno", "zod", "yaml", "commander", "libbpf1", "libelf1", "zlib1g"]) {
    assert.match(licences, new RegExp(`^${name} \\S+: \\S`, "m"));
  }
});
