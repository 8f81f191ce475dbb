import assert from "node:assert/strict";
import type { Finding } from "../../src/doctor/doctor.ts";
import { INTERFACES, type Side, type SpawnOptions, TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { assertNoStack, startInVain } from "./support/bad_start.ts";
import { compileBpf, OTHER_XDP } from "./support/bpf.ts";
import { finish, isFromSource, productCommand, TempDir, withDoctor } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { attachedTo } from "./support/link.ts";
import { asOrdinaryUser, ordinaryUserEnv } from "./support/ordinary_user.ts";
import { Terminal } from "./support/pty.ts";

const { steer } = INTERFACES;
const GOOD: TestConfig = { rules: ["{ name: game, ports: 8080, worker: 0 }"] };
/** Memory of which little is enough: some of these tests have a limit. */
const SMALL = "umem: { chunks: 512 }, rings: { rx: 256, tx: 256, fill: 512, completion: 256 }";

interface Examined {
  readonly code: number;
  readonly findings: readonly Finding[];
  /** The finding of one check on the machine or on the steered interface. */
  readonly found: (check: string) => Finding;
}

interface Patient {
  /** Words before the product's: another user, fewer capabilities. */
  readonly as?: readonly string[];
  readonly spawn?: SpawnOptions;
  /** The interface whose findings are looked up; default the veth. */
  readonly interface?: string;
}

/** Runs `xdpsteer doctor --json` and checks what holds of any answer. It must leave the interface as it was. */
async function doctor(network: TestNetwork, args: readonly string[], patient: Patient = {}): Promise<Examined> {
  const { as = [], spawn, interface: name = steer } = patient;
  const before = await attachedTo(network);
  const argv = [...as, ...productCommand(), "doctor", "--json", ...args];
  const { code, stdout, stderr } = await finish(network, argv, spawn);
  assert.deepEqual(await attachedTo(network), before, "what is attached to the interface");
  assert.equal(stderr, "");
  const { findings, ok }: { findings: Finding[]; ok: boolean } = JSON.parse(stdout);
  assert.equal(ok, findings.every(({ status }) => status !== "problem"));
  assert.equal(code, ok ? 0 : 1);
  const found = (check: string): Finding => {
    const fitting = findings.filter((finding) => finding.check === check && (finding.interface ?? name) === name);
    assert.equal(fitting.length, 1, `one finding of ${check} in ${stdout}`);
    return fitting[0]!;
  };
  return { code, findings, found };
}

/** Writes a configuration. @returns the arguments that name it. */
async function configFile(directory: TempDir, config: TestConfig, edit = (text: string) => text): Promise<string[]> {
  const file = `${directory.path}/steering.yaml`;
  await Deno.writeTextFile(file, edit(configText(config, `${directory.path}/control.sock`)));
  return ["--config", file];
}

const notOk = ({ findings }: Examined): string[] =>
  findings.filter(({ status }) => status !== "ok").map(({ check }) => check).sort();

/** Does what a finding says, in a namespace. */
async function follow(network: TestNetwork, { fix }: Finding, side: Side = "steer"): Promise<void> {
  assert.ok(fix !== undefined && fix.startsWith("ip link set dev "), fix);
  await network.exec(side, fix.replace(steer, INTERFACES[side]).split(" "));
}

Deno.test("doctor finds nothing wrong with a veth, and says so line by line", async () => {
  await using network = await TestNetwork.create();
  const examined = await doctor(network, ["--interface", steer]);
  assert.deepEqual(notOk(examined), []);
  assert.equal(examined.found("interface.native_xdp").text, "the driver has native XDP");
  assert.match(examined.found("interface.zero_copy").text, /queue 0; packets are copied: the driver has no zero-copy/);
  assert.equal(examined.found("interface.driver").text, "driver veth");
  assert.equal(examined.found("interface.queues").text, "2 rx queues");
  for (const check of ["kernel.version", "bpf.jit", "kernel.config", "process.memlock"]) examined.found(check);

  const { code, stdout, stderr } = await finish(network, [...productCommand(), "doctor", "--interface", steer]);
  assert.equal(code, 0, stderr);
  const lines = stdout.trimEnd().split("\n");
  assert.equal(lines.pop(), `0 problems, 0 warnings, ${examined.findings.length} ok`);
  assert.equal(lines.length, examined.findings.length);
  for (const line of lines) assert.match(line, /^ok {7}\S/);
});

Deno.test("doctor tries a driver only where the interface was named, and not with --no-probe", async () => {
  await using network = await TestNetwork.create();
  await network.exec("steer", ["ip", "link", "add", "idle0", "type", "bridge"]);
  for (const args of [[], ["--interface", steer, "--no-probe"]]) {
    const { code, found, findings } = await doctor(network, args);
    assert.equal(code, 0);
    assert.match(found("interface.probe").text, /were not tried: xdpsteer doctor --interface steer0 tries them/);
    assert.ok(!findings.some(({ check }) => check === "interface.native_xdp" || check === "interface.zero_copy"));
    // Neither loopback nor what is down.
    const about = new Set(findings.map((finding) => finding.interface).filter((name) => name !== undefined));
    assert.deepEqual([...about], [steer]);
  }
});

Deno.test("a device without native XDP: a warning, or a problem where it is demanded; the fix works", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const slow = { interface: "slow0" };
  await network.exec("steer", ["ip", "link", "add", "slow0", "up", "type", "ifb"]);
  await network.exec("steer", ["ethtool", "-K", "slow0", "gro", "off"]); // which generic mode would be warned of
  const named = await doctor(network, ["--interface", "slow0"], slow);
  assert.deepEqual(notOk(named), ["interface.native_xdp"]);
  const warning = named.found("interface.native_xdp");
  assert.equal(warning.status, "warning");
  assert.match(warning.text, /^no native XDP \(EOPNOTSUPP\)/);
  assert.equal(warning.fix, "attach: generic");

  const demanded = await doctor(network, await configFile(directory, { ...GOOD, ...slow, attach: "native" }), slow);
  assert.deepEqual(notOk(demanded), ["interface.native_xdp"]);
  const { status, fix } = demanded.found("interface.native_xdp");
  assert.deepEqual({ status, fix }, { status: "problem", fix: "attach: generic" });

  const fixed = await doctor(network, await configFile(directory, { ...GOOD, ...slow, attach: "generic" }), slow);
  assert.deepEqual(notOk(fixed), []);
  assert.match(fixed.found("interface.zero_copy").text, /packets are copied: generic mode/);
});

