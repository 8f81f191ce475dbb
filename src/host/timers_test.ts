import assert from "node:assert/strict";
import { LogRecords } from "../../tests/support/log_records.ts";
import { SYSTEM_TIMERS } from "./timers.ts";

Deno.test("SYSTEM_TIMERS.every() goes on after a failure, and says it once", async () => {
  using log = new LogRecords();
  let calls = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  using _timer = SYSTEM_TIMERS.every(1, () => {
    if (++calls === 4) resolve();
    throw new Error(calls < 3 ? "first" : "second");
  });
  await promise;
  assert.equal(log.lines.filter((line) => line.includes("is tried again: first")).length, 1);
  assert.ok(log.lines.length <= 2, log.lines.join("\n"));
});
