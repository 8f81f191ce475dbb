/** A small and a very large configuration put in force in turns: what that costs for good. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { startAppliance } from "./support/appliance.ts";
import { peakKib, resetPeak } from "./support/memory.ts";

/** What the unit's comment on MemoryMax computes for two workers on two queues. */
const BOUND_KIB = 464 * 1024;
/** The large one kept so much each time before there was a bound: ten of them are beyond. */
const GROWTH_KIB = 64 * 1024;
/** Until the code is compiled, and every heap is as large as it gets. */
const WARM_CHANGES = 8;

/** The default. */
const MEMORY = "umem: { chunks: 4096 }";

/** 900 rules of 72 ports each, one by one: half a MiB of text. */
const LARGE = Array.from({ length: 900 }, (_, rule) => {
  const ports = Array.from({ length: 72 }, (_, index) => 100 + rule + index * 900);
  return `{ name: q${rule}, ports: [${ports}], action: echo }`;
});
const SMALL = ["{ name: game, ports: 8080, worker: 0, action: echo }"];

Deno.test("large configurations that take turns with small ones cost no memory for good", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: SMALL, memory: MEMORY });
  const change = async (count: number): Promise<void> => {
    for (let round = 0; round < count; round++) {
      const { code, body } = await box.put({ rules: round % 2 === 0 ? LARGE : SMALL, memory: MEMORY });
      assert.equal(code, 200, body);
    }
  };
  await change(WARM_CHANGES);
  const before = peakKib(box);
  assert.ok(before < BOUND_KIB, `${before} KiB after ${WARM_CHANGES} changes`);
  resetPeak(box);
  await change(SIZE.largeChanges);
  const peak = peakKib(box);
  assert.ok(peak < before + GROWTH_KIB, `${peak} KiB, ${before} before`);
  assert.ok(peak < BOUND_KIB, `${peak} KiB`);
});
