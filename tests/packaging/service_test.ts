/**
 * The service as it is shipped: the Debian package installed, its unit started by a systemd that is process 1, and the
 * README's configuration in front of real name servers, one of which fails and comes back.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { SIZE } from "../support/sizes.ts";
import { setting } from "../support/systemd_unit.ts";
import { EXPOSURE_MAX } from "./exposure.ts";
import { runLab } from "./service_support.ts";
import { ROOT } from "./support.ts";

/** Name servers, as service_lab.py starts them, and what each answers. */
const ANSWERS = ["192.0.2.1", "192.0.2.2"] as const;
/** Bits of CapEff. */
const CAPABILITIES: Readonly<Record<string, number>> = { NET_ADMIN: 12, NET_RAW: 13, PERFMON: 38, BPF: 39 };

interface Result {
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
  const config = await readmeConfig();
  assert.match(config, /name: dns\n +ports: 53\n.*10\.0\.0\.11:53.*10\.0\.0\.12:53.*check: icmp/);
  const result = await runLab<Result>({
    lab: "service_lab.py",
    args: [SIZE.serviceAnswers],
    files: { "steering.yaml": config },
  });

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
  assert.deepEqual(result["handed over"], [[1, "active", "0"], [2, "active", "0"]]);
  const { uid, capabilities, seccomp } = result["process after"] as Result["process"];
  const { process: first } = result;
  assert.deepEqual([uid, capabilities, seccomp], [first.uid, first.capabilities, first.seccomp], "in the same sandbox");
  const crashes = result.crashed as readonly Record<string, unknown>[];
  // deno-lint-ignore no-console -- what it took here
  console.log(`killed, and the next one answers after ${crashes.map(({ seconds }) => seconds).join(" and ")} s`);
  assert.deepEqual(
    crashes.map(({ seconds: _, kept: __, ...crash }) => crash),
    [1, 2].map((times) => ({ adopted: times, done: 2, "went back": false, restarts: `${times}` })),
    JSON.stringify(crashes),
  );
  assert.deepEqual([result.restarts, result.active, result.left, result.kept], ["2", "active", 0, 0]);
});
