/** What the command line prints: where it goes, what is in it, and what becomes of it when it cannot be written. */
import assert from "node:assert/strict";
import type { Command } from "commander";
import { buildProgram } from "../../src/cli/commands.ts";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { assertNoStack } from "./support/bad_start.ts";
import { finish, type Finished, productCommand, TempDir } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { attachedTo } from "./support/link.ts";
import { until } from "./support/wait.ts";

const GOOD: TestConfig = { rules: ["{ name: game, ports: 8080, worker: 0 }"] };

function xdpsteer(network: TestNetwork, ...words: string[]): Promise<Finished> {
  return finish(network, [...productCommand(), ...words]);
}

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
    assert.deepEqual(oddities(value, words[0] === "check" ? FILE_KEY : OWN_KEY), [], words.join(" "));
  }
  for (const [path, key] of [["/v1/config", FILE_KEY], ["/v1/ports", OWN_KEY]] as const) {
    assert.deepEqual(oddities(JSON.parse((await box.request("GET", path)).body), key), [], path);
  }
  await until("the box", async () => (await box.status()).ready);
});

/** Commands with --json that are tested elsewhere: they change something, or make a machine of their own. */
const ELSEWHERE = [
  ...["backends drain", "backends move", "backends undrain"],
  ...["ban add", "ban remove", "confirm", "demo", "ports set", "ports unset", "upgrade"],
];

/** The commands below one, as they are written, that print JSON. */
function printingJson(parent: Command): string[] {
  return parent.createHelp().visibleCommands(parent).flatMap((command) => {
    if (command.commands.length > 0) return printingJson(command).map((name) => `${command.name()} ${name}`);
    return command.options.some(({ long }) => long === "--json") ? [command.name()] : [];
  });
}

Deno.test("these tests know every command that prints JSON", () => {
  const known = printing([], []).map((words) => words.join(" ").split(" --")[0]!);
  assert.deepEqual(
    [...known, ...ELSEWHERE].sort(),
    printingJson(buildProgram(new URL(import.meta.url))).sort(),
    "add new commands to printing()",
  );
});

/** Command lines that print and end, of all commands that need no machine of their own. */
function printing(at: readonly string[], file: readonly string[]): readonly (readonly string[])[] {
  return [
    ["status", ...at],
    ["top", "--once", "--interval", "0.2", ...at],
    ["sources", ...at],
    ["backends", "list", ...at],
    ["ban", "list", ...at],
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

/** Keys of JSON are in camelCase, except where it is a configuration: that has the keys of the file. */
const OWN_KEY = /^[a-z][A-Za-z0-9]*$/;
const FILE_KEY = /^[a-z][a-z0-9_]*$/;

/** Keys that are not as `wanted`, and durations with more digits than a clock has. */
function oddities(value: unknown, wanted: RegExp, path = "", parent = ""): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => oddities(item, wanted, path));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => {
    const here = `${path}.${key}`;
    const odd = !NAMED.test(parent) && !wanted.test(key);
    const long = key.endsWith("Ms") && typeof item === "number" && Math.round(item * 1000) / 1000 !== item;
    return [...(odd ? [here] : []), ...(long ? [`${here}: ${item}`] : []), ...oddities(item, wanted, here, key)];
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
  assert.match((await check("- </dev/zero")).stderr, /^xdpsteer: standard input: the file is larger than 1 MiB: /);
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
  // Long paths and lines are cut.
  const warning =
    `steering\\.yaml:\\d+:\\d+: capture directory "[^"]*(/none|…)" does not exist: run would steer, but not capture\\n`;
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

Deno.test("nothing that comes from outside steers the terminal: interfaces, files, words, answers", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  await using box = await startAppliance(network, GOOD);
  const evil = "e\x1b[31m\x9b7";
  await network.exec("steer", ["ip", "link", "add", evil, "type", "veth", "peer", "name", "evil-peer"]);
  for (const name of [evil, "evil-peer"]) await network.exec("steer", ["ip", "link", "set", "dev", name, "up"]);
  const file = `${directory.path}/${evil}.yaml`;
  await Deno.writeTextFile(file, configText(GOOD, `${directory.path}/control.sock`));
  const bad = `${directory.path}/bad${evil}.yaml`;
  await Deno.writeTextFile(bad, configText(GOOD, `${directory.path}/control.sock`).replace("game", `"${evil}"`));
  const refused = JSON.parse((await box.request("PUT", "/v1/config", await Deno.readTextFile(bad))).body);
  assert.match(refused.error, /rule name ".*" has control characters in it/);
  for (
    const words of [
      ["doctor"],
      ["doctor", "--json"],
      ["doctor", "--interface", evil],
      ["detach", "--interface", evil],
      ["detach", "--interface", evil, "--json"],
      ["detach", "--interface", "nosuch0"],
      ["check", file],
      ["check", bad],
      ["check", `${evil}/none.yaml`],
      ["run", "--config", bad],
      ["run", "--config", `${evil}/none.yaml`],
      ["status", "--socket", evil],
      ["status", "--socket", box.socket],
      ["status", "--socket", box.socket, "--json"],
      ["ports", "set", evil, "--worker", evil, "--socket", box.socket],
      ["ports", "set", "7", "--worker", "0", "--rule", evil, "--socket", box.socket],
      ["top", "--once", "--interval", evil, "--socket", box.socket],
      ["ban", "add", evil, "--reason", evil, "--socket", box.socket],
      ["ban", "add", "192.0.2.1", "--for", evil, "--socket", box.socket],
      ["ban", "remove", evil, "--rule", evil, "--socket", box.socket],
      [evil],
      ["completions", evil],
    ]
  ) {
    const { stdout, stderr } = await xdpsteer(network, ...words);
    assert.doesNotMatch(stdout + stderr, /[^\P{Cc}\n]/u, JSON.stringify(words));
    assertNoStack(stderr);
  }
});

Deno.test("a limit of the machine is one line and a hint, not a stack trace", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = `${directory.path}/steering.yaml`;
  await Deno.writeTextFile(file, configText({ ...GOOD, workers: 32 }, `${directory.path}/control.sock`));
  const command = [...productCommand(), "run", "--config", file];
  const { code, stderr } = await finish(network, ["prlimit", "--nofile=64:64", ...command]);
  assert.equal(code, 1, stderr);
  const says =
    /^xdpsteer: Cannot open the sockets of 32 workers on 2 queues: 64 files .*\n +hint: raise the limit of open/;
  assert.match(stderr, says);
  assertNoStack(stderr);
  assert.equal((await attachedTo(network)).mode, "none");
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
