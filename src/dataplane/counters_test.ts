import assert from "node:assert/strict";
import { FATES } from "../steering/fate.ts";
import { answerRow, fateAt, LOOP_COUNTERS, WorkerCounters } from "./counters.ts";

Deno.test("every counter of a worker has a place of its own", () => {
  const [ruleSlots, queueEnds] = [3, 2];
  const counters = WorkerCounters.create(ruleSlots, queueEnds);
  const places = LOOP_COUNTERS.map((_, index) => index);
  const slots = Array.from({ length: ruleSlots }, (_, slot) => slot);
  for (const row of slots.flatMap((slot) => [slot, answerRow(slot, ruleSlots)])) {
    for (let fate = 0; fate < FATES.length; fate++) places.push(fateAt(row, fate), fateAt(row, fate) + 1);
    for (let port = 0; port < queueEnds; port++) places.push(counters.receivedAt(port) + row);
  }
  assert.equal(new Set(places).size, places.length, "two counters share a place");
  assert.ok(Math.max(...places) < counters.values.length, "a counter lies behind the memory");
});
