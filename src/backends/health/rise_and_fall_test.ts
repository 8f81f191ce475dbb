import fc from "fast-check";
import assert from "node:assert/strict";
import { RiseAndFall } from "./rise_and_fall.ts";

/** The states after each outcome: `1` a success, `0` a failure. */
function states(rise: number, fall: number, outcomes: string, healthy = true): string {
  const state = new RiseAndFall(rise, fall, healthy);
  return [...outcomes].map((outcome) => {
    state.record(outcome === "1");
    return state.healthy ? "1" : "0";
  }).join("");
}

Deno.test("it takes `fall` failures in a row to fall and `rise` successes in a row to rise", () => {
  assert.equal(states(2, 3, "00100110001011"), "11111111100001");
  assert.equal(states(1, 1, "0101101"), "0101101");
  assert.equal(states(3, 1, "0110111"), "0000001");
  assert.equal(states(2, 3, "1011", false), "0001");
});

Deno.test("record() tells of a change when it comes and only then", () => {
  const state = new RiseAndFall(2, 2);
  assert.ok(state.healthy, "healthy from the start");
  assert.deepEqual([..."10011100"].map((outcome) => state.record(outcome === "1")), [
    ...[false, false, true, false, true, false, false, true],
  ]);
});

Deno.test("whatever comes, the state is that of the last run that was long enough", () => {
  const count = fc.integer({ min: 1, max: 5 });
  fc.assert(fc.property(count, count, fc.array(fc.boolean(), { maxLength: 60 }), (rise, fall, outcomes) => {
    const text = outcomes.map((outcome) => outcome ? "1" : "0").join("");
    const [rose, fell] = [text.lastIndexOf("1".repeat(rise)), text.lastIndexOf("0".repeat(fall))];
    assert.equal(states(rise, fall, text).at(-1) ?? "1", fell > rose ? "0" : "1");
  }));
});
