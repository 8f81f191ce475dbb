import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { refusedFrames } from "./support/link.ts";

const WARM_PACKETS = 1_000_000;
const PACKETS = 10_000_000;
const GROWTH_KIB = 256;

const CASES = {
  "counted": { ports: [8080, 9090], workers: 2 },
  "half of them echoed": { ports: [8080, 7777], workers: 2 },
} as const;

for (const [what, { ports, workers }] of Object.entries(CASES)) {
  Deno.test(`the workers' heaps are as large after ten million packets as after one million: ${what}`, async () => {
    await using network = await TestNetwork.create();
    const rules = [
      "{ name: first, ports: 8080, worker: 0 }",
      "{ name: last, ports: 9090, worker: 1 }",
      "{ name: echo, ports: 7777, worker: 1, action: echo }",
    ];
    await using box = await startAppliance(network, { rules, workers });
    const send = (count: number): Promise<unknown> =>
      runTraffic(network, "live", { ports, flows: 200, count, cpus: [0, 1] });

    await send(WARM_PACKETS);
    const warm = await settled(box);
    const t = performance.now();
    await send(PACKETS - WARM_PACKETS);
    const done = await settled(box);
    console.log(performance.now() - t, warm.workerHeapKib, done.workerHeapKib, JSON.stringify(done.totals), await refusedFrames(network));

    assert.equal(done.totals.verdicts.redirect + await refusedFrames(network), PACKETS);
    assert.ok(done.workers.every(({ received }) => received > PACKETS / 4), "both workers had their share");
    if (what !== "counted") assert.ok(fatesOf(done, "echo")["echoed"]! > 1_000_000);
    for (const [worker, kib] of done.workerHeapKib.entries()) {
      const growth = kib - warm.workerHeapKib[worker]!;
      assert.ok(growth < GROWTH_KIB, `the heap of worker ${worker} grew by ${growth} KiB`);
    }
  });
}