/** Ways to run a command without being root. */
const UNPRIVILEGED = {
  "an ordinary user": asOrdinaryUser(),
  "root without capabilities": ["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
} as const;

for (const [who, as] of Object.entries(UNPRIVILEGED)) {
  Deno.test(`doctor names the capabilities that are missing, and looks at what it may: ${who}`, async () => {
    await using network = await TestNetwork.create();
    await using cache = await TempDir.create();
    const env = await ordinaryUserEnv(cache.path);
    const limited = ["sh", "-c", 'ulimit -l 1024 && exec "$@"', "sh", ...as];
    const examined = await doctor(network, ["--interface", steer], { as: limited, spawn: { env } });
    assert.deepEqual(notOk(examined), ["process.capabilities", "process.memlock"]);
    const { found } = examined;
    assert.equal(
      found("process.capabilities").text,
      "this process lacks CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON",
    );
    assert.match(found("process.capabilities").fix!, /^sudo xdpsteer/);
    assert.match(found("process.memlock").text, /^only 1 MiB of memory may be locked .* 16 MiB of packet memory/);
    assert.match(found("process.memlock").fix!, /^ulimit -l unlimited/);
    assert.match(found("interface.probe").text, /not tried: this process lacks capabilities/);
    assert.match(found("interface.mtu").text, /^MTU 1500: /);
  });
}

const OTHERS = { native: "xdpdrv", generic: "xdpgeneric" } as const;

for (const [mode, keyword] of Object.entries(OTHERS)) {
  Deno.test(`another program on the interface: doctor and run name it, and the fix removes it: ${mode}`, async () => {
    await using network = await TestNetwork.create();
    await using directory = await TempDir.create();
    await using programs = await TempDir.create();
    const object = await compileBpf(programs.path, "other", OTHER_XDP);
    await network.exec("steer", ["ip", "link", "set", "dev", steer, keyword, "obj", object, "sec", "xdp"]);
    const { id } = await attachedTo(network);
    const sick = await doctor(network, ["--interface", steer]);
    assert.deepEqual(notOk(sick), ["interface.attached"]);
    const finding = sick.found("interface.attached");
    assert.equal(finding.status, "problem");
    const sentence = `the XDP program "other_program" sits on the interface already (id ${id}, ${mode} mode)`;
    assert.equal(finding.text, sentence);
    assert.equal(finding.fix, `ip link set dev ${steer} ${keyword} off`);
    assert.deepEqual(finding.explains, ["EBUSY", "EEXIST"]);
    assert.match(sick.found("interface.probe").text, /not tried: a program is attached/);

    const config = configText(GOOD, `${directory.path}/control.sock`);
    const { code, stderr } = await startInVain(network, directory.path, { config });
    assert.equal(code, 1);
    const [hint, problem, fix, ...more] = stderr.trimEnd().split("\n").slice(1);
    assert.match(hint!, /^ {2}hint: /);
    const known = isFromSource(); // the one file's run gives up the right to know, and names who does
    const why = known ? sentence : `an XDP program is attached (id ${id}, ${mode} mode): doctor knows whose`;
    assert.equal(problem, `  problem  ${steer}: ${why}`);
    assert.equal(fix?.trim(), `fix: ${known ? finding.fix : `xdpsteer doctor --interface ${steer}`}`);
    assert.deepEqual(more, []);

    await follow(network, finding);
    assert.deepEqual(notOk(await doctor(network, ["--interface", steer])), []);
  });
}

Deno.test("a running xdpsteer is no problem to doctor, but one to a second run, which is told who it is", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  await using box = await startAppliance(network, GOOD);
  const { id } = await attachedTo(network);
  const healthy = await doctor(network, ["--config", box.configFile]);
  assert.deepEqual(notOk(healthy), []);
  const held = new RegExp(
    `^a running xdpsteer steers this interface \\(id ${id}, native mode, held by process ${box.pid} `,
  );
  assert.match(healthy.found("interface.attached").text, held);

  const config = configText(GOOD, `${directory.path}/control.sock`);
  const { code, stderr } = await startInVain(network, directory.path, { config });
  assert.equal(code, 1);
  const said = await withDoctor(network, stderr);
  const problems = [...said.matchAll(/^ {0,2}(?:problem|ok) +steer0: (.*)$/gm)].map(([, text]) => text!);
  assert.ok(problems.some((text) => held.test(text)), said);
  const fix = isFromSource() ? /^ +fix: xdpsteer (.*)$/m.exec(stderr)?.[1] : `detach --interface ${steer}`;
  assert.ok(fix, stderr);
  const fixed = await finish(network, [...productCommand(), ...fix.split(" ")]);
  assert.equal(fixed.code, 1, "what is advised ends nothing");
  assert.match(
    fixed.stderr,
    new RegExp(`is held by .* \\(pid ${box.pid}\\) by link \\d+\n +hint: .*--stop .*--force `),
  );
  assert.equal((await box.status()).generation, 1);
  assert.equal((await attachedTo(network)).id, id);
});

