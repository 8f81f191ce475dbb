import assert from "node:assert/strict";
import fc from "fast-check";
import { compilePortMap, compileWorkerTable, soleRules } from "./compile.ts";
import { diffRules } from "./diff.ts";
import { PORT_ACTION } from "./port_map.ts";
import type { Forward } from "./forward.ts";
import type { PortRange, Rule } from "./rule.ts";
import { NO_RULE, RuleSlots, SlotsExhausted } from "./slots.ts";
import { createWorkerTables, viewWorkerTables, WORKER_ACTION, type WorkerTable } from "./worker_table.ts";

const FORWARD: Forward = {
  to: [],
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
  failOpen: null,
  health: null,
  noneLeft: "drop",
};

const rule = (name: string, first: number, more: Partial<Rule> = {}): Rule => ({
  name,
  ports: [{ first, last: first }],
  worker: 0,
  action: { kind: "count" },
  addresses: "own",
  fragments: "drop",
  ...more,
});

const at = (port: number): PortRange => ({ first: port, last: port });

Deno.test("compilePortMap() gives every range of a rule its slot, worker, action and flags", () => {
  const rules = [
    rule("range", 0, { ports: [{ first: 100, last: 200 }, { first: 65535, last: 65535 }], worker: 3 }),
    rule("hash", 300, { worker: "hash" }),
    rule("drop", 301, { action: { kind: "drop" } }),
    rule("pass", 302, { action: { kind: "pass" } }),
    rule("answers", 303, { action: { kind: "answer" }, fragments: "pass" }),
  ];
  const [drops, passes] = [true, false].map((dropsFragments) => ({
    addresses: "own",
    errors: false,
    dropsFragments,
  }));
  assert.deepEqual(compilePortMap(rules, [5, 6, 7, 8, 9]), [
    { first: 100, last: 200, action: PORT_ACTION.redirect, rule: 5, worker: 3, ...drops },
    { first: 65535, last: 65535, action: PORT_ACTION.redirect, rule: 5, worker: 3, ...drops },
    { first: 300, last: 300, action: PORT_ACTION.spread, rule: 6, worker: 0, ...drops },
    { first: 301, last: 301, action: PORT_ACTION.drop, rule: 7, worker: 0, ...drops },
    { first: 302, last: 302, action: PORT_ACTION.pass, rule: 8, worker: 0, ...passes },
    { first: 303, last: 303, action: PORT_ACTION.redirect, rule: 9, worker: 0, ...passes, errors: true },
  ]);
});

Deno.test("compileWorkerTable() keeps the last rule of a port that is no longer listed", () => {
  const [first, second] = viewWorkerTables(createWorkerTables(16));
  compileWorkerTable(first!, second!, [rule("a", 10), rule("b", 20, { action: { kind: "echo" } })], [1, 2], new Set());
  compileWorkerTable(second!, first!, [rule("a", 30)], [1], new Set());
  assert.deepEqual([10, 20, 30].map((port) => second!.ruleOfPort[port]), [1, 2, 1]);
  assert.equal(second!.actionOfRule[2], WORKER_ACTION.echo);
});

Deno.test("compileWorkerTable() forgets the ports of a slot that another rule gets", () => {
  const [first, second] = viewWorkerTables(createWorkerTables(16));
  compileWorkerTable(first!, second!, [rule("old", 10)], [1], new Set());
  compileWorkerTable(second!, first!, [rule("new", 11)], [1], new Set([1]));
  assert.equal(second!.ruleOfPort[10], NO_RULE);
  assert.equal(second!.ruleOfPort[11], 1);
});

Deno.test("compileWorkerTable() marks the ports that answer: those of its rules now, and services that always do", () => {
  const [first, second] = viewWorkerTables(createWorkerTables(16));
  const answering = ({ answersOnPort }: WorkerTable): number[] =>
    Array.from(answersOnPort, (marked, port) => marked === 0 ? -1 : port).filter((port) => port >= 0);
  const wellKnown = [7, 9, 11, 13, 17, 19, 37, 53, 69, 123];
  const rules = [
    rule("echo", 0, { action: { kind: "echo" }, ports: [{ first: 7777, last: 7779 }, { first: 65535, last: 65535 }] }),
    rule("forward", 8080, { action: { kind: "forward", ...FORWARD } }),
    rule("count", 9000),
    rule("pass", 9001, { action: { kind: "pass" } }),
    rule("answer", 61000, { action: { kind: "answer" } }),
  ];
  compileWorkerTable(first!, second!, rules, [1, 2, 3, 4, 5], new Set());
  assert.deepEqual(answering(first!), [...wellKnown, 7777, 7778, 7779, 8080, 65535]);
  compileWorkerTable(second!, first!, [rule("echo", 7777, { action: { kind: "echo" } })], [1], new Set());
  assert.deepEqual(answering(second!), [...wellKnown, 7777]);
});

