import assert from "node:assert/strict";
import { ticksOf } from "../steering/session_row.ts";
import { clientNumber, RateLimit } from "./rate_limit.ts";

const SECOND = ticksOf(1000);

Deno.test("RateLimit gives one client its part, and the others the rest, each second", () => {
  const limit = new RateLimit(100, 10);
  const greedy = clientNumber(1, 0, 7);
  for (let second = 0; second < 3; second++) {
    const now = second * SECOND;
    const taken = (client: number, times: number): number =>
      Array.from({ length: times }, () => limit.take(now, client)).filter(Boolean).length;
    assert.equal(taken(greedy, 1000), 10);
    assert.equal(limit.hasRoom(now, greedy), false);
    const others = Array.from({ length: 20 }, (_, index) => greedy + 1 + index);
    assert.deepEqual(others.map((other) => taken(other, 5)), [...Array(18).fill(5), 0, 0], "100 for all");
    assert.equal(limit.hasRoom(now + SECOND - 1, greedy + 200), false);
  }
});

Deno.test("clientNumber() spreads clients over the buckets, another way for each seed", () => {
  const bucketsOf = (seed: number): number[] =>
    Array.from({ length: 1000 }, (_, host) => clientNumber(0x0100000a + (host << 24), host >> 8, seed) & 255);
  const [one, other] = [bucketsOf(1), bucketsOf(2)];
  for (const buckets of [one, other]) {
    const counts = Array.from({ length: 256 }, (_, bucket) => buckets.filter((each) => each === bucket).length);
    assert.ok(Math.max(...counts) < 20, `${Math.max(...counts)} of 1000 are in one of 256`);
  }
  assert.ok(one.filter((bucket, index) => bucket === other[index]).length < 30, "who meets whom cannot be known");
});
