import assert from "node:assert/strict";
import { PLAIN_ACTIONS } from "../../src/steering/action.ts";
import { TestNetwork } from "../support/netns.ts";
import { fatesOf, receivedByWorker, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { SteadyTraffic } from "./support/background.ts";
import { finish, type Finished, productCommand, TempDir } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { sleep } from "./support/wait.ts";

const TRAFFIC = { ports: [8080, 9090], flows: 200, cpus: [0, 1] };
/** Packets between two looks at the counters. */
const PACKETS = 50_000;
/** Longer than the product waits for a quiet moment before it looks at the file. */
const LOOK_MS = 300;

/** A file with everything that a careless edit would lose. */
const commented = (socket: string): string =>
  configText({ rules: [] }, socket).replace(
    "steering:\n",
    `
# What this box steers.
steering:
  - name:   game        # the lobby
    ports:  [8080]      # and no other
    worker: 0
  # Chat moved here in spring.
  - { name: chat,  ports: [ 9090, "9100-9110" ],  worker: 1 }   # keep

`,
  );

interface Change {
  readonly generation: number;
  readonly changes: readonly string[];
  readonly elapsedMs: number;
  readonly saved: boolean;
}

function ports(network: TestNetwork, box: Appliance, ...words: string[]): Promise<Finished> {
  return finish(network, [...productCommand(), "ports", ...words, "--socket", box.socket]);
}

/** Runs a change that must succeed. @returns what it printed as JSON. */
async function change(network: TestNetwork, box: Appliance, ...words: string[]): Promise<Change> {
  const { code, stdout, stderr } = await ports(network, box, ...words, "--json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

Deno.test("ports set under load: no packet is lost; saved, and a reload changes nothing further", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, commented);
  const before = await Deno.readTextFile(box.configFile);
  await using traffic = await SteadyTraffic.start(network, box, TRAFFIC);
  await traffic.more(PACKETS);

  for (const worker of [1, 0, 1, "hash", 1, 0]) {
    const { code, body } = await box.request("POST", "/v1/ports", JSON.stringify({ ports: 8080, worker }));
    assert.equal(code, 200, body);
    assert.equal(typeof JSON.parse(body).elapsedMs, "number");
  }
  const first = await change(network, box, "set", "8080", "--worker", "1", "--save");
  assert.deepEqual(first.changes, ["~ game: worker 0 -> 1"]);
  const second = await change(network, box, "set", "9090", "--worker", "0", "--save");
  assert.deepEqual(second.changes, [
    "~ chat: ports 9090,9100-9110 -> 9100-9110",
    "+ port-9090: ports 9090, worker 0, action count",
  ]);
  assert.deepEqual([first.saved, second.saved], [true, true]);
  const earlier = await traffic.drained();
  await traffic.more(PACKETS);
  const report = await traffic.stop();
  const status = await settled(box);

  assert.equal(status.totals.received, report.sent, "received = sent");
  assert.deepEqual(fatesOf(status, "game"), { counted: report.sentPerPort["8080"] });
  const chat = fatesOf(status, "chat")["counted"]! + fatesOf(status, "port-9090")["counted"]!;
  assert.equal(chat, report.sentPerPort["9090"]);
  const grown = (rule: string): number[] => {
    const then = receivedByWorker(earlier, rule);
    return receivedByWorker(status, rule).map((packets, worker) => Math.sign(packets - then[worker]!));
  };
  assert.deepEqual([grown("game"), grown("chat"), grown("port-9090")], [[0, 1], [0, 0], [1, 0]]);

  // The file: two rules differ, everything else is there to the byte.
  const expected = before
    .replace("worker: 0\n  #", "worker: 1\n  #")
    .replace('[ 9090, "9100-9110" ]', '[ "9100-9110" ]')
    .replace("# keep\n", "# keep\n  - { name: port-9090, ports: 9090, worker: 0, action: count }\n");
  assert.equal(await Deno.readTextFile(box.configFile), expected);
  await sleep(LOOK_MS);
  const { code, body } = await box.request("POST", "/v1/reload");
  assert.equal(code, 200, body);
  assert.deepEqual(JSON.parse(body).changes, []);
  const { generation, reloads } = await box.status();
  assert.deepEqual({ generation, reloads }, { generation: 9, reloads: { applied: 8, unchanged: 1, refused: 0 } });
});

const RULES: TestConfig = {
  rules: [
    '{ name: game, ports: [7777, 7778, "27015-27030"], worker: 0, action: echo }',
    "{ name: scanners, ports: 19, action: drop }",
  ],
};

Deno.test("ports list shows every port in force, as a table and as JSON", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, RULES);
  const table = await ports(network, box, "list");
  assert.deepEqual(table.stdout.trimEnd().split("\n").map((line) => line.split(/ +/)), [
    ["PORTS", "RULE", "WORKER", "ACTION"],
    ["19", "scanners", "-", "drop"],
    ["7777-7778", "game", "0", "echo"],
    ["27015-27030", "game", "0", "echo"],
  ]);
  const { generation, ports: list } = JSON.parse((await ports(network, box, "list", "--json")).stdout);
  assert.equal(generation, 1);
  assert.deepEqual(list, [
    { first: 19, last: 19, rule: "scanners", addresses: "own", worker: "hash", action: "drop" },
    { first: 7777, last: 7778, rule: "game", addresses: "own", worker: 0, action: "echo" },
    { first: 27015, last: 27030, rule: "game", addresses: "own", worker: 0, action: "echo" },
  ]);
  assert.equal((await change(network, box, "unset", "1-65535")).generation, 2);
  assert.match((await ports(network, box, "list")).stdout, /^generation 2: no port is steered/);
});

