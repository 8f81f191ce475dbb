import assert from "node:assert/strict";
import { CaptureCounts } from "./messages.ts";

Deno.test("CaptureCounts are the same numbers on both threads, and no two of them are one", () => {
  const mine = CaptureCounts.create(5);
  const theirs = new CaptureCounts(mine.memory);
  for (let id = 0; id < 5; id++) {
    mine.written[id] = 10 + id;
    mine.lost[id] = 20 + id;
  }
  assert.deepEqual([...theirs.written], [10, 11, 12, 13, 14]);
  assert.deepEqual([...theirs.lost], [20, 21, 22, 23, 24]);
});
