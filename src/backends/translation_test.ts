import assert from "node:assert/strict";
import type { PortRange, Rule } from "../steering/rule.ts";
import { answerRules } from "./translation.ts";

const CONFIG = { ports: { first: 100, last: 199 }, sessions: 1024, tableSize: 251, arrival: "strict" } as const;

Deno.test("answerRules() shares the translation ports out, but for those that a rule has", () => {
  const portsOf = (...taken: PortRange[]): unknown => {
    const rules: Rule[] = [{ name: "other", ports: taken, worker: 0, action: { kind: "count" } }];
    return answerRules(CONFIG, 2, rules).map(({ ports }) =>
      ports.map(({ first, last }) => `${first}-${last}`).join(",")
    );
  };
  assert.deepEqual(portsOf(), ["100-149", "150-199"]);
  assert.deepEqual(portsOf({ first: 1, last: 99 }, { first: 200, last: 300 }), ["100-149", "150-199"]);
  assert.deepEqual(portsOf({ first: 120, last: 120 }), ["100-119,121-149", "150-199"]);
  assert.deepEqual(portsOf({ first: 140, last: 160 }, { first: 100, last: 101 }), ["102-139", "161-199"]);
  assert.deepEqual(portsOf({ first: 1, last: 149 }), ["", "150-199"]);
});