Deno.test("soleRules() names a worker's rule where it is the only one that can reach it, and only counts", () => {
  const sole = (rules: readonly Rule[]): number[] => soleRules(rules, rules.map((_, index) => index + 5), 3);
  const pass = rule("pass", 1, { action: { kind: "pass" } });
  const drop = rule("drop", 2, { action: { kind: "drop" } });
  const one = rule("one", 3, { worker: 1 });
  assert.deepEqual(sole([]), [NO_RULE, NO_RULE, NO_RULE]);
  assert.deepEqual(sole([pass, drop, one]), [NO_RULE, 7, NO_RULE]);
  assert.deepEqual(sole([one, rule("two", 4, { worker: 2 })]), [NO_RULE, 5, 6]);
  assert.deepEqual(sole([one, rule("other", 4, { worker: 1 })]), [NO_RULE, NO_RULE, NO_RULE]);
  assert.deepEqual(sole([rule("all", 4, { worker: "hash" })]), [5, 5, 5]);
  assert.deepEqual(sole([one, rule("all", 4, { worker: "hash" })]), [6, NO_RULE, 6]);
  assert.deepEqual(sole([rule("echo", 4, { action: { kind: "echo" } })]), [NO_RULE, NO_RULE, NO_RULE]);
});

/** Puts the plan in force. @returns Its slots. */
function assign(slots: RuleSlots, names: readonly string[], generation: number): readonly number[] {
  const plan = slots.plan(names, generation);
  plan.flip();
  return plan.slots;
}

Deno.test("RuleSlots keeps a rule's slot while it stays, and when it comes back", () => {
  const slots = new RuleSlots(16);
  assert.deepEqual(assign(slots, ["a", "b"], 1), [1, 2]);
  assert.deepEqual(assign(slots, ["b", "c"], 2), [2, 3]);
  assert.deepEqual(assign(slots, ["a"], 3), [1]);
  assert.deepEqual(slots.entries(), [[1, "a"], [2, "b"], [3, "c"]]);
});

const CAPACITY = 9;
const GENERATIONS = fc.array(fc.uniqueArray(fc.nat(30), { maxLength: 4 }), { maxLength: 60 });
const namesOf = (set: readonly number[]): string[] => set.map((number) => `rule-${number}`);

Deno.test("RuleSlots never gives a slot of this or the previous generation to another rule", () => {
  fc.assert(fc.property(GENERATIONS, (sets) => {
    const slots = new RuleSlots(CAPACITY);
    let previous = new Map<number, string>();
    sets.forEach((set, index) => {
      const names = namesOf(set);
      const { slots: assigned, reused, flip } = slots.plan(names, index + 1);
      flip();
      assert.equal(new Set(assigned).size, names.length);
      assert.ok(assigned.every((slot) => slot > NO_RULE && slot < CAPACITY));
      const now = new Map(assigned.map((slot, at) => [slot, names[at]!]));
      for (const [slot, name] of previous) {
        if (now.has(slot)) assert.equal(now.get(slot), name);
        assert.ok(!reused.has(slot));
      }
      previous = now;
    });
  }));
});

Deno.test("RuleSlots.plan() changes nothing before it flips, and nothing when it is undone", () => {
  fc.assert(fc.property(GENERATIONS, (sets) => {
    const slots = new RuleSlots(CAPACITY);
    const shown = (): unknown => [slots.used, slots.entries().toSorted(([one], [other]) => one - other)];
    sets.forEach((set, index) => {
      const before = shown();
      const plan = slots.plan(["other", "another"], index + 1);
      assert.deepEqual(shown(), before);
      plan.flip();
      plan.back();
      assert.deepEqual(shown(), before);
      assign(slots, namesOf(set), index + 1);
    });
  }));
});

