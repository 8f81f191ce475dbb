import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { compileBpf, OTHER_XDP } from "./support/bpf.ts";
import { finish, type Finished, productCommand, TempDir } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { attachedTo } from "./support/link.ts";
import { assertNoStack } from "./support/bad_start.ts";
import { asOrdinaryUser, copyPackages } from "./support/ordinary_user.ts";
import { until } from "./support/wait.ts";

const GOOD: TestConfig = { rules: ["{ name: game, ports: 8080, worker: 0 }"] };
const BETTER: TestConfig = { rules: ["{ name: game, ports: 8080, worker: 1 }", "{ name: more, ports: 7777 }"] };

function xdpsteer(network: TestNetwork, ...words: string[]): Promise<Finished> {
  return finish(network, [...productCommand(), ...words]);
}

Deno.test("reload says what it changed, and refuses with 3 and every problem", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  const reload = (...words: string[]): Promise<Finished> =>
    xdpsteer(network, "reload", "--socket", box.socket, ...words);
  assert.deepEqual(await reload(), {
    code: 0,
    stdout: "nothing to change: generation 1 stays in force\n",
    stderr: "",
  });

  await Deno.writeTextFile(box.configFile, configText(BETTER, box.socket));
  const changed = await reload();
  assert.equal(changed.code, 0, changed.stderr);
  // The watch of the file may have been first.
  assert.match(changed.stdout, /generation 2 (is|stays) in force/);

  const bad = configText(BETTER, box.socket).replace("worker: 1", "worker: 7").replace("7777", "70000");
  await Deno.writeTextFile(box.configFile, bad);
  const refused = await reload();
  assert.deepEqual([refused.code, refused.stdout], [3, ""]);
  assert.match(refused.stderr, /worker 7 does not exist/);
  assert.match(refused.stderr, /port 70000 is out of range/);
  assert.match(refused.stderr, /steering\.yaml:\d+:\d+: /);
  assert.match(refused.stderr, /hint: nothing was changed/);

  await Deno.writeTextFile(box.configFile, configText({ ...GOOD, workers: 3 }, box.socket));
  const fixed = await reload();
  assert.equal(fixed.code, 3);
  assert.match(fixed.stderr, /workers cannot change while xdpsteer runs[\s\S]*hint: restart xdpsteer/);

  await Deno.writeTextFile(box.configFile, configText(GOOD, box.socket));
  const back = JSON.parse((await reload("--json")).stdout);
  assert.equal(back.generation, 3);
  assert.ok(Array.isArray(back.changes));
});

Deno.test("who cannot reach the control socket is told why, and what to do", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const status = (socket: string): Promise<Finished> => xdpsteer(network, "status", "--socket", socket);

  const missing = await status(`${directory.path}/none.sock`);
  assert.equal(missing.code, 1);
  assert.match(
    missing.stderr,
    /^xdpsteer: Cannot reach xdpsteer at ".*none\.sock": there is no such socket\n +hint: is it/,
  );

  const left = `${directory.path}/left.sock`;
  Deno.listen({ transport: "unix", path: left }).close();
  if (await Deno.lstat(left).then(() => false, () => true)) {
    // This listener removes its socket: leave one as a process that is killed does.
    const bind = `import socket; socket.socket(socket.AF_UNIX).bind("${left}")`;
    assert.equal((await finish(network, ["python3", "-c", bind])).code, 0);
  }
  const dead = await status(left);
  assert.equal(dead.code, 1);
  assert.match(dead.stderr, /nobody answers on it\n +hint: xdpsteer has ended/);

  await Deno.writeTextFile(`${directory.path}/file`, "");
  assert.match((await status(`${directory.path}/file`)).stderr, /Cannot reach xdpsteer at ".*file": /);
});

Deno.test("who may not use the control socket is told about sudo and control.group", async () => {
  await using network = await TestNetwork.create();
  await using cache = await TempDir.create();
  await copyPackages(cache.path);
  await using box = await startAppliance(network, GOOD);
  await Deno.chmod(box.socket.slice(0, box.socket.lastIndexOf("/")), 0o755);
  const env = { DENO_DIR: cache.path, XDPSTEER_CACHE_DIR: `${cache.path}/xdpsteer` };
  const words = [...asOrdinaryUser(), ...productCommand(), "status", "--socket", box.socket];
  const { code, stderr } = await finish(network, words, { env });
  assert.equal(code, 1);
  assert.match(stderr, /this user may not open it\n +hint: use sudo, or join the group that control\.group names/);
});

