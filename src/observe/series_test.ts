import assert from "node:assert/strict";
import { SeriesRings } from "./series.ts";

Deno.test("a ring keeps the last samples, oldest first, and zero where a series had no value", () => {
  const rings = new SeriesRings<string>(3);
  for (const [time, value] of [[1, 10], [2, 20], [3, 0], [4, 40]] as const) {
    rings.advance(time);
    rings.set("a", value);
    if (time === 4) rings.set("late", 7);
  }
  assert.deepEqual(rings.times(), [2, 3, 4]);
  assert.deepEqual(rings.values("a"), [20, 0, 40]);
  assert.deepEqual(rings.values("late"), [0, 0, 7]);
  assert.deepEqual(rings.values("never"), [0, 0, 0]);
  rings.advance(5);
  assert.deepEqual(rings.values("a"), [0, 40, 0], "no value: zero, not what stood there before");
});

Deno.test("the largest series are those with the most in what is kept; others can be dropped", () => {
  const rings = new SeriesRings<string>(2);
  for (const [a, b] of [[1000, 0], [1, 5], [1, 5]] as const) {
    rings.advance(0);
    rings.set("a", a);
    rings.set("b", b);
    rings.set("never", 0);
  }
  assert.deepEqual(rings.largest(9), ["b", "a"]);
  assert.deepEqual(rings.largest(1), ["b"]);
  rings.retain((key) => key === "a");
  assert.deepEqual(rings.largest(9), ["a"]);
});
