import assert from "node:assert/strict";
import { FakePortTable } from "../../tests/support/fake_engine.ts";
import { quiet } from "../../tests/support/fake_timers.ts";
import { forwardRule, rulesOf, SteeringRig } from "../../tests/support/steering_rig.ts";
import { TABLE } from "../dataplane/control_words.ts";
import { PORT_ACTION, type PortOwner } from "../steering/port_map.ts";
import type { Change } from "../steering/published.ts";
import { WORKER_ACTION } from "../steering/worker_table.ts";

type Rig = SteeringRig<FakePortTable>;

const newRig = (): Rig => new SteeringRig(new FakePortTable());
const CHECK = ", health: { check: udp }";

const BEFORE = [
  forwardRule("web", 8080, [1, 2], `${CHECK}, none_left: pass`),
  forwardRule("dns", 53, [3]),
  "{ name: game, ports: 7777, worker: 0, action: echo, capture: /var/lib/xdpsteer/game.pcapng }",
  "{ name: flood, ports: 19, action: drop }",
];
/**
 * A rule that is renamed, one whose action changes, one that is gone, one that is new: every part of what is in force
 * changes.
 */
const AFTER = [
  forwardRule("web-2", 8080, [2, 4], `${CHECK}, none_left: pass`),
  "{ name: dns, ports: 53, action: echo }",
  "{ name: flood, ports: [19, 20], worker: 1, capture: /var/lib/xdpsteer/flood.pcapng }",
  "{ name: new, ports: 5000, worker: 1 }",
];

/** Everything that can go wrong in a change, with how it is made to, and how it stops. */
const FAILURES: Readonly<Record<string, { fail(rig: Rig): void; heal?(rig: Rig): void; says: RegExp }>> = {
  "a worker does not take up the forward table": {
    fail: ({ workers }) => workers.hung.add(TABLE.forward),
    heal: ({ workers }) => workers.hung.clear(),
    says: /A worker has not answered/,
  },
  "a route cannot be looked up": {
    fail: ({ nextHops }) => nextHops!.fails = true,
    heal: ({ nextHops }) => nextHops!.fails = false,
    says: /Cannot look up a route/,
  },
  "captures cannot be prepared": {
    fail: ({ captures }) => captures.fails = "prepare",
    heal: ({ captures }) => captures.fails = undefined,
    says: /captures are not prepared/,
  },
  "a worker does not take up the worker table": {
    fail: ({ workers }) => workers.hung.add(TABLE.rules),
    heal: ({ workers }) => workers.hung.clear(),
    says: /A worker has not answered/,
  },
  "the port table fails its comparison": {
    fail: ({ portTable }) => portTable.fails = "prepare",
    says: /The kernel's port table differs/,
  },
  "the counters of a slot cannot be put aside": {
    fail: (rig) => rig.retirementFails = true,
    heal: (rig) => rig.retirementFails = false,
    says: /counters cannot be read/,
  },
  "health checks cannot begin": {
    fail: ({ health }) => health!.failsToFlip = true,
    heal: ({ health }) => health!.failsToFlip = false,
    says: /No file descriptor is left/,
  },
  "the forward table does not flip": {
    fail: ({ workers }) => workers.failing.add(TABLE.forward),
    says: /table 1 does not flip/,
  },
  "captures do not flip": {
    fail: ({ captures }) => captures.fails = "flip",
    heal: ({ captures }) => captures.fails = undefined,
    says: /captures do not flip/,
  },
  "the worker table does not flip": {
    fail: ({ workers }) => workers.failing.add(TABLE.rules),
    says: /table 0 does not flip/,
  },
  "the port table does not flip": {
    fail: ({ portTable }) => portTable.fails = "flip",
    says: /the port table does not flip/,
  },
};

for (const [what, { fail, heal, says }] of Object.entries(FAILURES)) {
  Deno.test(`a change in which ${what} leaves all as it was, and goes through when it is tried again`, async () => {
    await using rig = newRig();
    await rig.change(...BEFORE);
    await using other = newRig();
    await other.change(...BEFORE);
    const before = rig.state();
    assert.deepEqual(before, other.state());
    fail(rig);
    await assert.rejects(rig.change(...AFTER), says);
    assert.deepEqual(rig.state(), before);
    heal?.(rig);
    await rig.timers.pass(10); // nothing that was put off makes a difference
    assert.deepEqual(rig.state(), before);
    const applied = await rig.change(...AFTER);
    assert.deepEqual(applied, await other.change(...AFTER));
    assert.equal(applied.generation, 2);
    assert.deepEqual(rig.state(), other.state());
  });
}

Deno.test("a first rule that forwards, where health and next hops cannot be opened, leaves all as it was", async () => {
  await using rig = newRig();
  await rig.change("{ name: game, ports: 7777 }");
  const before = rig.state();
  rig.sourcesFail = true;
  await assert.rejects(rig.change(...BEFORE), /netlink does not open/);
  assert.deepEqual(rig.state(), before);
  rig.sourcesFail = false;
  assert.equal((await rig.change(...BEFORE)).generation, 2);
});

