import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { type BadConfig, badConfigs } from "./support/bad_configs.ts";
import { assertNoStack, type BadStart, startInVain } from "./support/bad_start.ts";
import { compileBpf, OTHER_XDP } from "./support/bpf.ts";
import { finish, isFromSource, makeFifo, productCommand, ROOT, TempDir, withDoctor } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { attachedTo } from "./support/link.ts";
import { asOrdinaryUser, ordinaryUserEnv } from "./support/ordinary_user.ts";
import { KernelServer } from "./support/python.ts";

const GOOD: TestConfig = { rules: ["{ name: game, ports: 8080, worker: 0 }"] };
const good = (directory: string): string => configText(GOOD, `${directory}/control.sock`);

/** The other broken files are offered to a running appliance, in reload_test.ts. */
const AT_START = [
  ...["an unknown section", "overlapping ports", "port 70000", "a tab", "an empty file", "a large file"],
  ...["a binary file", "a worker that does not exist"],
];

/** Every file that cannot be used, each with what must be said about it. */
function unusable(directory: string): (Omit<BadConfig, "content"> & Partial<BadConfig>)[] {
  const broken = badConfigs(good(directory)).filter(({ what }) => AT_START.includes(what));
  assert.equal(broken.length, AT_START.length);
  return [...broken, {
    what: "a file that is not there",
    says: /steering\.yaml: does not exist: expected a YAML file/,
  }];
}

Deno.test("run refuses an unusable configuration with 3, its place and what was expected", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  for (const { what, content, says } of unusable(directory.path)) {
    await Deno.remove(`${directory.path}/steering.yaml`).catch(() => {});
    const start: BadStart = content === undefined ? {} : { config: content };
    const { code, stderr } = await startInVain(network, directory.path, start);
    assert.equal(code, 3, `${what}: ${stderr}`);
    assert.match(stderr, says, `${what}: ${stderr}`);
    assert.ok(stderr.startsWith(`xdpsteer: ${directory.path}/steering.yaml:`), stderr);
    // A place comes with its line and a caret under it.
    if (/:\d+:\d+: /.test(stderr)) assert.match(stderr, /\n *\^\n/, what);
  }
});

Deno.test("check says the same of the same files, and accepts a good one", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = `${directory.path}/steering.yaml`;
  const check = [...productCommand(), "check", "--config", file];
  for (const { what, content, says } of unusable(directory.path)) {
    await Deno.remove(file).catch(() => {});
    if (typeof content === "string") await Deno.writeTextFile(file, content);
    else if (content !== undefined) await Deno.writeFile(file, content);
    const { code, stdout, stderr } = await finish(network, check);
    assert.equal(code, 3, `${what}: ${stderr}`);
    assert.match(stderr, says, `${what}: ${stderr}`);
    assert.equal(stdout, "");
    assertNoStack(stderr);
  }
  await Deno.writeTextFile(file, good(directory.path));
  const { code, stdout, stderr } = await finish(network, check);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /is valid: 1 interface, 2 workers, 1 rule$/m);
  assert.match(stdout, /^game +8080 +0 +count$/m);
  assert.equal(stderr, "");
});

Deno.test("a FIFO in the configuration's place is refused, and nobody waits for its writer", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = `${directory.path}/steering.yaml`;
  await makeFifo(file);
  for (const verb of ["run", "check", "doctor"]) {
    const { code, stderr } = await finish(network, [...productCommand(), verb, "--config", file]);
    assert.deepEqual([code, stderr], [3, `xdpsteer: ${file}: is a FIFO: expected a YAML file\n`], verb);
  }
});

Deno.test("a control socket that names the configuration is refused, and the file is left alone", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = `${directory.path}/steering.yaml`;
  const config = configText(GOOD, file);
  const { code, stderr } = await startInVain(network, directory.path, { config });
  assert.equal(code, 1, stderr);
  assert.ok(stderr.includes(`socket "${file}": a regular file is there: expected a socket or nothing\n`), stderr);
  assert.equal(await Deno.readTextFile(file), config);
});

const edited = (from: string, to: string) => (directory: string): string => good(directory).replace(from, to);

/** Good files that do not fit the machine. */
const MISFITS: Readonly<Record<string, { readonly config: (directory: string) => string; readonly says: RegExp }>> = {
  "an interface that is not there": {
    config: edited("name: steer0", "name: nope0"),
    says: /There is no interface "nope0" in this network namespace\n +hint: the interfaces are: lo, steer0/,
  },
  "an rx queue that is not there": {
    config: edited("attach: native", "attach: native, queues: [0, 7]"),
    says: /Interface "steer0" has no rx queue 7: it has 2 \(0 to 1\)/,
  },
  "native XDP where the driver has none": {
    config: edited("name: steer0", "name: lo"),
    says: /Cannot attach to interface "lo" in native mode: bpf_link_create failed with E/,
  },
  "zero-copy where the driver has none": {
    config: edited("attach: native", "attach: native, zero_copy: require"),
    says: /interface "steer0" queue 0: bind failed with EOPNOTSUPP.*\n +hint: .*zero_copy: auto or off/,
  },
  "a control socket in a place that cannot be": {
    config: edited("socket: ", "socket: /proc/xdpsteer"),
    says: /Cannot open the control socket "\/proc\/xdpsteer/,
  },
  "an HTTP address that is taken": {
    config: edited('http: "off"', 'http: "127.0.0.1:9469"'),
    says: /Cannot listen on 127\.0\.0\.1:9469: .*in use/,
  },
};