Deno.test("an MTU too large for the chunk: the fix is the largest MTU that fits, or the larger chunk", async () => {
  await using network = await TestNetwork.create({ mtu: 9000 });
  await using directory = await TempDir.create();
  const args = await configFile(directory, GOOD);
  const sick = await doctor(network, args);
  const finding = sick.found("interface.mtu");
  assert.equal(finding.status, "problem");
  assert.match(finding.text, /^MTU 9000: frames of up to 9014 bytes, room for 1792 in a chunk of 2048/);
  // 2048 less 256 of the kernel, 14 of Ethernet and 8 of VLAN tags
  assert.equal(finding.fix, `ip link set dev ${steer} mtu 1770`);
  // A veth's own limit: both ends count, and the program is not for frames in several pieces.
  const native = sick.found("interface.native_xdp");
  assert.match(native.text, /^no native XDP \(ERANGE\)/);
  assert.match(native.fix!, /^ip link set dev PEER mtu 1500/);

  const { code, stderr } = await startInVain(network, directory.path, {
    config: await Deno.readTextFile(`${directory.path}/steering.yaml`),
  });
  assert.equal(code, 1);
  assert.ok(stderr.includes(`\n  problem  ${steer}: ${finding.text}\n`), stderr);
  assert.ok(stderr.includes(`fix: ${finding.fix}\n`), stderr);

  await follow(network, finding);
  await follow(network, finding, "client");
  assert.deepEqual(notOk(await doctor(network, args)), []);

  for (const side of ["steer", "client"] as const) {
    await network.exec(side, ["ip", "link", "set", "dev", INTERFACES[side], "mtu", "3000"]);
  }
  const larger = await doctor(network, args);
  assert.deepEqual(notOk(larger), ["interface.mtu"]);
  const { fix } = larger.found("interface.mtu");
  assert.equal(fix, "umem: { chunk_size: 4096 }");
  const fixed = await configFile(directory, GOOD, (text) => text.replace(/umem: \{[^}]*\}/, fix));
  assert.deepEqual(notOk(await doctor(network, fixed)), []);
});