Deno.test("rules that are in force already begin captures anew that have failed, and nothing else", async () => {
  await using rig = newRig();
  const rules = ["{ name: game, ports: 7777, capture: /var/lib/xdpsteer/game.pcapng }"];
  await rig.change(...rules);
  const { steering, captures } = rig;
  captures.begun = [];
  assert.deepEqual((await rig.change(...rules)).changes, []);
  assert.deepEqual(captures.begun, []);
  captures.failed = ["game"];
  const { changes, generation } = await rig.change(...rules);
  assert.deepEqual([changes, generation], [["rule game: its capture is tried again"], 1]);
  await steering.captured;
  assert.deepEqual(captures.begun, ["game"]);
});

Deno.test("what has to be done before packets are steered can fail, and then nothing is in force", async () => {
  await using rig = newRig();
  const before = rig.state();
  await assert.rejects(
    rig.steering.apply(rulesOf(...BEFORE), { ready: Promise.reject(new Error("the workers do not start")) }),
  );
  assert.deepEqual({ ...rig.state() as object, checked: [] }, before);
});

Deno.test("after a change the workers know the rules of before too, until no packet of theirs is left", async () => {
  await using rig = newRig();
  await rig.change(forwardRule("web", 8080, [1, 2]), forwardRule("dns", 53, [3]));
  rig.workers.withheld = [];
  await rig.change(forwardRule("web-2", 8080, [2]), "{ name: dns, ports: 53, action: echo }");
  const both = { web: ["10.9.0.1", "10.9.0.2"], "web-2": ["10.9.0.2"], dns: ["10.9.0.3"] };
  const found = (): unknown => Object.fromEntries(Object.keys(both).map((name) => [name, rig.backendsOf(name)]));
  assert.deepEqual(found(), both);
  const { ruleOfPort, actionOfRule } = rig.workerTable;
  assert.equal(actionOfRule[rig.slots.slotOf("web")!], WORKER_ACTION.forward);
  assert.deepEqual([8080, 53].map((port) => ruleOfPort[port]), ["web-2", "dns"].map((name) => rig.slots.slotOf(name)));
  assert.equal(actionOfRule[rig.slots.slotOf("dns")!], WORKER_ACTION.echo);

  // Another change before that: what was steered by the first is still known.
  await rig.change("{ name: dns, ports: 53, action: echo }");
  assert.deepEqual(found(), both);
  rig.workers.answer();
  await quiet();
  assert.deepEqual(found(), { web: undefined, "web-2": undefined, dns: undefined });
  assert.deepEqual(rig.forwarding.status().map(({ name, rules }) => [name, rules]), [
    ["10.9.0.1:9000", []],
    ["10.9.0.2:9000", []],
    ["10.9.0.3:9000", []],
  ]);
});

Deno.test("with no room left for rules of before, a change waits until they are forgotten", async () => {
  await using rig = newRig();
  const rules = (turn: number): string[] =>
    Array.from({ length: 21 }, (_, index) => forwardRule(`rule-${turn}-${index}`, 1000 + index, [1 + index % 3]));
  await rig.change(...rules(0));
  rig.workers.withheld = [];
  await rig.change(...rules(1));
  assert.deepEqual(rig.backendsOf("rule-0-0"), ["10.9.0.1"]);
  const third = rig.change(...rules(2)); // 63 rules and the answers' do not fit into 63 slots
  await quiet();
  assert.equal(rig.steering.generation, 2);
  rig.workers.answer();
  assert.equal((await third).generation, 3);
  assert.equal(rig.backendsOf("rule-0-0"), undefined);
  assert.deepEqual(rig.backendsOf("rule-2-0"), ["10.9.0.1"]);
});

Deno.test("whether there is a change is decided by all that rules say, and by their order", async () => {
  await using rig = newRig();
  await rig.change(...BEFORE);
  assert.deepEqual(await rig.change(...BEFORE), { generation: 1, changes: [], elapsedMs: 0 });
  const [web, dns, ...others] = BEFORE;
  const slower = web!.replace("{ check: udp }", "{ check: udp, fall: 9 }");
  assert.deepEqual((await rig.change(slower, dns!, ...others)).changes, ["~ web: health.fall 3 -> 9"]);
  const { generation, changes } = await rig.change(dns!, slower, ...others);
  assert.deepEqual({ generation, changes }, { generation: 3, changes: ["~ the order of the rules"] });
});

