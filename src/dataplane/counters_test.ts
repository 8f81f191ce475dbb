import assert from "node:assert/strict";
import { FATES } from "../steering/fate.ts";
import { fateAt, LOOP_COUNTERS, WorkerCounters } from "./counters.ts";

Deno.test("every counter of a worker has a place of its own", () => {
  const [ruleSlots, queueEnds] = [3, 2];
  const counters = WorkerCounters.create(ruleSlots, queueEnds);
  const places = LOOP_COUNTERS.map((_, index) => index);
  for (let slot = 0; slot < ruleSlots; slot++) {
    for (let fate = 0; fate < FATES.length; fate++) places.push(fateAt(slot, fate), fateAt(slot, fate) + 1);
    for (let port = 0; port < queueEnds; port++) places.push(counters.receivedAt(port) + slot);
  }
  assert.equal(new Set(places).size, places.length, "two counters share a place");
  assert.ok(Math.max(...places) < counters.values.length, "a counter lies behind the memory");
});
