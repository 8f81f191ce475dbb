/**
 * The Debian package, really installed, on top of this machine's own files: XDPSTEER_BINARY names the file to pack,
 * else it is dist/xdpsteer. Starting the service is not tested here, since that needs systemd as process 1.
 */
import assert from "node:assert/strict";
import { buildDeb, debianVersion, dependencies } from "../../scripts/build_deb.ts";
import { PrivateRoot } from "./private_root.ts";
import { binary, exists, ROOT, run, runWith, succeed, temporaryFolder } from "./support.ts";

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

/** The package, built once for all tests: that takes seconds. */
let shared: { readonly folder: Awaited<ReturnType<typeof temporaryFolder>>; readonly deb: string };

Deno.test.beforeAll(async () => {
  const folder = await temporaryFolder();
  shared = { folder, deb: await buildDeb({ binary: binary(), directory: `${folder.path}/first` }) };
});

Deno.test.afterAll(async () => await shared.folder[Symbol.asyncDispose]());

Deno.test("two builds are the same to the byte", async () => {
  await using folder = await temporaryFolder();
  // Around a small program: to compress the real one takes seconds. The release builds that twice too.
  const build = (name: string): Promise<string> =>
    buildDeb({ binary: "/bin/true", directory: `${folder.path}/${name}` });
  const first = await build("first");
  // Another umask, and another second on the clock.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const umask = Deno.umask(0o077);
  try {
    assert.equal((await run("cmp", first, await build("second"))).code, 0, "the two packages differ");
  } finally {
    Deno.umask(umask);
  }
});

Deno.test("lintian finds no error or warning", async () => {
  await using folder = await temporaryFolder();
  const args = ["--allow-root", "--fail-on", "error,warning", shared.deb];
  const lintian = await runWith({ TMPDIR: folder.path }, "lintian", ...args); // it leaves files there
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
    `XDPSTEER_CACHE_DIR=${folder.path}/parts ${binary()} version && cd ${folder.path}/parts/* && ` +
      'LD_DEBUG=versions LD_LIBRARY_PATH="$PWD/runtime:$PWD/lib" ./xdpsteer --version 2>&1',
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

/** The same package with another version in it, and not compressed, as no one will look at its size. */
async function withVersion(deb: string, version: string, directory: string): Promise<string> {
  const tree = `${directory}/tree`;
  await succeed("dpkg-deb", "--raw-extract", deb, tree);
  const control = await Deno.readTextFile(`${tree}/DEBIAN/control`);
  await Deno.writeTextFile(`${tree}/DEBIAN/control`, control.replace(/^Version: .*$/m, `Version: ${version}`));
  await succeed("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, `${directory}/newer.deb`);
  return `${directory}/newer.deb`;
}

Deno.test("install, edit, upgrade, remove, purge: edits stay until the purge, which leaves nothing", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.json`));
  const newer = debianVersion(version) + "+test1";
  await using folder = await temporaryFolder();
  const newerDeb = await withVersion(shared.deb, newer, folder.path);
  await using root = await PrivateRoot.create();
  const conffile = root.path(CONFFILE);
  const isThere = (path: string): Promise<boolean> => exists(root.path(path));
  await requireNotInstalled(root);
  const before = await traces(root);

  await apt(root, "install", shared.deb);
  assert.equal(await installedVersion(root), debianVersion(version));
  assert.equal(JSON.parse(await root.succeed("/usr/bin/xdpsteer", "version", "--json")).version, version);
  await root.succeed("/usr/bin/xdpsteer", "check", "--config", CONFFILE);
  assert.equal(await isThere(ENABLED), false, "a fresh install must not start at the next boot");
  await root.succeed("man", "--where", "8", "xdpsteer");
  assert.ok(await isThere("/usr/share/doc/xdpsteer/docs/operations.md"), "the documentation is in the package");
  await root.succeed("dpkg", "--verify", "xdpsteer");

  // What an operator does.
  const edited = (await Deno.readTextFile(conffile)).replace("steering: []", "steering: [{ name: dns, ports: 53 }]");
  await Deno.writeTextFile(conffile, edited);
  await Deno.writeTextFile(root.path("/etc/xdpsteer/before.yaml"), "version: 1\n");
  await root.succeed("systemctl", "enable", "xdpsteer.service");

  await apt(root, "install", newerDeb);
  assert.equal(await installedVersion(root), newer);
  assert.equal(await Deno.readTextFile(conffile), edited);
  assert.equal(await isThere(`${CONFFILE}.dpkg-dist`), false);
  assert.equal(await isThere(ENABLED), true, "an upgrade must not disable the service");

  const files = (await root.succeed("dpkg", "-L", "xdpsteer")).trim().split("\n");
  const owned = files.filter((file) => file.includes("xdpsteer"));
  assert.ok(owned.includes("/usr/bin/xdpsteer") && owned.includes(CONFFILE), owned.join("\n"));

  await apt(root, "remove", "xdpsteer");
  assert.equal(await Deno.readTextFile(conffile), edited);
  assert.equal(await isThere("/usr/bin/xdpsteer"), false);

  // What a run leaves.
  const caches = ["/var/cache/xdpsteer", "/var/cache/xdpsteer-service", "/var/cache/private/xdpsteer-service"];
  for (const left of ["/run/xdpsteer", ...caches]) {
    await Deno.mkdir(root.path(left), { recursive: true });
    await Deno.writeTextFile(root.path(`${left}/file`), "");
  }
  await apt(root, "purge", "xdpsteer");
  for (const path of [...owned, "/run/xdpsteer", ...caches, ENABLED]) {
    assert.equal(await isThere(path), false, `${path} is still there`);
  }
  assert.deepEqual((await traces(root)).filter((trace) => !before.includes(trace)), []);
});

/** What is installed on the machine itself is seen inside, and would be taken for the test's. */
async function requireNotInstalled(root: PrivateRoot): Promise<void> {
  if (await installedVersion(root) !== undefined || await exists(root.path("/etc/xdpsteer"))) {
    throw new Error("xdpsteer is installed here: apt-get purge xdpsteer, and try again");
  }
}

async function installedVersion(root: PrivateRoot): Promise<string | undefined> {
  const { code, stdout } = await root.run(
    "dpkg-query",
    "--show",
    "--showformat",
    "${Version} ${db:Status-Status}",
    "xdpsteer",
  );
  const [version, status] = stdout.split(" ");
  return code === 0 && status === "installed" ? version : undefined;
}

async function apt(root: PrivateRoot, command: "install" | "remove" | "purge", what: string): Promise<void> {
  await root.succeed("apt-get", "-y", "-q", "--no-install-recommends", command, what);
}

/** Everything outside of home and temporary folders that has the product's name, and its user. */
async function traces(root: PrivateRoot): Promise<string[]> {
  const found = await root.run(
    "find",
    "/etc",
    "/usr",
    "/var/lib",
    "/var/cache",
    "/run",
    "-xdev",
    "-name",
    "*xdpsteer*",
  );
  const user = await root.run("getent", "passwd", "xdpsteer");
  return [...found.stdout.split("\n"), ...user.stdout.split("\n")];
}
