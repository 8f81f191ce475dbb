import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { compileBpf, OTHER_XDP } from "./support/bpf.ts";
import { finish, type Finished, productCommand, TempDir } from "./support/command.ts";
import { configText, type TestConfig } from "./support/config.ts";
import { attachedTo } from "./support/link.ts";
import { asOrdinaryUser, ordinaryUserEnv } from "./support/ordinary_user.ts";

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
  const { code, stdout, stderr } = await reload();
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^nothing to change: already in force as generation 1, since the start \d+(\.\d)? s ago\n$/);

  await Deno.writeTextFile(box.configFile, configText(BETTER, box.socket));
  const changed = await reload();
  assert.equal(changed.code, 0, changed.stderr);
  // The watch of the file may have been first.
  assert.match(changed.stdout, /^generation 2 is in force|already in force as generation 2, by the file watch \d/m);

  const bad = configText(BETTER, box.socket).replace("worker: 1", "worker: 7").replace("7777", "70000");
  await Deno.writeTextFile(box.configFile, bad);
  const refused = await reload();
  assert.deepEqual([refused.code, refused.stdout], [3, ""]);
  assert.match(refused.stderr, /worker 7 does not exist/);
  assert.match(refused.stderr, /port 70000 is out of range/);
  assert.match(refused.stderr, /steering\.yaml:\d+:\d+: /);
  assert.match(refused.stderr, /hint: nothing was changed/);

  await Deno.writeTextFile(box.configFile, configText({ ...GOOD, attach: "generic" }, box.socket));
  const fixed = await reload();
  assert.equal(fixed.code, 3);
  assert.match(fixed.stderr, /attach cannot change while xdpsteer runs[\s\S]*hint: systemctl restart xdpsteer/);

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
  await using box = await startAppliance(network, GOOD);
  await Deno.chmod(box.socket.slice(0, box.socket.lastIndexOf("/")), 0o755);
  const env = await ordinaryUserEnv(cache.path);
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
  const status = await box.untilStatus(
    "it to be attached again: the process runs on",
    ({ interfaces: [steer] }) => steer!.reattachments === 1 && steer!.state === "attached",
  );
  assert.equal(status.generation, 1);
  assert.equal((await attachedTo(network)).mode, "native");
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
  const object = await compileBpf(directory.path, "other", OTHER_XDP);
  await network.exec("steer", ["ip", "link", "set", "dev", INTERFACES.steer, "xdpdrv", "obj", object, "sec", "xdp"]);
  const env = await ordinaryUserEnv(cache.path);
  const words = [...asOrdinaryUser(), ...productCommand(), "detach", "--interface", INTERFACES.steer];
  const { code, stderr } = await finish(network, words, { env });
  assert.equal(code, 1);
  assert.match(stderr, /Cannot detach the XDP program from interface "steer0": .*EPERM.*\n +hint: run as root/);
  assert.equal((await attachedTo(network)).mode, "native");
});
