import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { basename } from "node:path";
import { EXPOSURE_MAX } from "./exposure.ts";
import { setting, settings, UNIT_FILE } from "../support/systemd_unit.ts";

/** Programs that the unit starts, as their package would install them. */
const PROGRAMS = ["/usr/bin/xdpsteer", "/bin/kill"];
/** Units that ours is ordered by; their own contents are systemd's business. */
const OTHERS = ["sysinit.target", "basic.target", "shutdown.target", "network-online.target"];

interface Finished {
  readonly success: boolean;
  readonly output: string;
}

async function analyze(...args: string[]): Promise<Finished> {
  const command = new Deno.Command("systemd-analyze", { args, env: { NO_COLOR: "1" } });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { success, output: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Verifies the unit's text in a root directory of its own, with all that it refers to. */
async function verify(text: string): Promise<Finished> {
  const root = await Deno.makeTempDir({ prefix: "xdpsteer-unit-" });
  try {
    const units = `${root}/etc/systemd/system`;
    for (const directory of [units, `${root}/usr/bin`, `${root}/bin`]) await mkdir(directory, { recursive: true });
    for (const path of PROGRAMS) await Deno.writeTextFile(`${root}${path}`, "#!/bin/sh\n", { mode: 0o755 });
    for (const name of OTHERS) await Deno.writeTextFile(`${units}/${name}`, "[Unit]\nDefaultDependencies=no\n");
    await Deno.writeTextFile(`${units}/${basename(UNIT_FILE)}`, text);
    return await analyze("verify", `--root=${root}`, "--man=no", `${units}/${basename(UNIT_FILE)}`);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("systemd finds nothing wrong with the unit", async () => {
  const text = await Deno.readTextFile(UNIT_FILE);
  assert.deepEqual(await verify(text), { success: true, output: "" });
  const wrong = await verify(text.replace("WatchdogSec", "WatchDogSec"));
  assert.match(wrong.output, /Unknown key.*'WatchDogSec'/, "it would have found something");
});

Deno.test(`systemd rates the unit's exposure below ${EXPOSURE_MAX}`, async () => {
  const { output } = await analyze("security", "--offline=true", "--no-pager", UNIT_FILE);
  const [, exposure] = /Overall exposure level for \S+: ([0-9.]+)/.exec(output) ?? [];
  assert.ok(exposure !== undefined, output);
  assert.ok(Number(exposure) < EXPOSURE_MAX, output);
});

Deno.test("the unit takes no more rights than it needs, and uses what xdpsteer tells it", () => {
  assert.equal(setting("CapabilityBoundingSet"), setting("AmbientCapabilities"));
  assert.doesNotMatch(setting("CapabilityBoundingSet"), /SYS_ADMIN|~/);
  assert.equal(setting("DynamicUser"), "yes");
  const environment = ["FDSTORE=4096", `XDPSTEER_CACHE_DIR=%C/private/${setting("CacheDirectory")}`];
  assert.deepEqual(settings("Environment"), environment);
  assert.equal(`FDSTORE=${setting("FileDescriptorStoreMax")}`, environment[0], "what xdpsteer is told is so");
  assert.equal(setting("Type"), "notify");
  assert.ok(Number(setting("WatchdogSec")) > 0);
  assert.match(setting("ExecReload"), /^\/bin\/kill -HUP \$MAINPID$/);
  assert.deepEqual(settings("MemoryDenyWriteExecute"), [], "V8 compiles while it runs");
});