Deno.test("run says with 1 what of a good configuration does not fit the machine", async () => {
  await using network = await TestNetwork.create();
  await using _server = await KernelServer.start(network, "tcp", 9469);
  for (const [what, { config, says }] of Object.entries(MISFITS)) {
    await using directory = await TempDir.create();
    const { code, stderr } = await startInVain(network, directory.path, { config: config(directory.path) });
    assert.equal(code, 1, `${what}: ${stderr}`);
    assert.match(stderr, says, `${what}: ${stderr}`);
  }
});

const OTHERS = { native: "xdpdrv", generic: "xdpgeneric" } as const;

for (const [mode, keyword] of Object.entries(OTHERS)) {
  Deno.test(`another program on the interface is named and left alone, and the hint removes it: ${mode}`, async () => {
    await using network = await TestNetwork.create();
    await using directory = await TempDir.create();
    await using programs = await TempDir.create();
    const object = await compileBpf(programs.path, "other", OTHER_XDP);
    await network.exec("steer", ["ip", "link", "set", "dev", INTERFACES.steer, keyword, "obj", object, "sec", "xdp"]);
    const { id } = await attachedTo(network);
    const { code, stderr } = await startInVain(network, directory.path, { config: good(directory.path) });
    assert.equal(code, 1, stderr);
    const name = isFromSource() ? `"other_program" ` : ""; // the one file's run gives up the right to know
    const sentence = `Cannot attach to interface "steer0": the XDP program ${name}(id ${id}, ${mode} mode)`;
    assert.ok(stderr.includes(sentence), stderr);
    const advice = await withDoctor(network, stderr);
    assert.match(advice, /the XDP program "other_program" sits on the interface already/);
    await runHint(network, advice);
    await using _box = await startAppliance(network, GOOD);
  });
}

Deno.test("of a program that a running process holds by a link, the hint tells nothing the kernel refuses", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  await using _box = await startAppliance(network, GOOD);
  const { code, stderr } = await startInVain(network, directory.path, { config: good(directory.path) });
  assert.equal(code, 1, stderr);
  if (/ip link set/.test(stderr)) await runHint(network, stderr);
});

async function runHint(network: TestNetwork, stderr: string): Promise<void> {
  const [command] = /ip link set dev \S+ \w+ off/.exec(stderr) ?? [];
  assert.ok(command, stderr);
  await network.exec("steer", command.split(" "));
}

/** Ways to run a command without being root. */
const UNPRIVILEGED = {
  "an ordinary user": asOrdinaryUser(),
  "root without capabilities": ["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
} as const;

for (const [who, as] of Object.entries(UNPRIVILEGED)) {
  Deno.test(`run says which capabilities are missing: ${who}`, async () => {
    await using network = await TestNetwork.create();
    await using directory = await TempDir.create();
    await using cache = await TempDir.create();
    await Deno.chmod(directory.path, 0o755);
    const spawn = { env: await ordinaryUserEnv(cache.path) };
    const { code, stderr } = await startInVain(network, directory.path, { as, config: good(directory.path), spawn });
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /Not permitted: this process lacks CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON\n +hint: run it as root/,
    );
  });
}

const OBJECTS: Readonly<
  Record<string, { readonly make: (directory: string) => Promise<string>; readonly says: RegExp }>
> = {
  "no file": {
    make: (directory) => Promise.resolve(`${directory}/given.none.o`),
    says: /Cannot read the BPF object ".*none\.o"/,
  },
  "a FIFO": {
    make: async (directory) => {
      await makeFifo(`${directory}/given.fifo.o`);
      return `${directory}/given.fifo.o`;
    },
    says: /Cannot read the BPF object ".*fifo\.o": it is a FIFO\n +hint: .*a regular file/,
  },
  "noise": {
    make: async (directory) => {
      await Deno.writeFile(`${directory}/given.noise.o`, crypto.getRandomValues(new Uint8Array(30_000)));
      return `${directory}/given.noise.o`;
    },
    says: /Cannot read the BPF object/,
  },
  "somebody else's object": {
    make: (directory) => compileBpf(directory, "given.other", OTHER_XDP),
    says: /The BPF object has no map/,
  },
};

Deno.test("--bpf-object: what is not our object is refused, and ours works", async () => {
  await using network = await TestNetwork.create();
  for (const [what, { make, says }] of Object.entries(OBJECTS)) {
    await using directory = await TempDir.create();
    const args = ["--bpf-object", await make(directory.path)];
    const { code, stderr } = await startInVain(network, directory.path, { config: good(directory.path), args });
    assert.equal(code, 1, `${what}: ${stderr}`);
    assert.match(stderr, says, `${what}: ${stderr}`);
  }
  await using directory = await TempDir.create();
  const object = `${directory.path}/ours.o`;
  await Deno.copyFile(`${ROOT}build/steer.bpf.o`, object);
  await using box = await startAppliance(network, GOOD, { args: ["--bpf-object", object] });
  await runTraffic(network, "udp", { ports: [8080], packetsPerFlow: 100 });
  assert.deepEqual(fatesOf(await settled(box), "game"), { counted: 100 });
});

const MISUSES: readonly (readonly string[])[] = [[], ["fly"], ["run", "--fast"], ["run", "--config"], [
  "check",
  "a",
  "b",
]];

Deno.test("wrong usage ends with 2 and says where help is", async () => {
  await using network = await TestNetwork.create();
  for (const args of MISUSES) {
    const { code, stdout, stderr } = await finish(network, [...productCommand(), ...args]);
    assert.equal(code, 2, `"${args.join(" ")}": ${stderr}`);
    assert.equal(stdout, "");
    assert.match(stderr, /--help|Usage:/);
    assertNoStack(stderr);
  }
});