Deno.test("a rule without healthy backends is passed where it says so, in the change itself or as health changes", async () => {
  await using rig = newRig();
  const actionOf = (port: number): number =>
    rig.portTable.inForce.ports.find(({ first, last }: PortOwner) => first <= port && port <= last)!.action;
  await rig.change(...BEFORE);
  assert.equal(actionOf(8080), PORT_ACTION.spread);
  rig.health!.set("10.9.0.1:9000", false);
  rig.health!.set("10.9.0.2:9000", false);
  assert.equal(actionOf(8080), PORT_ACTION.spread);
  await rig.timers.pass(5);
  assert.equal(actionOf(8080), PORT_ACTION.pass);
  assert.deepEqual(rig.backendsOf("web"), []);

  // A rule of another name for the same backends begins as the first has ended: not one packet goes astray.
  const history: number[] = [];
  const { prepare } = rig.portTable;
  rig.portTable.prepare = async function (ports, generation): Promise<Change> {
    const change = await prepare.call(this, ports, generation);
    const flip = (): void => {
      change.flip();
      history.push(actionOf(8080));
    };
    return { ...change, flip };
  };
  await rig.change(forwardRule("other", 8080, [1, 2], `${CHECK}, none_left: pass`));
  assert.deepEqual(history, [PORT_ACTION.pass]);
  rig.health!.set("10.9.0.2:9000", true);
  rig.portTable.fails = "prepare"; // and is tried again
  await rig.timers.pass(5);
  assert.equal(actionOf(8080), PORT_ACTION.pass);
  await rig.timers.pass(1000);
  assert.equal(actionOf(8080), PORT_ACTION.spread);
});

Deno.test("health that changes while a change is being made is in force after it", async () => {
  await using rig = newRig();
  await rig.change(forwardRule("web", 8080, [1, 2], CHECK));
  const ready = Promise.withResolvers<void>();
  const change = rig.queue.run(() =>
    rig.steering.apply(rulesOf(forwardRule("web-2", 8080, [1, 2], CHECK)), { ready: ready.promise })
  );
  await quiet();
  rig.health!.set("10.9.0.1:9000", false);
  ready.resolve();
  await change;
  await rig.timers.pass(5);
  assert.deepEqual(rig.backendsOf("web-2"), ["10.9.0.2"]);
});

Deno.test("translation ports are steered while a rule needs them or sessions are left", async () => {
  await using rig = newRig();
  const names = (): string[] => rig.steering.rules.map(({ name }) => name);
  const isSteered = (port: number): boolean =>
    rig.portTable.inForce.ports.some(({ first, last }) => first <= port && port <= last);
  await rig.change(forwardRule("web", 8080, [1]));
  rig.workers.sessions = 5;
  const removal = await rig.change("{ name: dns, ports: [53, 61000], worker: 1 }");
  assert.deepEqual(removal.changes.map((line) => line.split(":")[0]), ["+ dns", "- web"]);
  assert.deepEqual(names(), ["dns"]);
  assert.ok(isSteered(61_001) && isSteered(61_999));
  const owners = rig.portTable.inForce.ports.filter(({ first, last }) => first <= 61_000 && last >= 61_000);
  assert.deepEqual(owners.map(({ rule }) => rule), [rig.slots.slotOf("dns")]);
  await rig.timers.pass(3000);
  assert.ok(isSteered(61_001));
  assert.deepEqual([...rig.workerTable.soleOfWorker.subarray(0, 2)], [0, 0]);
  rig.workers.sessions = 0;
  await rig.timers.pass(1000);
  assert.deepEqual(names(), ["dns"]);
  assert.ok(!isSteered(61_001) && isSteered(61_000));
  assert.equal(rig.steering.generation, 2);
  await rig.timers.pass(1000);
  assert.deepEqual([...rig.workerTable.soleOfWorker.subarray(0, 2)], [0, rig.slots.slotOf("dns")]);
  assert.deepEqual((await rig.change()).changes, ["- dns: ports 53,61000, worker 1, action count"]);
});

Deno.test("a worker counts without looking only when it has no packet of another rule left", async () => {
  await using rig = newRig();
  const sole = (): number[] => [...rig.workerTable.soleOfWorker.subarray(0, 2)];
  await rig.change("{ name: one, ports: 1, worker: 0 }");
  const [one] = [rig.slots.slotOf("one")!];
  assert.deepEqual(sole(), [one, 0]);
  rig.workers.withheld = [];
  await rig.change("{ name: two, ports: 2, worker: 0 }");
  assert.deepEqual(sole(), [0, 0]);
  rig.workers.answer();
  await quiet();
  assert.deepEqual(sole(), [rig.slots.slotOf("two"), 0]);
});

Deno.test("a worker that hangs after a change puts the forgetting off, and it is done when the worker goes on", async () => {
  await using rig = newRig();
  await rig.change(forwardRule("web", 8080, [1]));
  rig.workers.withheld = [];
  await rig.change(forwardRule("web-2", 8080, [1]));
  rig.workers.hung.add(TABLE.forward);
  rig.workers.answer();
  await quiet();
  assert.deepEqual(rig.backendsOf("web"), ["10.9.0.1"]);
  rig.workers.hung.clear();
  await rig.timers.pass(1000);
  assert.equal(rig.backendsOf("web"), undefined);
  assert.deepEqual(rig.backendsOf("web-2"), ["10.9.0.1"]);
});

Deno.test("nothing is left of rules in force that are disposed of", async () => {
  const rig = newRig();
  await rig.change(...BEFORE);
  rig.workers.sessions = 1;
  await rig.change();
  assert.ok(rig.timers.count > 0);
  await rig[Symbol.asyncDispose]();
  assert.equal(rig.timers.count, 0);
  assert.ok(rig.portTable.disposed);
});
