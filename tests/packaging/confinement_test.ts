/** What the launcher leaves of the privileges that the product is started with. Needs root and dist/xdpsteer. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { buildProgram } from "../../src/cli/commands.ts";
import { type Confinement, NEEDED_CAPABILITIES } from "../../src/host/privileges.ts";
import { cProgram } from "../support/c_programs.ts";
import { TestNetwork } from "../support/netns.ts";
import { setting } from "../support/systemd_unit.ts";
import { binary, ROOT, runWith, temporaryFolder } from "./support.ts";

const FILE = binary();
const PROBE = join(ROOT, "tests/packaging/confined_probe.py");
const ORDINARY_USER = 65534;
const PATIENCE_MS = 60_000;
/** Commands that need nothing. */
const HARMLESS = ["completions", "man", "version"];

const table = await Deno.readTextFile(join(ROOT, "packaging/launcher/verbs.def"));

/** The capabilities of a command in the launcher's table. */
function kept(verb: string): string[] {
  const row = new RegExp(`^VERB\\("${verb}", ([^,]*),`, "m").exec(table)?.[1] ?? "";
  const spelt = row.replace(/\b(STEER|LOOK)\b/g, (name) => new RegExp(`^#define ${name} (.*)`, "m").exec(table)![1]!);
  return [...spelt.matchAll(/CAP\((\w+)\)/g)].map(([, name]) => name!).sort();
}

/** Where packet memory cannot be locked without limit, CAP_IPC_LOCK stands in for that. */
async function expected(): Promise<string[]> {
  const { stdout } = await runWith({}, "sh", "-c", "ulimit -l unlimited 2>/dev/null; ulimit -l");
  return [...NEEDED_CAPABILITIES, ...(stdout.trim() === "unlimited" ? [] : ["IPC_LOCK"])].sort();
}

