import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { PauseWatch } from "./pauses.ts";

Deno.test("PauseWatch counts time in which the process did not run, and not that in which it was busy or had no CPU", async () => {
  const timers = new FakeTimers();
  using log = new LogRecords();
  let [stoppedMs, ranMs, waitedMs] = [0, 0, 0];
  using pauses = new PauseWatch(timers, {
    passed: () => timers.now() + stoppedMs + ranMs + waitedMs,
    ran: () => ranMs,
    waited: () => waitedMs,
  });
  await timers.pass(5000);
  [ranMs, waitedMs] = [3000, 4000]; // a large file, on a busy machine
  await timers.pass(1000);
  stoppedMs = 900;
  await timers.pass(1000);
  assert.deepEqual([pauses.totalMs, pauses.last, log.lines], [0, undefined, []]);

  stoppedMs += 3200;
  await timers.pass(250);
  assert.deepEqual([pauses.totalMs, pauses.last], [3200, { lastMs: 3200, agoMs: 0 }]);
  [stoppedMs, waitedMs] = [stoppedMs + 2000, waitedMs + 5000];
  await timers.pass(1250);
  assert.equal(pauses.totalMs, 5200);
  assert.deepEqual(pauses.last, { lastMs: 2000, agoMs: 1000 });
  assert.deepEqual(
    log.lines,
    ["3.2 s", "2.0 s"].map((seconds) =>
      `warning: The process did not run for ${seconds}: somebody stopped it, or the machine stood still`
    ),
  );
});
