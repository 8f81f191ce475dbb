/**
 * The Debian package, really installed on this machine: XDPSTEER_BINARY names the file to pack, else it is dist/xdpsteer.
 * Starting the service is not tested here, since that needs systemd as process 1.
 */
import assert from "node:assert/strict";
import { buildDeb, debianVersion, dependencies } from "../../scripts/build_deb.ts";
import { binary, exists, ROOT, run, succeed, temporaryFolder } from "./support.ts";

const CONFFILE = "/etc/xdpsteer/steering.yaml";
const ENABLED = "/etc/systemd/system/multi-user.target.wants/xdpsteer.service";

Deno.test("a pre-release sorts before its release", async () => {
  assert.equal(debianVersion("1.2.3"), "1.2.3");
  assert.equal(debianVersion("0.2.0-rc.1"), "0.2.0~rc.1");
  assert.equal(debianVersion("0.2.0-rc-1"), "0.2.0~rc.1");
  await succeed("dpkg", "--compare-versions", debianVersion("0.2.0-rc.1"), "lt", debianVersion("0.2.0"));
});

Deno.test("the unit needs no user that the package would have to make", async () => {
  const unit = await Deno.readTextFile(`${ROOT}/packaging/systemd/xdpsteer.service`);
  assert.match(unit, /^DynamicUser=yes$/m);
  assert.match(unit, /^ExecStart=\/usr\/bin\/xdpsteer run --config \/etc\/xdpsteer\/steering\.yaml$/m);
});

Deno.test("a file that is no program is refused", async () => {
  await using folder = await temporaryFolder();
  await assert.rejects(buildDeb({ binary: `${ROOT}/README.md`, directory: folder.path }), /is not an ELF file/);
});

Deno.test("two builds are the same to the byte, and lintian finds no error or warning", async () => {
  await using folder = await temporaryFolder();
  const first = await buildDeb({ binary: binary(), directory: `${folder.path}/first` });
  // Another umask, and another second on the clock.
  const umask = Deno.umask(0o077);
  let second: string;
  try {
    second = await buildDeb({ binary: binary(), directory: `${folder.path}/second` });
  } finally {
    Deno.umask(umask);
  }
  assert.equal((await run("cmp", first, second)).code, 0, "the two packages differ");

  const lintian = await run("lintian", "--allow-root", "--fail-on", "error,warning", first);
  assert.equal(lintian.code, 0, lintian.stdout + lintian.stderr);
});

