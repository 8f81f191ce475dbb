import assert from "node:assert/strict";
import { threadCpuMs } from "../../src/ffi/clock.ts";
import { threadId } from "../../src/ffi/libc.ts";
import { PATIENCE_MS } from "../e2e/support/wait.ts";

Deno.test("threadCpuMs() grows while a thread works, and not while it sleeps", async () => {
  const thread = threadId();
  assert.ok((await Deno.stat(`/proc/self/task/${thread}`)).isDirectory);
  const start = threadCpuMs(thread)!;
  const begin = performance.now();
  while (threadCpuMs(thread)! - start < 20 && performance.now() - begin < PATIENCE_MS);
  const [worked, tookMs] = [threadCpuMs(thread)! - start, performance.now() - begin];
  assert.ok(worked >= 20 && worked <= tookMs + 1, `${worked} of ${tookMs} ms`);
  const before = threadCpuMs(thread)!;
  await new Promise((resolve) => setTimeout(resolve, 100));
  const slept = threadCpuMs(thread)! - before;
  assert.ok(slept < 50, `${slept} of 100 ms`);
});

Deno.test("threadCpuMs() of a thread that is not there is undefined", () => {
  assert.equal(threadCpuMs(2 ** 22 + 1), undefined); // above the kernel's PID_MAX_LIMIT
});