function detach(network: TestNetwork, ...words: string[]): Promise<Finished> {
  return xdpsteer(network, "detach", "--interface", INTERFACES.steer, ...words);
}

for (const [mode, word] of [["native", "xdpdrv"], ["generic", "xdpgeneric"]] as const) {
  Deno.test(`detach removes somebody else's program without a running xdpsteer: ${mode}`, async () => {
    await using network = await TestNetwork.create();
    await using directory = await TempDir.create();
    const object = await compileBpf(directory.path, "other", OTHER_XDP);
    const attach = ["ip", "link", "set", "dev", INTERFACES.steer, word, "obj", object, "sec", "xdp"];
    await network.exec("steer", attach);
    const { id } = await attachedTo(network);
    const { code, stdout, stderr } = await detach(network);
    assert.equal(code, 0, stderr);
    assert.equal(
      stdout,
      `XDP program "other_program" (id ${id}, ${mode} mode) is detached from "${INTERFACES.steer}": ` +
        "its packets go to the kernel stack\n",
    );
    assert.equal((await attachedTo(network)).mode, "none");

    const none = await detach(network);
    assert.deepEqual(none, { code: 0, stdout: `no XDP program is attached to "${INTERFACES.steer}"\n`, stderr: "" });
    assert.deepEqual(JSON.parse((await detach(network, "--json")).stdout), {
      interface: INTERFACES.steer,
      detached: false,
      attached: null,
    });
  });
}

Deno.test("detach without a way to take a program off a process explains; --stop and --force are ways", async () => {
  await using network = await TestNetwork.create();
  {
    await using box = await startAppliance(network, GOOD);
    await assertHeld(network, box);
    const { code, stdout, stderr } = await detach(network, "--stop");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^XDP program "xdp_port_redire.*native mode\) is detached/);
    assert.equal((await attachedTo(network)).mode, "none");
    assert.equal((await box.ended()).code, 0, "it ends in good order");
  }
  await using box = await startAppliance(network, GOOD);
  await assertHeld(network, box);
  const { code, stdout, stderr } = await detach(network, "--force", "--json");
  assert.equal(code, 0, stderr);
  const { detached, attached } = JSON.parse(stdout);
  assert.equal(detached, true);
  assert.deepEqual(attached.holders.map(({ pid }: { pid: number }) => pid), [box.pid]);
  assert.equal((await attachedTo(network)).mode, "none");
  assert.equal((await box.status()).generation, 1, "the process runs on");
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0);
});

async function assertHeld(network: TestNetwork, box: Appliance): Promise<void> {
  const { code, stdout, stderr } = await detach(network);
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, new RegExp(`is held by .* \\(pid ${box.pid}\\) by link \\d+\n +hint: .*--stop .*--force `));
  assert.equal((await attachedTo(network)).mode, "native");
}

Deno.test("detach needs an interface that exists, and privileges", async () => {
  await using network = await TestNetwork.create();
  const unknown = await xdpsteer(network, "detach", "--interface", "nosuch0");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /There is no interface "nosuch0".*\n +hint: the interfaces are: .*steer0/);
  const none = await xdpsteer(network, "detach");
  assert.equal(none.code, 2);
  assert.match(none.stderr, /required option '-i, --interface <name>' not specified/);

  await using directory = await TempDir.create();
  await using cache = await TempDir.create();
  await copyPackages(cache.path);
  const object = await compileBpf(directory.path, "other", OTHER_XDP);
  await network.exec("steer", ["ip", "link", "set", "dev", INTERFACES.steer, "xdpdrv", "obj", object, "sec", "xdp"]);
  const env = { DENO_DIR: cache.path, XDPSTEER_CACHE_DIR: `${cache.path}/xdpsteer` };
  const words = [...asOrdinaryUser(), ...productCommand(), "detach", "--interface", INTERFACES.steer];
  const { code, stderr } = await finish(network, words, { env });
  assert.equal(code, 1);
  assert.match(stderr, /Cannot detach the XDP program from interface "steer0": .*EPERM.*\n +hint: run as root/);
  assert.equal((await attachedTo(network)).mode, "native");
});

