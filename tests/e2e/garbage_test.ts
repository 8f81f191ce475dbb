/** Files that are no configuration, as large as one may be: what it costs to refuse them. */
import assert from "node:assert/strict";
import { GARBAGE } from "../support/garbage.ts";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { memoryKib, peakKib, resetPeak } from "./support/memory.ts";
import { until } from "./support/wait.ts";

/** The unit's comment on MemoryMax counts on this. A mebibyte of quotation marks took 575 MiB. */
const BOUND_KIB = 192 * 1024;

Deno.test("whatever is saved over the configuration, to refuse it takes a bounded amount of memory", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: ["{ name: game, ports: 8080, worker: 0 }"] });
  const before = memoryKib(box);
  for (const [kind, text] of Object.entries(GARBAGE)) {
    resetPeak(box);
    const { reloads: { refused } } = await box.status();
    await box.writeConfig(new TextEncoder().encode(text));
    await until(`${kind} refused`, async () => (await box.status()).reloads.refused > refused);
    const peak = peakKib(box);
    assert.ok(peak < before + BOUND_KIB, `${kind}: ${peak} KiB, ${before} before`);
  }
  const { generation, ready } = await box.status();
  assert.deepEqual([generation, ready], [1, true]);
});
