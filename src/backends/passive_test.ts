import assert from "node:assert/strict";
import { rulesOf } from "../../tests/support/steering_rig.ts";
import { quiet } from "../../tests/support/fake_timers.ts";
import type { ForwardRule, Forwards } from "./forward_writer.ts";
import type { BackendHealth } from "./health/checks.ts";
import { checkOf } from "./health/backend_checks.ts";
import { type ActiveHealth, PassiveHealth } from "./passive.ts";

const ONE = "10.0.0.1:53";
const TO = `to: ["${ONE}", "10.0.0.2:53"], passive: { no_answer: 3, within: 4s, pause: 10s }`;

class Rig {
  readonly health = new PassiveHealth();
  readonly rules: ForwardRule[];
  counts = { from: 0, asked: 0, unreachable: 0 };
  nowMs = 0;
  active: ActiveHealth = new Map();
  usable = true;

  constructor(more = "") {
    this.rules = rulesOf(`{ name: dns, ports: 53, action: { forward: { ${TO}${more} } } }`).map(({ name, action }) => {
      assert.ok(action.kind === "forward");
      return { name, slot: 1, firstPort: 53, spec: action };
    });
  }

  /** Some time later: who is out. */
  after(ms: number, more: Partial<Rig["counts"]> = {}): string[] {
    for (const key of Object.keys(more) as (keyof Rig["counts"])[]) this.counts[key] += more[key]!;
    this.nowMs += ms;
    const rows = new Map([[ONE, { row: 1 }], ["10.0.0.2:53", { row: 2 }]]);
    this.health.look({ rules: this.rules, backends: rows as unknown as Forwards["backends"] }, {
      nowMs: this.nowMs,
      date: new Date(this.nowMs),
      active: this.active,
      countsOf: (row) => row === 1 ? { ...this.counts } : { from: 0, asked: 0, unreachable: 0 },
      isUsable: () => this.usable,
    });
    return [...this.health.out.values()].map(({ reason }) => reason);
  }
}

Deno.test("so many sessions without an answer for so long, or errors within it, and it is out until the pause is over", async () => {
  await quiet();
  const rig = new Rig();
  assert.deepEqual(rig.after(0), []);
  assert.deepEqual(rig.after(500, { asked: 3 }), []);
  assert.deepEqual(rig.after(3999), [], "not long enough");
  assert.deepEqual(rig.after(1), ["no answer in 4 s to any of 3 sessions"]);
  assert.deepEqual(rig.after(9999), ["no answer in 4 s to any of 3 sessions"]);
  assert.deepEqual(rig.after(1), []);
  assert.deepEqual(rig.after(500, { unreachable: 3 }), [
    "3 ICMP errors (unreachable) about packets to it, and no answer since",
  ]);
});

Deno.test("an answer to anybody speaks for it, few errors in a long time do not count, and the last one stays", async () => {
  await quiet();
  const rig = new Rig();
  rig.after(0);
  for (let turn = 0; turn < 9; turn++) assert.deepEqual(rig.after(3000, { asked: 2, from: 1 }), []);
  for (let turn = 0; turn < 9; turn++) assert.deepEqual(rig.after(5000, { unreachable: turn % 2 * 2 }), []);
  rig.usable = false;
  assert.deepEqual(rig.after(500, { unreachable: 9 }), []);
  rig.usable = true;
  assert.equal(rig.after(500, { unreachable: 1 }).length, 1);
});

Deno.test("one that is checked comes back when checks succeed, so many in a row since", async () => {
  await quiet();
  const rig = new Rig(", health: { check: icmp, rise: 2 }");
  const { spec } = rig.rules[0]!;
  const checked = (checks: number, failures: number): void => {
    const health = { healthy: true, checks, failures } as BackendHealth;
    rig.active = new Map([[checkOf(spec.to[0]!, spec.health!).key, health]]);
  };
  checked(10, 0);
  rig.after(0);
  assert.equal(rig.after(1, { unreachable: 3 }).length, 1);
  assert.equal(rig.after(60_000).length, 1, "the pause is for those without a check");
  checked(11, 0);
  assert.equal(rig.after(500).length, 1);
  checked(13, 1);
  assert.equal(rig.after(500).length, 1);
  checked(15, 1);
  assert.deepEqual(rig.after(500), []);
});