Deno.test("what is printed has no escape sequence where there is no terminal, and --json is JSON", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  const at = ["--socket", box.socket];
  const file = ["--config", box.configFile];
  for (const words of [...printing(at, file), ["ports", "set", "9999", "--worker", "1", ...at]]) {
    const plain = await xdpsteer(network, ...words);
    assert.equal(plain.code, 0, plain.stderr);
    assert.equal(plain.stdout.includes("\x1b"), false, words[0]);
    const json = await xdpsteer(network, ...words, "--json");
    const value = JSON.parse(json.stdout);
    assert.equal(typeof value, "object", words[0]);
    assert.deepEqual(oddities(value), [], words.join(" "));
  }
  for (const path of ["/v1/config", "/v1/ports"]) {
    assert.deepEqual(oddities(JSON.parse((await box.request("GET", path)).body)), [], path);
  }
  await until("the box", async () => (await box.status()).ready);
});

/** Command lines that print and end, of all commands that need no machine of their own. */
function printing(at: readonly string[], file: readonly string[]): readonly (readonly string[])[] {
  return [
    ["status", ...at],
    ["top", "--once", "--interval", "0.2", ...at],
    ["ports", "list", ...at],
    ["reload", ...at],
    ["check", ...file],
    ["detach", "--interface", "lo"],
    ["doctor", "--interface", INTERFACES.steer],
    ["version"],
  ];
}

/**
 * Maps whose keys are names of their own, the same as the label values of metrics: fates, reasons, the kernel's
 * statistics.
 */
const NAMED = /^(fates|redirect|pass|drop|statistics|lost)$/;

/** Keys that are not in camelCase, and durations with more digits than a clock has. */
function oddities(value: unknown, path = "", parent = ""): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => oddities(item, path));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => {
    const here = `${path}.${key}`;
    const odd = !NAMED.test(parent) && !/^[a-z][A-Za-z0-9]*$/.test(key);
    const long = key.endsWith("Ms") && typeof item === "number" && Math.round(item * 1000) / 1000 !== item;
    return [...(odd ? [here] : []), ...(long ? [`${here}: ${item}`] : []), ...oddities(item, here, key)];
  });
}

Deno.test("output that cannot be written is one line and 1, of every command; a reader that has ended, nothing", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  const at = ["--socket", box.socket];
  const lines = [
    ...printing(at, ["--config", box.configFile]).flatMap((words) => [words, [...words, "--json"]]),
    ...[["--help"], ["check", "--help"], ["--version"], ["version", "--licenses"], ["completions", "bash"], ["man"]],
  ];
  for (const words of lines) {
    const command = [...productCommand(), ...words].map((word) => `'${word}'`).join(" ");
    const full = await finish(network, ["sh", "-c", `${command} >/dev/full`]);
    const said = "xdpsteer: Cannot write to standard output: No space left on device (os error 28)\n";
    assert.deepEqual([full.code, full.stderr], [1, said], words.join(" "));
  }
  for (const words of [["status", ...at], ["ports", "list", "--json", ...at], ["--help"]]) {
    const command = [...productCommand(), ...words].join(" ");
    // The pipe's reader is gone before anything is written.
    const piped = await finish(network, ["bash", "-c", `exec 3> >(:); wait $!; ${command} >&3`]);
    assert.equal(piped.stderr, "", words.join(" "));
    const closed = await finish(network, ["sh", "-c", `${command} >&-`]);
    assertNoStack(closed.stderr);
    assert.ok(closed.stderr.split("\n").length <= 2, closed.stderr);
    assert.ok((await finish(network, ["sh", "-c", `${command} >/dev/full 2>/dev/full`])).code === 1, words.join(" "));
  }
  const top = [...productCommand(), "top", "--interval", "0.2", ...at].join(" ");
  assert.equal((await finish(network, ["sh", "-c", `${top} >/dev/full`])).code, 1);
});