Deno.test("ports set and unset without --save leave the file alone, and say so", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, RULES);
  const file = await Deno.readTextFile(box.configFile);
  const set = await ports(network, box, "set", "7778", "--worker", "hash");
  assert.equal(set.code, 0, set.stderr);
  assert.match(
    set.stdout,
    new RegExp(
      "^~ game: ports 7777-7778,27015-27030 -> 7777,27015-27030\n" +
        "\\+ port-7778: ports 7778, worker hash, action echo\n" +
        "generation 2 is in force after \\d+\\.\\d ms\nnot saved: the change lasts until the next reload \\(use --save to keep it\\)\n$",
    ),
  );
  const unset = await change(network, box, "unset", "27016-27029,19");
  assert.deepEqual(unset.changes, [
    "~ game: ports 7777,27015-27030 -> 7777,27015,27030",
    "- scanners: ports 19, worker hash, action drop",
  ]);
  const nobodys = await ports(network, box, "unset", "5000");
  assert.equal(nobodys.code, 0);
  assert.match(
    nobodys.stdout,
    /^port 5000 is not steered by any rule\nnothing to change: already in force as generation 3, by a request \S+ s ago\n$/,
  );
  const some = await ports(network, box, "unset", "7777,5000-5009,5011,5013,5015,5017,5019,7000");
  assert.match(
    some.stdout,
    /^ports 5000-5009,5011,5013,5015,5017 and 2 more are not steered by any rule\n~ game: .*\ngeneration 4 is in force/,
  );
  assert.equal(await Deno.readTextFile(box.configFile), file);
  // A save of one change is not to hide that the others are missing in the file.
  const { code, stderr } = await ports(network, box, "set", "5000", "--worker", "1", "--save");
  assert.equal(code, 1);
  assert.match(
    stderr,
    /differs from the active configuration in more than this change: the rules game, scanners, port-7778\n/,
  );
  assert.match(stderr, /hint: apply the file first \(xdpsteer reload\)/);
  assert.equal(await Deno.readTextFile(box.configFile), file);
  assert.equal((await box.status()).generation, 4);
});

Deno.test("--save keeps the file's mode and group, and saves also what is in force already", async () => {
  await using network = await TestNetwork.create();
  // The one file runs without CAP_CHOWN: root's files can have groups that root is in.
  await using box = await startAppliance(network, RULES, { as: ["setpriv", "--groups", "54321"] });
  await Deno.chmod(box.configFile, 0o640);
  await Deno.chown(box.configFile, 0, 54321);
  assert.equal((await change(network, box, "set", "53", "--worker", "1", "--rule", "dns")).saved, false);
  const { changes, saved, generation } = await change(
    network,
    box,
    ...["set", "53", "--worker", "1", "--rule", "dns", "--save"],
  );
  assert.deepEqual({ changes, saved, generation }, { changes: [], saved: true, generation: 2 });
  assert.match(await Deno.readTextFile(box.configFile), /- \{ name: dns, ports: 53, worker: 1, action: count \}\n/);
  const { mode, uid, gid } = await Deno.stat(box.configFile);
  assert.deepEqual([mode! & 0o7777, uid, gid], [0o640, 0, 54321]);
  const directory = box.configFile.slice(0, box.configFile.lastIndexOf("/"));
  const names = (await Array.fromAsync(Deno.readDir(directory))).map(({ name }) => name).sort();
  assert.deepEqual(names, ["control.sock", "control.sock.lock", "steering.yaml"], "no temporary file is left");
  await change(network, box, "unset", "53", "--save");
  assert.equal(await Deno.readTextFile(box.configFile), configText(RULES, box.socket));
});

