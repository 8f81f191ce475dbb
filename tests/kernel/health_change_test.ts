import assert from "node:assert/strict";
import { type CheckedBackend, HealthChecks } from "../../src/backends/health/checks.ts";

/** A backend that is checked far too seldom for a test to see it. */
function backend(port: number, fall = 1): CheckedBackend {
  return {
    key: `127.0.0.1:${port}`,
    backend: { name: `127.0.0.1:${port}`, address: Uint8Array.of(127, 0, 0, 1), port },
    check: { check: "tcp", port: null, send: "", expect: null, interval: 1e6, timeout: 1, rise: 1, fall },
  };
}

Deno.test("HealthChecks.change() that is undone leaves what was checked, and how healthy it was", async () => {
  await using health = new HealthChecks(() => {});
  const names = (): string[] => [...health.status().keys()];
  const first = health.change([backend(1)]);
  assert.deepEqual(names(), []);
  first.flip();
  first.back();
  assert.deepEqual(names(), []);
  health.set([backend(1), backend(2)]);
  const before = health.status();
  const change = health.change([backend(2, 9), backend(3)]);
  assert.deepEqual(health.status(), before);
  change.flip();
  assert.deepEqual(names(), ["127.0.0.1:2", "127.0.0.1:3"]);
  change.back();
  assert.deepEqual(health.status(), before);
  change.flip();
  assert.deepEqual(names(), ["127.0.0.1:2", "127.0.0.1:3"]);
});