Deno.test("check reads a file, or standard input, and --config still names one", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = `${directory.path}/a.yaml`;
  await Deno.writeTextFile(file, configText(GOOD, `${directory.path}/control.sock`));
  for (const words of [["check", file], ["check", "--config", file], ["check", "-c", file]]) {
    const { code, stdout } = await xdpsteer(network, ...words);
    assert.deepEqual([code, stdout.split("\n")[0]], [0, `${file} is valid: 1 interface, 2 workers, 1 rule`]);
  }
  const check = (words: string): Promise<Finished> =>
    finish(network, ["sh", "-c", `${productCommand().join(" ")} check ${words}`]);
  const piped = await check(`- <${file}`);
  assert.match(piped.stdout, /^standard input is valid: 1 interface, 2 workers, 1 rule\n/);
  const bad = await check(`- <<'END'\nversion: 1\ninterfaces: 7\nEND`);
  assert.equal(bad.code, 3);
  assert.match(bad.stderr, /^xdpsteer: standard input:2:13: interfaces is a number: /);
  assert.match((await check("- </dev/null")).stderr, /^xdpsteer: standard input: the file is empty: /);
  assert.match((await check("- </dev/zero")).stderr, /^xdpsteer: standard input: the file is 1\.0 MB: /);
  assert.equal((await check(`${file} --config ${file}`)).code, 2);
  assertNoStack((await check(`- <&-`)).stderr);
});

Deno.test("check warns of a capture that run would not make, and run steers all the same", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = `${directory.path}/steering.yaml`;
  const rules = [`{ name: game, ports: 8080, worker: 0, capture: ${directory.path}/none/a.pcapng }`];
  await Deno.writeTextFile(file, configText({ rules }, `${directory.path}/control.sock`));
  const { code, stdout, stderr } = await xdpsteer(network, "check", file, "--json");
  assert.equal(code, 0);
  assert.equal(typeof JSON.parse(stdout), "object");
  const warning =
    `steering\\.yaml:\\d+:\\d+: capture directory ".*/none" does not exist: run would steer, but not capture\\n`;
  assert.match(stderr, new RegExp(`^warning: .*${warning} .*capture: .*\\n +\\^\\n$`));
  await Deno.mkdir(`${directory.path}/none`);
  assert.equal((await xdpsteer(network, "check", file)).stderr, "");
  await Deno.mkdir(`${directory.path}/none/a.pcapng`);
  assert.match((await xdpsteer(network, "check", file)).stderr, /is there already and is no regular file/);
});

Deno.test("XDPSTEER_SOCKET names the control socket, --socket goes before it, and empty it is as good as none", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, GOOD);
  const status = (env: Record<string, string>, ...words: string[]): Promise<Finished> =>
    finish(network, [...productCommand(), "status", ...words], { env });
  assert.match((await status({ XDPSTEER_SOCKET: box.socket })).stdout, /^generation 1, /);
  assert.match((await status({ XDPSTEER_SOCKET: "/none" }, "--socket", box.socket)).stdout, /^generation 1, /);
  assert.match((await status({ XDPSTEER_SOCKET: "/none" })).stderr, /"\/none": there is no such socket/);
  assert.match((await status({ XDPSTEER_SOCKET: "" })).stderr, /"\/run\/xdpsteer\/control\.sock": /);
});

Deno.test("--version says what version says", async () => {
  await using network = await TestNetwork.create();
  const { code, stdout } = await xdpsteer(network, "--version");
  assert.equal(code, 0);
  assert.match(stdout, /^xdpsteer \d+\.\d+\.\d+ \(.*deno .*\)\n$/);
  assert.deepEqual([await xdpsteer(network, "-V"), await xdpsteer(network, "version")].map((end) => end.stdout), [
    stdout,
    stdout,
  ]);
});

Deno.test("what answers without JSON is told to be no xdpsteer", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const socket = `${directory.path}/web.sock`;
  await using _server = Deno.serve({ path: socket, onListen: () => {} }, () => new Response("<html>"));
  for (const words of [["status"], ["top", "--once"], ["ports", "list"], ["ports", "unset", "1"], ["reload"]]) {
    const { code, stderr } = await xdpsteer(network, ...words, "--socket", socket);
    assert.equal(code, 1);
    assert.match(stderr, /^xdpsteer: What answers at ".*web\.sock" is not xdpsteer: .*\n +hint: /);
    assertNoStack(stderr);
  }
});