Deno.test("run keeps what the unit has, every command that is has a row, and no other", () => {
  assert.deepEqual(kept("run"), NEEDED_CAPABILITIES.toSorted());
  assert.deepEqual(setting("CapabilityBoundingSet").split(" ").sort(), kept("run").map((name) => `CAP_${name}`));
  const rows = [...table.matchAll(/^VERB\("(\w+)"/gm)].map(([, name]) => name!);
  const commands = buildProgram(new URL("file:///main.ts")).commands.map((command) => command.name());
  assert.deepEqual([...rows, ...HARMLESS].sort(), commands.sort());
});

/** The Debian user that everything has, with a cache it can write. */
const asUser = (...words: string[]): string[] => [
  ...["setpriv", `--reuid=${ORDINARY_USER}`, `--regid=${ORDINARY_USER}`, "--clear-groups"],
  ...words,
];

Deno.test("however it is started, it has the same few capabilities and gains none", async (test) => {
  await using folder = await temporaryFolder();
  await Deno.chmod(folder.path, 0o755);
  const lent = join(folder.path, "xdpsteer");
  await Deno.copyFile(FILE, lent);
  const capabilities = await expected();
  const set = capabilities.map((name) => name.toLowerCase());
  const { code } = await runWith({}, "setcap", `${set.map((name) => `cap_${name}`).join()}=ep`, lent);
  assert.equal(code, 0, "setcap");
  const some = `-all,${set.map((name) => `+${name}`).join()}`;
  const ways: Readonly<Record<string, { readonly words: readonly string[]; readonly user: number }>> = {
    "root by hand": { words: [FILE], user: 0 },
    "root with few capabilities, as in a container": {
      words: ["setpriv", `--bounding-set=${some}`, "--inh-caps=-all", FILE],
      user: 0,
    },
    "a user with ambient capabilities, as the unit has": {
      words: asUser(`--inh-caps=${some}`, `--ambient-caps=${some}`, `--bounding-set=${some}`, "--no-new-privs", FILE),
      user: ORDINARY_USER,
    },
    "a file with capabilities of its own (setcap)": { words: asUser(lent), user: ORDINARY_USER },
  };
  for (const [way, { words, user }] of Object.entries(ways)) {
    await test.step(way, async () => {
      const env = { XDPSTEER_CACHE_DIR: join(folder.path, `${user}`) };
      await Deno.mkdir(env.XDPSTEER_CACHE_DIR, { mode: 0o700 }).catch(() => {});
      await Deno.chown(env.XDPSTEER_CACHE_DIR, user, user);
      const { stdout, stderr } = await runWith(env, words[0]!, ...words.slice(1), "version", "--security", "--json");
      assert.ok(stdout.startsWith("{"), stderr);
      const { bounding, packaging: _, ...state } = JSON.parse(stdout) as Confinement & { packaging: string };
      assert.deepEqual({ ...state, capabilities: state.capabilities.toSorted() }, {
        ...{ user, capabilities, noNewPrivileges: true, seccompFilters: 1, landlock: true, coreDumps: false },
      });
      // Who has no CAP_SETPCAP cannot narrow it, and no_new_privs makes it mean nothing.
      if (user === 0) assert.deepEqual(bounding.toSorted(), capabilities);
    });
  }
});

Deno.test("capabilities on the file that have no effect: it says why", async () => {
  await using folder = await temporaryFolder();
  await Deno.chmod(folder.path, 0o755);
  const lend =
    `cp ${FILE} $0/xdpsteer && setcap cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon=ep $0/xdpsteer || exit 99`;
  const user = asUser("sh", "-c", "XDPSTEER_CACHE_DIR=$0/cache exec $0/xdpsteer run --config $0/none").join(" ");
  const quoted = user.replace(/sh -c (.*)$/, "sh -c '$1' $0");
  const before: Readonly<Record<string, readonly [string, RegExp]>> = {
    "no_new_privs": [`exec setpriv --no-new-privs ${quoted}`, /have no effect: whoever started it may gain none/],
    "nosuid": [`mount -o remount,nosuid $0 && exec ${quoted}`, /have no effect: its file system is mounted nosuid/],
    "as it should be": [`exec ${quoted}`, /none/],
  };
  for (const [way, [command, says]] of Object.entries(before)) {
    const mounted = `mount -t tmpfs -o mode=755 tmpfs $0 && install -d -m 700 -o ${ORDINARY_USER} $0/cache && ${lend}`;
    const argv = ["--mount", "--propagation", "private", "sh", "-c", `${mounted}\n${command}`, folder.path];
    const { code, stderr } = await runWith({}, "unshare", ...argv);
    assert.notEqual(code, 99, stderr);
    assert.match(stderr, says, way);
    assert.equal(stderr.includes("have no effect"), way !== "as it should be", stderr);
  }
});

interface Started {
  readonly status: readonly string[];
  readonly descriptors: readonly string[];
  readonly environment: readonly string[];
}

/** Starts `run`, and reads what the kernel says of each of its threads once it steers. */
async function steering(words: readonly string[], args: readonly string[], user = 0): Promise<Started> {
  await using network = await TestNetwork.create();
  await using folder = await temporaryFolder();
  await Deno.chmod(folder.path, 0o755);
  await Deno.chown(folder.path, user, user);
  const config = join(folder.path, "steering.yaml");
  await Deno.writeTextFile(
    config,
    `version: 1\ninterfaces: [{ name: ${network.interfaces.steer}, umem: { chunks: 512 } }]\n` +
      `control: { socket: ${folder.path}/control.sock, http: "off" }\nsteering: []\n`,
  );
  await Deno.mkdir(`${folder.path}/cache`, { mode: 0o700 });
  await Deno.chown(`${folder.path}/cache`, user, user);
  const env = { XDPSTEER_CACHE_DIR: `${folder.path}/cache`, NODE_CHANNEL_FD: "7", LD_DEBUG: "all", DENO_DIR: "/none" };
  const child = network.spawn("steer", [...words, FILE, "run", "--config", config, ...args], { env });
  const log = new Response(child.stderr).text();
  const reading = child.stdout.cancel();
  let ended = false;
  child.status.then(() => ended = true);
  try {
    const deadline = performance.now() + PATIENCE_MS;
    while (!(await Deno.lstat(`${folder.path}/control.sock`).then(() => true, () => false))) {
      if (ended || performance.now() > deadline) {
        if (!ended) child.kill("SIGKILL");
        assert.fail(`it does not start:\n${await log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const about = `/proc/${child.pid}`;
    const facts = /^(Uid|Gid|Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp):\s*(.*)$/gm;
    const status = new Set<string>();
    for (const { name } of Deno.readDirSync(`${about}/task`)) {
      const text = await Deno.readTextFile(`${about}/task/${name}/status`);
      status.add([...text.matchAll(facts)].map(([, key, , value]) => `${key} ${value}`).join(", "));
    }
    const descriptors = [...Deno.readDirSync(`${about}/fd`)].map(({ name }) => {
      return `${name} ${Deno.readLinkSync(`${about}/fd/${name}`)}`;
    });
    const environment = (await Deno.readTextFile(`${about}/environ`)).split("\0");
    return { status: [...status], descriptors, environment };
  } finally {
    if (!ended) child.kill("SIGTERM");
    assert.equal((await child.status).code, 0, await log);
    await reading;
  }
}

function maskOf(status: string, set: string): string {
  return new RegExp(`${set} (\\w+)`).exec(status)![1]!;
}

Deno.test("every thread of run has the same little, however it is started; what it inherits is closed", async (test) => {
  const bits = { NET_ADMIN: 12n, NET_RAW: 13n, IPC_LOCK: 14n, PERFMON: 38n, BPF: 39n } as Record<string, bigint>;
  const capabilities = await expected();
  const wanted = capabilities.reduce((sum, name) => sum | (1n << bits[name]!), 0n).toString(16).padStart(16, "0");
  const some = `-all,${capabilities.map((name) => `+${name.toLowerCase()}`).join()}`;
  const ways: Readonly<Record<string, { before?: readonly string[]; args?: readonly string[]; user: number }>> = {
    "root by hand": { user: 0 },
    "--user nobody": { args: ["--user", "nobody"], user: ORDINARY_USER },
    "root with few capabilities, as in a container": {
      before: ["setpriv", `--bounding-set=${some}`, "--inh-caps=-all"],
      user: 0,
    },
  };
  for (const [way, { before = [], args = [], user }] of Object.entries(ways)) {
    await test.step(way, async () => {
      // A descriptor that somebody left open, and one that a service manager hands over and xdpsteer never kept there.
      const words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", OWN_PLACES, "sh", ...before];
      const { status, descriptors, environment } = await steering(words, args, user);
      assert.equal(status.length, 1, status.join("\n"));
      for (const set of ["CapPrm", "CapEff", "CapBnd"]) assert.equal(maskOf(status[0]!, set), wanted, set);
      assert.match(status[0]!, new RegExp(`Uid ${user}\\t${user}\\t.*NoNewPrivs 1, Seccomp 2$`));
      assert.ok(!descriptors.some((text) => /\/etc\/(passwd|hostname)$/.test(text)), descriptors.join());
      assert.ok(!environment.some((text) => /^(NODE_|LD_DEBUG)|=\/none$/.test(text)), environment.join());
    });
  }
});

const OWN_PLACES = `for place in /run /var/lib /var/cache; do mount -t tmpfs -o mode=755 tmpfs $place || exit 1; done
exec 3</etc/hostname 7</etc/passwd
LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`;

/** @returns what each attempt came to: "done", or an errno. */
async function probed(words: readonly string[], folder: string): Promise<Record<string, string>> {
  const present = ["/proc/sys/kernel/core_pattern", "/proc/self/comm", "/etc/passwd", "/dev/null"];
  const absent = ["/etc", "/usr", "/boot", "/root", "/dev", "/tmp", "/var/tmp", "/run", "/dev/shm", folder]
    .map((path) => `${path}/xdpsteer-probe-${Deno.pid}`);
  const { code, stdout, stderr } = await runWith(
    {},
    words[0]!,
    ...words.slice(1),
    PROBE,
    present.join(),
    absent.join(),
  );
  assert.equal(code, 0, stderr);
  const own = (text: string): string => text.replace(folder, "FOLDER").replace(/\/xdpsteer-probe-\d+$/, "/");
  return Object.fromEntries(Object.entries(JSON.parse(stdout) as Record<string, string>).map(([a, b]) => [own(a), b]));
}

const WRITABLE = ["/dev/null", "/tmp/", "/var/tmp/", "/run/", "/dev/shm/", "FOLDER/"].map((path) => `write ${path}`);
const NO_SUCH_CALL = /^(clone3|io_uring_setup|userfaultfd|x32)$/;
const BY_NAMESPACES = /^(mount|umount2|unshare|setns|clone)/;

Deno.test("what steering does not need is refused, and files are written where captures can be", async () => {
  await using folder = await temporaryFolder();
  const confined = await cProgram("confined");
  const start = (verb: string): string[] => [confined, verb, folder.path, `${folder.path}/none`, "/usr/bin/python3"];

  const run = await probed(start("run"), folder.path);
  for (const [what, outcome] of Object.entries(run)) {
    const refusal = what.startsWith("write") ? "EACCES" : NO_SUCH_CALL.test(what) ? "ENOSYS" : "EPERM";
    assert.equal(outcome, WRITABLE.includes(what) ? "done" : refusal, what);
  }
  assert.ok(Object.keys(run).length > 30);

  const status = await probed(start("status"), folder.path); // writes to its cache and to terminals only
  const written = Object.entries(status).filter(([what, outcome]) => what.startsWith("write") && outcome === "done");
  assert.deepEqual(written.map(([what]) => what), ["write /dev/null", "write /dev/shm/", "write FOLDER/"]);

  const demo = await probed(start("demo"), folder.path);
  for (const [what, outcome] of Object.entries(demo)) {
    if (BY_NAMESPACES.test(what)) assert.notEqual(outcome, "EPERM", what);
    else if (!what.startsWith("write")) assert.equal(outcome, run[what], what);
  }

  const free = await probed(["/usr/bin/python3"], folder.path);
  const same = Object.keys(run).filter((what) => run[what] === free[what]);
  assert.deepEqual(
    same,
    [...WRITABLE, "x32"].filter((what) => same.includes(what)).sort(byOrderOf(run)),
    "it is the launcher",
  );
});

function byOrderOf(record: Readonly<Record<string, string>>): (a: string, b: string) => number {
  const names = Object.keys(record);
  return (a, b) => names.indexOf(a) - names.indexOf(b);
}

Deno.test("doctor and version --security say the same of what run has", async () => {
  await using folder = await temporaryFolder();
  const env = { XDPSTEER_CACHE_DIR: folder.path };
  const security = await runWith(env, FILE, "version", "--security");
  const [, listed] = /^capabilities +(.*)$/m.exec(security.stdout) ?? [];
  assert.ok(listed !== undefined, security.stdout);
  const { findings } = JSON.parse((await runWith(env, FILE, "doctor", "--json")).stdout);
  const found = findings.find(({ check }: { readonly check: string }) => check === "process.confinement");
  assert.ok(found.text.startsWith(`run, started here by this user, has ${listed}, gains none`), found.text);
});

Deno.test("a user that is none, and root, are refused", async () => {
  await using folder = await temporaryFolder();
  const env = { XDPSTEER_CACHE_DIR: folder.path };
  for (const [user, says] of [["no-such-user", /no such user in/], ["root", /that is root/]] as const) {
    const { code, stderr } = await runWith(env, FILE, "run", "--user", user);
    assert.equal(code, 1);
    assert.match(stderr, says);
  }
  await Deno.chmod(folder.path, 0o755);
  const [program, ...words] = asUser(FILE, "run", "--user=daemon");
  assert.match((await runWith({}, program!, ...words)).stderr, /cannot become user daemon: only root may/);
});

Deno.test("XDPSTEER_UNCONFINED leaves everything as it was", async () => {
  await using folder = await temporaryFolder();
  const env = { XDPSTEER_CACHE_DIR: folder.path, XDPSTEER_UNCONFINED: "1" };
  const { stdout } = await runWith(env, FILE, "version", "--security", "--json");
  const { capabilities, noNewPrivileges, seccompFilters, landlock } = JSON.parse(stdout);
  assert.ok(capabilities.includes("SYS_ADMIN"));
  assert.deepEqual([noNewPrivileges, seccompFilters, landlock], [false, 0, false]);
});

Deno.test("a user that may start no thread more is told so, and not by the runtime", async () => {
  await using folder = await temporaryFolder();
  const user = 2_000_000_000 + Deno.pid; // who has no other process
  await Deno.chown(folder.path, user, user);
  const argv = ["--clear-groups", `--reuid=${user}`, `--regid=${user}`, "prlimit"];
  const env = { XDPSTEER_CACHE_DIR: folder.path };
  const limited = await runWith(env, "setpriv", ...argv, "--nproc=3", FILE, "version");
  assert.equal(limited.code, 1);
  assert.match(limited.stderr, /^xdpsteer: this user may have no more processes and threads\n {2}hint: /);
  assert.doesNotMatch(limited.stderr, /Deno/i);
  assert.equal((await runWith(env, "setpriv", ...argv, "--nproc=64", FILE, "version")).code, 0);
});