Deno.test("the package asks for the glibc that docs/deploy.md names, and the loader wants no newer one", async () => {
  await using folder = await temporaryFolder();
  const depends = (await dependencies(binary())).join(", ");
  const [, version] = /^libc6 \(>= (2\.\d+)\)$/.exec(depends) ?? [];
  assert.ok(version !== undefined, `no other library: ${depends}`);

  // What the dynamic loader binds says the same as what the symbols ask for.
  const bound = await succeed(
    "sh",
    "-c",
    `XDPSTEER_CACHE_DIR=${folder.path}/parts LD_DEBUG=versions ${binary()} version 2>&1`,
  );
  const minors = [...bound.matchAll(/`GLIBC_2\.(\d+)'/g)].map(([, minor]) => Number(minor));
  assert.ok(minors.length > 0 && minors.every((minor) => minor <= Number(version.slice(2))), `${depends}, ${minors}`);

  // It is said in one place.
  const said = [];
  for (const file of (await succeed("git", "ls-files", "*.md", "packaging")).trim().split("\n")) {
    const text = await Deno.readTextFile(`${ROOT}/${file}`);
    for (const [, found] of text.matchAll(/\b[Gg]libc\W{1,4}(?:is )?\(?(?:>= )?(2\.\d+)/g)) said.push({ file, found });
  }
  assert.deepEqual(said, [{ file: "docs/deploy.md", found: version }]);
});

Deno.test("install, edit, upgrade, remove, purge: edits stay until the purge, which leaves nothing", async () => {
  await requireNotInstalled();
  const { version } = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.json`));
  const newer = debianVersion(version) + "+test1";
  await using folder = await temporaryFolder();
  const deb = await buildDeb({ binary: binary(), directory: folder.path });
  const newerDeb = await buildDeb({ binary: binary(), directory: folder.path, version: newer });

  const before = await traces();
  await using _cleanup = { [Symbol.asyncDispose]: cleanUp };

  await apt("install", deb);
  assert.equal(await installedVersion(), debianVersion(version));
  assert.equal(JSON.parse(await succeed("/usr/bin/xdpsteer", "version", "--json")).version, version);
  await succeed("/usr/bin/xdpsteer", "check", "--config", CONFFILE);
  assert.equal(await exists(ENABLED), false, "a fresh install must not start at the next boot");
  await succeed("man", "--where", "8", "xdpsteer");
  await succeed("dpkg", "--verify", "xdpsteer");

  // What an operator does.
  const edited = (await Deno.readTextFile(CONFFILE)).replace("steering: []", "steering: [{ name: dns, ports: 53 }]");
  await Deno.writeTextFile(CONFFILE, edited);
  await Deno.writeTextFile("/etc/xdpsteer/before.yaml", "version: 1\n");
  await succeed("systemctl", "enable", "xdpsteer.service");

  await apt("install", newerDeb);
  assert.equal(await installedVersion(), newer);
  assert.equal(await Deno.readTextFile(CONFFILE), edited);
  assert.equal(await exists(`${CONFFILE}.dpkg-dist`), false);
  assert.equal(await exists(ENABLED), true, "an upgrade must not disable the service");

  const files = (await succeed("dpkg", "-L", "xdpsteer")).trim().split("\n");
  const owned = files.filter((file) => file.includes("xdpsteer"));
  assert.ok(owned.includes("/usr/bin/xdpsteer") && owned.includes(CONFFILE), owned.join("\n"));

  await apt("remove", "xdpsteer");
  assert.equal(await Deno.readTextFile(CONFFILE), edited);
  assert.equal(await exists("/usr/bin/xdpsteer"), false);

  // What a run leaves.
  const caches = ["/var/cache/xdpsteer", "/var/cache/xdpsteer-service", "/var/cache/private/xdpsteer-service"];
  for (const left of ["/run/xdpsteer", ...caches]) {
    await Deno.mkdir(left, { recursive: true });
    await Deno.writeTextFile(`${left}/file`, "");
  }
  await apt("purge", "xdpsteer");
  for (const path of [...owned, "/run/xdpsteer", ...caches, ENABLED]) {
    assert.equal(await exists(path), false, `${path} is still there`);
  }
  assert.deepEqual((await traces()).filter((trace) => !before.includes(trace)), []);
});

/** A purge would delete what belongs to somebody. */
async function requireNotInstalled(): Promise<void> {
  if (await installedVersion() !== undefined || await exists("/etc/xdpsteer")) {
    throw new Error("xdpsteer is installed here, and this test would purge it: apt-get purge xdpsteer, and try again");
  }
}

async function installedVersion(): Promise<string | undefined> {
  const { code, stdout } = await run(
    "dpkg-query",
    "--show",
    "--showformat",
    "${Version} ${db:Status-Status}",
    "xdpsteer",
  );
  const [version, status] = stdout.split(" ");
  return code === 0 && status === "installed" ? version : undefined;
}

/** Unlike apt, dpkg has nothing against purging what is not there. */
async function cleanUp(): Promise<void> {
  await succeed("dpkg", "--purge", "xdpsteer");
  // Made by this test where systemd never was; elsewhere it is not empty, and stays.
  await Deno.remove("/var/cache/private").catch(() => {});
}

async function apt(command: "install" | "remove" | "purge", what: string): Promise<void> {
  const options = ["-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"];
  await succeed("apt-get", ...options, command, what);
}

/** Everything outside of home and temporary folders that has the product's name, and its user. */
async function traces(): Promise<string[]> {
  const found = await run("find", "/etc", "/usr", "/var/lib", "/var/cache", "/run", "-xdev", "-name", "*xdpsteer*");
  const user = await run("getent", "passwd", "xdpsteer");
  return [...found.stdout.split("\n"), ...user.stdout.split("\n")];
}
