import assert from "node:assert/strict";
import { threadCpuMs } from "../../src/ffi/clock.ts";
import { threadId } from "../../src/ffi/libc.ts";

Deno.test("threadCpuMs() grows while a thread works, and not while it sleeps", async () => {
  const thread = threadId();
  assert.ok((await Deno.stat(`/proc/self/task/${thread}`)).isDirectory);
  const start = threadCpuMs(thread)!;
  for (const end = performance.now() + 20; performance.now() < end;);
  const worked = threadCpuMs(thread)! - start;
  assert.ok(worked > 1 && worked <= 21, `${worked} of 20 ms`);
  const before = threadCpuMs(thread)!;
  await new Promise((resolve) => setTimeout(resolve, 100));
  const slept = threadCpuMs(thread)! - before;
  assert.ok(slept < 50, `${slept} of 100 ms`);
});

Deno.test("threadCpuMs() of a thread that is not there is undefined", () => {
  assert.equal(threadCpuMs(2 ** 22 + 1), undefined); // above the kernel's PID_MAX_LIMIT
});