Deno.test("RuleSlots.plan() gives no slot away whose name is to be kept", () => {
  const slots = new RuleSlots(4);
  assign(slots, ["a", "b", "c"], 1);
  for (const generation of [2, 3, 4]) assign(slots, [], generation);
  assert.deepEqual([...slots.plan(["d"], 5, new Set(["a"])).reused], [2]);
  assert.throws(() => slots.plan(["d", "e", "f"], 5, new Set(["a"])), SlotsExhausted);
});

Deno.test("diffRules() names what was added, changed and removed", () => {
  const before = [rule("a", 1), rule("b", 2), rule("gone", 3)];
  const after = [rule("a", 1), rule("b", 2, { worker: 1, ports: [{ first: 2, last: 9 }] }), rule("new", 4)];
  assert.deepEqual(diffRules(before, after), [
    "~ b: ports 2 -> 2-9, worker 0 -> 1",
    "+ new: ports 4, worker 0, action count",
    "- gone: ports 3, worker 0, action count",
  ]);
  assert.deepEqual(diffRules(after, after), []);
});

Deno.test("diffRules() names the capture of a rule, and the ports that leave it", () => {
  const capture = { file: "/a.pcapng", snap: 100, sample: 1, rotate: { size: 131_072, seconds: null, keep: 5 } };
  const game = rule("game", 1, { ports: [{ first: 100, last: 200 }], capture });
  const words = "to /a.pcapng (snap 100, sample 1, rotate at 131072 bytes, keep 5)";
  const rest = { ...game, ports: [{ first: 103, last: 200 }] };
  assert.deepEqual(diffRules([game], [rest, rule("new", 1, { ports: [{ first: 100, last: 102 }] })]), [
    "~ game: ports 100-200 -> 103-200",
    "+ new: ports 100-102, worker 0, action count, ports 100-102 no longer captured to /a.pcapng",
  ]);
  const other = rule("other", 9);
  assert.deepEqual(diffRules([game, other], [{ ...other, ports: [at(9), ...game.ports] }]), [
    "~ other: ports 9 -> 9,100-200, ports 100-200 no longer captured to /a.pcapng",
    `- game: ports 100-200, worker 0, action count, capture ${words}`,
  ]);
  assert.deepEqual(diffRules([game], [{ ...game, name: "renamed" }]), [
    `+ renamed: ports 100-200, worker 0, action count, capture ${words}`,
    `- game: ports 100-200, worker 0, action count, capture ${words}`,
  ]);
});

Deno.test("diffRules() words also what has no words of its own", () => {
  const rules = ["a", "b", "c"].map((name, index) => rule(name, index + 1));
  const [a, b, c] = rules;
  assert.deepEqual(diffRules(rules, [b!, a!, c!]), ["~ the order of the rules"]);
  assert.deepEqual(diffRules(rules, [rule("new", 9), a!, c!]), [
    "+ new: ports 9, worker 0, action count",
    "- b: ports 2, worker 0, action count",
  ]);
  const forwarding = (idleTimeout: number): Rule =>
    rule("a", 1, { action: { kind: "forward", ...FORWARD, idleTimeout } });
  assert.deepEqual(diffRules([rule("a", 200)], [rule("a", 200, { ports: [at(200), at(100)] })]), [
    "~ a: ports 200 -> 100,200",
  ]);
  assert.deepEqual(
    diffRules([rule("a", 1, { ports: [at(200), at(100)] })], [rule("a", 1, { ports: [at(100), at(200)] })]),
    ["~ a: the order of its ports"],
  );
  const checked = (health: unknown): Rule =>
    rule("a", 1, { action: { kind: "forward", ...FORWARD, health, noneLeft: "pass" } as Rule["action"] });
  const health = { check: "udp", port: null, send: "x" };
  assert.deepEqual(diffRules([checked(null)], [checked(health)]), ["~ a: health none -> { check: udp, send: x }"]);
  assert.deepEqual(diffRules([checked(health)], [checked({ ...health, port: 7 })]), ["~ a: health.port none -> 7"]);
  assert.deepEqual(
    diffRules([rule("a", 1, { action: { kind: "forward", ...FORWARD, health: null } })], [checked(null)]),
    ["~ a: none_left drop -> pass"],
  );
  assert.deepEqual(diffRules([forwarding(60)], [forwarding(61)]), ["~ a: idle_timeout 60 -> 61"]);
  assert.deepEqual(diffRules([a!], [{ ...a!, more: 1 } as Rule]), ["~ a: more none -> 1"]);
});
