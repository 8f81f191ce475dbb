/**
 * The service as it is shipped: the Debian package installed, its unit started by a systemd that is process 1, and the
 * README's configuration in front of real name servers, one of which fails and comes back.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { buildDeb } from "../../scripts/build_deb.ts";
import { SIZE } from "../support/sizes.ts";
import { setting } from "../support/systemd_unit.ts";
import { EXPOSURE_MAX } from "./exposure.ts";
import { binary, ROOT, run, temporaryFolder } from "./support.ts";

const BOOT = join(ROOT, "tests/packaging/boot_systemd.sh");
const LAB = join(ROOT, "tests/packaging/service_lab.py");
/** Far more than it takes. */
const LIMIT_S = 900;
/** Name servers, as service_lab.py starts them, and what each answers. */
const ANSWERS = ["192.0.2.1", "192.0.2.2"] as const;
/** Bits of CapEff. */
const CAPABILITIES: Readonly<Record<string, number>> = { NET_ADMIN: 12, NET_RAW: 13, PERFMON: 38, BPF: 39 };

interface Result {
  readonly error?: string;
  readonly installed: string;
  readonly process: {
    readonly uid: string;
    readonly capabilities: number;
    readonly seccomp: string;
    readonly threads: readonly string[];
  };
  readonly exposure: string;
  readonly client: { readonly asked: number; readonly answered: number; readonly error: string | null };
  readonly failed: readonly boolean[];
  readonly [checks: string]: unknown;
}

/** The first YAML of README.md that has rules. */
async function readmeConfig(): Promise<string> {
  const readme = await Deno.readTextFile(join(ROOT, "README.md"));
  const [, yaml] = /^```yaml\n# steering\.yaml\n([^`]*)^```$/m.exec(readme) ?? [];
  assert.ok(yaml !== undefined, "README.md has an example of steering.yaml");
  return yaml;
}

Deno.test("the package's service, under a real systemd: health by icmp, udp and tcp, and DNS through a failure", async () => {
  await using folder = await temporaryFolder();
  const config = await readmeConfig();
  assert.match(config, /name: dns\n +ports: 53\n.*10\.0\.0\.11:53.*10\.0\.0\.12:53.*check: icmp/);
  await Deno.mkdir(join(folder.path, "etc"));
  await Deno.rename(await buildDeb({ binary: binary(), directory: folder.path }), join(folder.path, "xdpsteer.deb"));
  await Deno.writeTextFile(join(folder.path, "steering.yaml"), config);
  await Deno.copyFile(LAB, join(folder.path, "service_lab.py"));
  const main = `#!/bin/sh\nexec /usr/bin/python3 /lab/service_lab.py ${SIZE.serviceAnswers}\n`;
  await Deno.writeTextFile(join(folder.path, "main"), main, { mode: 0o755 });
  const { stdout, stderr } = await run("timeout", "--kill-after=5", `${LIMIT_S}`, BOOT, folder.path);
  const read = (name: string): Promise<string> => Deno.readTextFile(join(folder.path, name)).catch(() => "");
  const text = await read("result");
  assert.ok(text.startsWith("{"), [stdout, stderr, await read("output")].join("\n"));
  const result: Result = JSON.parse(text);
  assert.equal(result.error, undefined, JSON.stringify(result, null, 2));

  assert.equal(result.installed, "inactive", "a fresh install starts nothing");
  assert.notEqual(result.process.uid, "0");
  assert.equal(result.process.seccomp, "2", "system calls are filtered");
  const allowed = setting("CapabilityBoundingSet").split(" ").map((name) => 2 ** CAPABILITIES[name.slice(4)]!);
  assert.equal(result.process.capabilities, allowed.reduce((sum, bit) => sum + bit));
  assert.equal(result.process.threads.length, 1, result.process.threads.join("\n"));
  const mask = allowed.reduce((sum, bit) => sum + bit).toString(16).padStart(16, "0");
  for (const set of ["CapPrm", "CapEff", "CapBnd"]) {
    assert.ok(result.process.threads[0]!.includes(`${set} ${mask}`), result.process.threads[0]);
  }
  assert.match(result.process.threads[0]!, /NoNewPrivs 1, Seccomp 2/);
  const [, exposure] = /: ([0-9.]+) /.exec(result.exposure) ?? [];
  assert.ok(Number(exposure) < EXPOSURE_MAX, result.exposure);

  assert.equal(result.client.error, null);
  assert.equal(result.client.answered, result.client.asked, "every question is answered");
  assert.ok(result.client.answered > 3 * SIZE.serviceAnswers);
  assert.deepEqual(result.failed, [false, true]);
  const answersIn = (time: string): number[] =>
    ANSWERS.map((address) => (result[time] as Record<string, number>)[address] ?? 0);
  const [gone, left] = answersIn("in failure");
  assert.ok(gone === 0 && left! > 0, `answers of each in the failure: ${gone}, ${left}`);
  assert.ok(answersIn("in recovery").every((count) => count > 0), "both answer after the recovery");

  for (const [kind, answered] of [["udp", "answered"], ["tcp", "connected"]]) {
    const refused = "nobody listens on the port (ECONNREFUSED)";
    assert.deepEqual(result[`${kind} failed`], [[false, refused], [true, answered]]);
    assert.deepEqual(result[`${kind} recovered`], [true, true]);
  }
  assert.deepEqual([result.restarts, result.active, result.left], ["0", "active", 0]);
});