Deno.test("what else a configuration asks for that is not there: queues, CPUs, an interface that is up", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const queues = await doctor(
    network,
    await configFile(directory, GOOD, (text) => text.replace("attach: native", "attach: native, queues: [0, 7]")),
  );
  const { status, text, fix } = queues.found("interface.queues");
  assert.deepEqual({ status, text, fix }, {
    status: "problem",
    text: "there is no rx queue 7: 2 rx queues",
    fix: "queues: all",
  });

  const cpus = await doctor(
    network,
    await configFile(directory, GOOD, (all) => all.replace("wait: adaptive", "cpus: [0, 1023]")),
  );
  assert.match(cpus.found("machine.cpus").text, /^CPU 1023 of workers\.cpus is not there/);
  assert.equal(cpus.found("machine.cpus").status, "problem");

  const crowded = await doctor(network, await configFile(directory, { ...GOOD, workers: 64 }));
  assert.match(crowded.found("machine.cpus").text, /^64 workers share \d+ CPUs/);
  assert.match(crowded.found("machine.cpus").fix!, /^workers: \{ count: \d+ \}$/);

  await network.exec("steer", ["ip", "link", "set", steer, "down"]);
  const down = await doctor(network, ["--interface", steer]);
  assert.deepEqual(notOk(down), ["interface.up"]);
  assert.equal(down.found("interface.up").fix, `ip link set dev ${steer} up`);
  assert.match(down.found("interface.probe").text, /not tried: the interface is down/);

  const absent = await doctor(network, ["--interface", "nope0"], { interface: "nope0" });
  assert.deepEqual(notOk(absent), ["interface.exists"]);
  assert.match(absent.found("interface.exists").text, /there are lo, steer0$/);
});

Deno.test("run that may not lock its packet memory says how much it may, and how much it needs", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  // Who may lift the limit does so, and needs no capability to lock.
  const as = ["setpriv", "--bounding-set=-ipc_lock,-sys_resource", "--inh-caps=-ipc_lock,-sys_resource"];
  const limited = ["sh", "-c", 'ulimit -l 1024 && exec "$@"', "sh", ...as];
  const config = configText({ ...GOOD, memory: SMALL }, `${directory.path}/control.sock`);
  const { code, stderr } = await startInVain(network, directory.path, { as: limited, config });
  assert.equal(code, 1);
  assert.match(stderr, /setsockopt\(XDP_UMEM_REG\) failed with/);
  const sentence = "only 1 MiB of memory may be locked without CAP_IPC_LOCK, 2 MiB of packet memory are needed";
  assert.ok(stderr.includes(`\n  problem  ${sentence}\n`), stderr);
});

Deno.test("a configuration that cannot be used ends doctor with 3 and its place", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const args = await configFile(directory, GOOD, (text) => text.replace("ports: 8080", "ports: 70000"));
  const { code, stdout, stderr } = await finish(network, [...productCommand(), "doctor", ...args]);
  assert.equal(code, 3);
  assert.equal(stdout, "");
  assert.match(stderr, /steering\.yaml:\d+:\d+: port 70000 is out of range/);
  assertNoStack(stderr);
});

Deno.test("doctor has colours on a terminal only, and none with NO_COLOR", async () => {
  await using network = await TestNetwork.create();
  await network.exec("steer", ["ip", "link", "set", steer, "down"]);
  const argv = [...productCommand(), "doctor", "--interface", steer];
  for (const env of [{}, { NO_COLOR: "1" }]) {
    await using terminal = new Terminal(network, argv, { columns: 200, rows: 40, env });
    const { lines, styled, code } = await terminal.ended();
    assert.equal(code, 1);
    const problem = lines.findIndex((line) => line.startsWith("problem"));
    assert.equal(lines[problem], `problem  ${steer}: the interface is down`);
    assert.equal(lines[problem + 1], `         fix: ip link set dev ${steer} up`);
    const words = styled.map(({ row, text, colour }) => ({ row, text, colour }));
    if ("NO_COLOR" in env) assert.deepEqual(words, []);
    else {assert.deepEqual(words.filter(({ row }) => row === problem), [{
        row: problem,
        text: "problem",
        colour: "red",
      }]);}
  }
  const { stdout } = await finish(network, argv, { env: { NO_COLOR: "" } });
  assert.ok(!stdout.includes("\x1b"), stdout);
});
