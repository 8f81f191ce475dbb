import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { requireKernel } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { median, medianRatio, percentile } from "./stats.ts";

/** What a workload's name in the results begins with, by its name on the command line. */
const MEASURED: Readonly<Record<string, readonly string[]>> = {
  throughput: ["count", "echo"],
  cpu: ["CPU per packet"],
  latency: ["echo round trip"],
  forward: ["forward", "forward round trip"],
  steering: ["kernel side per packet: sending", "XDP program alone"],
  guard: ["XDP program alone"],
  scaling: ["count"],
  reload: ["reload of 65"],
  startup: ["start"],
  soak: ["soak"],
};

/** A short form of the benchmark: that it works and measures, never how fast anything is. */
Deno.test("the benchmark measures its workloads, and writes table, JSON and chart", async () => {
  requireKernel();
  const out = await Deno.makeTempDir({ prefix: "xdpsteer-bench-" });
  try {
    const main = fileURLToPath(new URL("./main.ts", import.meta.url));
    const chosen = SIZE.benchWorkloads;
    const args = ["run", "--quiet", "-A", "--no-check", main, "--quick", "--out", out, ...chosen];
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    assert.match(new TextDecoder().decode(stdout), /^WORKLOAD +SUBJECT +MEDIAN/);

    const { results } = JSON.parse(await Deno.readTextFile(`${out}/results.json`));
    const workloads = new Set(results.map(({ workload }: { workload: string }) => workload.split(",")[0]));
    for (const name of chosen.length > 0 ? chosen : Object.keys(MEASURED)) {
      for (const measured of MEASURED[name]!) {
        assert.ok(workloads.has(measured), `"${measured}" is measured: ${[...workloads]}`);
      }
    }
    for (const { workload, subject, values, baselines = [], ratios } of results) {
      assert.ok(
        values.length > 0 && values.every((value: number) => Number.isFinite(value)),
        `${workload}, ${subject}`,
      );
      assert.deepEqual(Object.keys(ratios), baselines, `${workload}, ${subject} has a ratio to each of its baselines`);
    }
    assert.match(await Deno.readTextFile(`${out}/results.svg`), /^<svg [\s\S]*<\/svg>\n$/);
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});

Deno.test("medians, percentiles and ratios are what they say", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(percentile([5, 1, 4, 2, 3], 0.99), 5);
  // Each round against the baseline's same round: a slow round slows both.
  assert.equal(medianRatio([10, 1, 20], [10, 1, 10]), 1);
});
