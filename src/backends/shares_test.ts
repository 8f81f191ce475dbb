import assert from "node:assert/strict";
import type { Backend, Forward } from "../steering/forward.ts";
import type { Health } from "./forward_writer.ts";
import { checkOf } from "./health/backend_checks.ts";
import { hasNone, takingOf } from "./shares.ts";
import { SlowStart } from "./slow_start.ts";

const CHECK = {
  check: "udp",
  port: null,
  send: "a",
  expect: null,
  interval: 1,
  timeout: 1,
  rise: 1,
  fall: 1,
} as const;

const backend = (number: number, more: Partial<Backend> = {}): Backend => ({
  name: `10.0.0.${number}:1`,
  address: `10.0.0.${number}`,
  port: 1,
  weight: 1,
  ...more,
});

const spec = (to: readonly Backend[], failOpen: number | null = null): Forward => ({
  to,
  names: [],
  mode: "nat",
  clientAddress: "none",
  source: "box",
  tunnel: null,
  remapPort: null,
  idleTimeout: 60,
  drainTimeout: 600,
  affinity: "flow",
  answers: null,
  slowStart: null,
  failOpen,
  health: CHECK,
  noneLeft: "pass",
});

const failing = (...backends: readonly Backend[]): Health =>
  new Map(backends.map((each) => [checkOf(each, CHECK).key, { healthy: false }]));

const [A, B, C, SPARE, EMPTY] = [
  backend(1),
  backend(2),
  backend(3),
  backend(4, { backup: true }),
  backend(5, { weight: 0 }),
] as const;

Deno.test("takingOf() finds who gets new sessions: ordinary ones, backups, or all where too few are healthy", () => {
  const cases: readonly [Forward, Health, readonly Backend[], failsOpen?: boolean][] = [
    [spec([A, B, SPARE, EMPTY]), failing(), [A, B]],
    [spec([A, B, SPARE, EMPTY]), failing(A), [B]],
    [spec([A, B, SPARE, EMPTY]), failing(A, B), [SPARE]],
    [spec([A, B, SPARE, EMPTY]), failing(A, B, SPARE), []],
    [spec([A, B, C], 50), failing(A), [B, C]],
    [spec([A, B, C], 50), failing(A, B), [A, B, C], true],
    [spec([A, B, C, SPARE], 50), failing(A, B), [C, SPARE]],
    [spec([A, B, SPARE, EMPTY], 50), failing(A, B, SPARE), [A, B, SPARE], true],
    [spec([A], 100), failing(A), [A], true],
    [spec([EMPTY]), failing(), []],
  ];
  for (const [forward, health, expected, failsOpen = false] of cases) {
    assert.deepEqual(takingOf(forward, false, health), { backends: expected, failsOpen });
    assert.deepEqual(takingOf(forward, true, health).backends, []);
  }
});

Deno.test("hasNone() is true where no backend is healthy, unless all are used then", () => {
  assert.equal(hasNone(spec([A, B]), failing(A)), false);
  assert.equal(hasNone(spec([A, B]), failing(A, B)), true);
  assert.equal(hasNone(spec([A, B], 10), failing(A, B)), false);
});

Deno.test("SlowStart raises the share of a backend that comes, or comes back, in steps", () => {
  let now = 1000;
  const start = new SlowStart(() => now);
  const weights = (backends: readonly Backend[], seconds: number | null = 10): number[] => {
    start.begin();
    const found = start.weights("a", backends, seconds);
    start.end();
    return found;
  };
  const DOUBLE = backend(9, { weight: 2 });
  assert.deepEqual(weights([A, DOUBLE]), [1, 2], "the first ones have all");
  assert.equal(start.due, false);
  assert.deepEqual(weights([A, DOUBLE, B]), [10, 20, 1]);
  now += 999;
  assert.equal(start.due, false);
  now += 1;
  assert.equal(start.due, true);
  assert.deepEqual(weights([A, DOUBLE, B]), [10, 20, 2]);
  assert.equal(start.due, false);
  now += 60_000;
  assert.equal(start.due, true);
  assert.deepEqual(weights([A, DOUBLE, B]), [1, 2, 1]);
  assert.deepEqual(weights([A, B]), [1, 1]);
  assert.deepEqual(weights([A, DOUBLE, B]), [10, 2, 10], "it was away");
  assert.deepEqual(weights([]), []);
  assert.deepEqual(weights([A]), [1], "nobody else has a share");
  assert.deepEqual(weights([A, B], null), [1, 1]);
});

Deno.test("SlowStart begins with the change that asks for it: who was there has all, who comes with it has not", () => {
  let now = 1000;
  const start = new SlowStart(() => now);
  const weights = (backends: readonly Backend[], seconds: number | null): number[] => {
    start.begin();
    const found = start.weights("a", backends, seconds);
    start.end();
    return found;
  };
  assert.deepEqual(weights([A], null), [1]);
  assert.equal(start.due, false);
  assert.deepEqual(weights([A, B], 10), [10, 1]);
  now += 10_000;
  assert.equal(start.due, true);
  assert.deepEqual(weights([A, B], 10), [1, 1]);
  assert.deepEqual(weights([A, B, C], 10), [10, 10, 1]);
  assert.deepEqual(weights([A, B, C], null), [1, 1, 1], "not any more: at once");
  assert.equal(start.due, false);
  assert.deepEqual(weights([A, B, C], 10), [1, 1, 1]);
});

Deno.test("SlowStart goes on in a process that takes over, whose clock is another", () => {
  let now = 50_000;
  const first = new SlowStart(() => now);
  const weights = (start: SlowStart, backends: readonly Backend[]): number[] => {
    start.begin();
    const found = start.weights("a", backends, 10);
    start.end();
    return found;
  };
  weights(first, [A]);
  weights(first, [A, B]);
  now += 3000;
  let later = 7;
  const next = new SlowStart(() => later, JSON.parse(JSON.stringify(first.standing)));
  assert.equal(next.due, false);
  assert.deepEqual(weights(next, [A, B, C]), [10, 4, 1]);
  later += 7000;
  assert.deepEqual(weights(next, [A, B, C]), [10, 10, 8]);
});
