/**
 * The demo loses nothing, however busy the machine is; where packets are lost, it says where.
 */
import assert from "node:assert/strict";
import { get } from "../../src/cli/client.ts";
import type { DemoSummary } from "../../src/cli/demo_account.ts";
import { requireKernel } from "../support/netns.ts";
import { type Finished, productCommand, TempDir } from "./support/command.ts";
import { sleep, until } from "./support/wait.ts";

/** The widest line of a terminal that nobody made wider. */
const MAX_COLUMNS = 80;
/** How often the appliance is stopped, and how long each time: far longer than its rings last at the demo's rate. */
const PAUSES = 3;
const PAUSE_MS = 200;

/** Processes that want every core, until disposed of. */
class BusyCores implements AsyncDisposable {
  readonly #children = Array.from(
    { length: navigator.hardwareConcurrency },
    () => new Deno.Command("sh", { args: ["-c", "while :; do :; done"], stdin: "null" }).spawn(),
  );

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#children.map(({ status }) => status));
  }
}

/** Starts the demo with its files in `directory`. */
function spawnDemo(directory: string, ...args: string[]): Deno.ChildProcess {
  requireKernel();
  const [program, ...words] = productCommand();
  return new Deno.Command(program!, {
    args: [...words, "demo", ...args],
    env: { TMPDIR: directory },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs it to its end. */
async function startDemo(directory: string, ...args: string[]): Promise<Finished> {
  const { code, stdout, stderr } = await spawnDemo(directory, ...args).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** The demo's directory is gone. Whoever runs this test sees that the namespaces are. */
function assertNothingLeft(directory: string): void {
  assert.deepEqual([...Deno.readDirSync(directory)], []);
}

/** Waits until the demo with its files in `directory` has traffic. @returns its directory. */
async function underTraffic(directory: string): Promise<string> {
  const name = await until("the demo's directory", () => [...Deno.readDirSync(directory)][0]?.name);
  const inside = `${directory}/${name}`;
  const status = (): Promise<string> => get(`${inside}/control.sock`, "/v1/status");
  await until("traffic", async () => JSON.parse(await status().catch(() => "null"))?.totals.received > 0);
  return inside;
}

/** The process whose arguments name this file. */
function processWith(file: string): number {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (Deno.readTextFileSync(`/proc/${name}/cmdline`).split("\0").includes(file)) return Number(name);
    } catch {
      // It has ended.
    }
  }
  throw new Error(`No process has the argument ${file}`);
}

Deno.test("demo: loses and misdirects nothing with all cores busy and an appliance without CPU at times", async () => {
  await using directory = await TempDir.create();
  await using _busy = new BusyCores();
  const ended = startDemo(directory.path, "--json");
  const appliance = processWith(`${await underTraffic(directory.path)}/steering.yaml`);
  for (let pause = 0; pause < PAUSES; pause++) {
    Deno.kill(appliance, "SIGSTOP");
    await sleep(PAUSE_MS);
    Deno.kill(appliance, "SIGCONT");
    await sleep(PAUSE_MS);
  }
  const { code, stdout, stderr } = await ended;
  assert.equal(code, 0, stderr + stdout);
  const summary = JSON.parse(stdout) as DemoSummary;
  const { sent, received, receivedByQueue, lost, misdirected, socketDrops, missing, generation } = summary;
  assert.deepEqual({ lost, misdirected, socketDrops, missing }, {
    lost: 0,
    misdirected: 0,
    socketDrops: 0,
    missing: [],
  });
  assert.equal(received, sent);
  assert.equal(receivedByQueue.reduce((sum, packets) => sum + packets), sent);
  assert.equal(generation, 2);
  for (const { sent, before, after } of summary.ports) {
    assert.ok(before.packets > 0 && after.packets > 0, stdout);
    assert.equal(before.packets + after.packets, sent);
  }
  assertNothingLeft(directory.path);
});

Deno.test("demo: says where packets are lost, makes no claim that is not true, and ends with 1", async () => {
  await using directory = await TempDir.create();
  const ended = startDemo(directory.path);
  const file = `${await underTraffic(directory.path)}/steering.yaml`;
  const text = await Deno.readTextFile(file);
  await Deno.writeTextFile(`${file}.test`, text.replace(/worker: \d, action: count/, "action: drop"));
  await Deno.rename(`${file}.test`, file);

  const { code, stdout, stderr } = await ended;
  assert.equal(code, 1, stdout);
  const places = stderr.trimEnd().split("\n").slice(1);
  const [, lost] = /^xdpsteer: (\d+) packets lost, \d+ misdirected: expected none$/m.exec(stderr) ?? [];
  assert.ok(Number(lost) > 0, stderr);
  assert.deepEqual(places, [`  ${lost}: rule "web", dropped by the XDP program: a rule says drop`]);
  assert.doesNotMatch(stdout, /lost nothing|reached the worker/);
  const lines = stdout.replace(directory.path, "/tmp").split("\n");
  for (const line of lines) assert.ok(line.length <= MAX_COLUMNS, `${line.length} columns: ${line}`);
  assertNothingLeft(directory.path);
});

Deno.test("demo: an interrupt ends it with 1, and nothing is left", async () => {
  await using directory = await TempDir.create();
  const child = spawnDemo(directory.path);
  const ended = child.output();
  await underTraffic(directory.path);
  child.kill("SIGINT");
  const { code, stderr } = await ended;
  assert.equal(code, 1);
  assert.match(new TextDecoder().decode(stderr), /^xdpsteer: Interrupted$/m);
  assertNothingLeft(directory.path);
});