/** A file that cannot be saved to, each with what must be said about it. */
const UNSAVABLE: Readonly<
  Record<string, { readonly spoil: (box: Appliance) => Promise<void>; readonly says: RegExp }>
> = {
  "a symbolic link": {
    spoil: async ({ configFile }) => {
      await Deno.rename(configFile, `${configFile}.there`);
      await Deno.symlink(`${configFile}.there`, configFile);
    },
    says: /is a symbolic link, as a Kubernetes ConfigMap makes them\n +hint: change the file where it comes from/,
  },
  "a file that was broken since": {
    spoil: async (box) => {
      await box.writeConfig(`${configText(RULES, box.socket)}nonsense: 1\n`);
      await box.untilStatus("the refusal", ({ reloads }) => reloads.refused === 1);
    },
    says: /it is not valid\n.*unknown key "nonsense"[\s\S]*hint: fix the file first/,
  },
  "a file with another change that cannot be applied": {
    spoil: async (box) => {
      await box.writeConfig(configText({ ...RULES, attach: "generic" }, box.socket));
      await box.untilStatus("the refusal", ({ reloads }) => reloads.refused === 1);
    },
    says: /differs from the active configuration in more than this change: interfaces\n/,
  },
  "a file of another owner, without CAP_CHOWN": {
    spoil: async ({ configFile }) => await Deno.chown(configFile, 12345, null),
    says: new RegExp(
      "the file belongs to user 12345, and xdpsteer runs as user 0; run gives up root's right to write to what is not " +
        "root's; chown 0 (/.*) \\1/steering.yaml gives both to it",
    ),
  },
  "a file that is gone": {
    spoil: async ({ configFile }) => await Deno.remove(configFile),
    says: /Cannot save to ".*": it does not exist\n +hint: /,
  },
};

for (const [what, { spoil, says }] of Object.entries(UNSAVABLE)) {
  Deno.test(`--save to ${what} is refused, and nothing changes`, async () => {
    await using network = await TestNetwork.create();
    await using box = await startAppliance(network, RULES);
    await spoil(box);
    await assertNotSaved(network, box, says);
  });
}

Deno.test("--save to a file system that may not be written is refused with what to do, and nothing changes", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const etc = `${directory.path}/etc`;
  await Deno.mkdir(etc);
  await Deno.writeTextFile(`${etc}/steering.yaml`, configText(RULES, `${directory.path}/control.sock`));
  // As ProtectSystem=strict: in the mount namespace of the process, the directory is read-only.
  const readOnly = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
  await using box = await startAppliance(network, RULES, {
    directory: directory.path,
    configFile: "etc/steering.yaml",
    as: ["unshare", "--mount", "--propagation", "slave", "sh", "-c", readOnly, etc],
  });
  await assertNotSaved(network, box, /Cannot save to .*[\s\S]*hint: .*ReadWritePaths=/);
});

async function assertNotSaved(network: TestNetwork, box: Appliance, says: RegExp): Promise<void> {
  const file = await Deno.readTextFile(box.configFile).catch(() => "");
  const { code, stdout, stderr } = await ports(network, box, "set", "5000", "--worker", "1", "--save");
  assert.deepEqual({ code, stdout }, { code: 1, stdout: "" }, stderr);
  assert.match(stderr, says);
  assert.equal(await Deno.readTextFile(box.configFile).catch(() => ""), file);
  assert.equal((await box.status()).generation, 1);
}

Deno.test("a change that cannot be is refused in the words of the configuration file", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, RULES);
  const refusals: readonly (readonly [code: number, says: RegExp, ...words: string[]])[] = [
    [1, /^xdpsteer: worker 9 does not exist: expected 0 to 1, or hash/, "set", "5", "--worker", "9"],
    [1, /^xdpsteer: port 0 is out of range/, "set", "0", "--worker", "1"],
    [1, /^xdpsteer: port "x" is not a port/, "unset", "x"],
    [1, /^xdpsteer: Rule "game" has other ports too/, "set", "7777", "--worker", "1", "--rule", "game"],
    [2, /No worker is named: expected --worker/, "set", "5"],
    [
      2,
      new RegExp(`'explode' is invalid. Allowed choices are ${PLAIN_ACTIONS.join(", ")}`),
      "set",
      "5",
      "-w",
      "1",
      "-a",
      "explode",
    ],
  ];
  for (const [code, says, ...words] of refusals) {
    const { stderr, ...finished } = await ports(network, box, ...words);
    assert.deepEqual(finished, { code, stdout: "" }, words.join(" "));
    assert.match(stderr, says);
  }
  assert.equal((await box.status()).generation, 1);
});
