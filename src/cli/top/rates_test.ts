import assert from "node:assert/strict";
import { statusAnswer } from "../../../tests/support/status_answer.ts";
import { computeRates, TREND_SAMPLES, Trends } from "./rates.ts";

const before = statusAnswer({ uptimeMs: 1000, idleMs: 500, rules: [{ name: "a", packets: 100 }] });

Deno.test("computeRates() divides by the appliance's own time", () => {
  const rules = [{ name: "a", packets: 1100, tooMany: 5 }, { name: "b", packets: 250, action: "drop" }] as const;
  const now = statusAnswer({ uptimeMs: 1500, idleMs: 600, rules, lost: 25 });
  const rates = computeRates(now, before);
  assert.equal(rates.intervalMs, 500);
  assert.deepEqual(rates.totals, {
    "seen": { total: 1375, perSecond: 2550 },
    "redirected": { total: 1125, perSecond: 2050 },
    "passed": { total: 0, perSecond: 0 },
    "dropped": { total: 250, perSecond: 500 },
    lostAtSockets: { total: 25, perSecond: 50 },
  });
  const [a, b] = rates.rules;
  assert.deepEqual(a!.packets, { total: 1100, perSecond: 2000 });
  assert.deepEqual(a!.drops, { total: 5, perSecond: 10 });
  assert.equal(a!.megabitsPerSecond, 2000 * 100 * 8 / 1e6);
  assert.equal(a!.share, 2000 / 2550);
  assert.deepEqual(b!.drops, { total: 250, perSecond: 500 }, "a rule that is new began at zero");
  const [first, second] = rates.workers;
  assert.deepEqual([first!.packets.perSecond, second!.packets.perSecond], [2000, 0]);
  assert.equal(first!.busyRatio, 0.8, "100 of 500 ms were idle");
  assert.deepEqual(rates.queues.map(({ packets }) => packets.perSecond), [2000, 0]);
  assert.deepEqual(rates.queues[0]!.statistics.rx_ring_full, { total: 25, perSecond: 50 });
  assert.deepEqual(rates.queues[0]!.rx, { entries: 1, size: 2048 }, "the fullest rx ring");
});

Deno.test("computeRates() knows no rates without an earlier look at the same process", () => {
  const now = statusAnswer({ uptimeMs: 1500, rules: [{ name: "a", packets: 1100 }] });
  const restarted = { ...now, pid: 2 };
  const restartedUnderTheSamePid = { ...now, uptimeMs: 10 };
  for (
    const rates of [computeRates(now), computeRates(restarted, before), computeRates(restartedUnderTheSamePid, now)]
  ) {
    assert.equal(rates.intervalMs, null);
    assert.deepEqual(rates.rules[0]!.packets, { total: 1100, perSecond: null });
    assert.equal(rates.rules[0]!.share, null);
  }
});

Deno.test("computeRates() counts a rule that left and came again from zero", () => {
  const now = statusAnswer({ uptimeMs: 2000, rules: [{ name: "a", packets: 30 }] });
  assert.equal(computeRates(now, before).rules[0]!.packets.perSecond, 30);
});

Deno.test("computeRates() leaves out rules of earlier generations", () => {
  const now = statusAnswer({ uptimeMs: 2000, rules: [{ name: "a", packets: 30 }] });
  const rules = [{ ...now.rules[0]!, name: "(retired)", inForce: false }, ...now.rules];
  assert.deepEqual(computeRates({ ...now, rules }, before).rules.map(({ name }) => name), ["a"]);
});

Deno.test("Trends keeps the last samples of what is there, and starts again with another process", () => {
  const trends = new Trends();
  let last = before;
  for (let second = 2; second < 50; second++) {
    const now = statusAnswer({ uptimeMs: second * 1000, rules: [{ name: "a", packets: last.totals.seen + second }] });
    trends.add(computeRates(now, last));
    last = now;
  }
  const expected = Array.from({ length: TREND_SAMPLES }, (_, index) => 50 - TREND_SAMPLES + index);
  assert.deepEqual(trends.ofRule("a"), expected);
  assert.deepEqual(trends.ofWorker(0), expected);
  trends.add(computeRates({ ...last, pid: 2 }, last));
  assert.deepEqual(trends.ofRule("a"), []);
});
