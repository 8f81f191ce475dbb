import assert from "node:assert/strict";
import fc from "fast-check";
import { countRule, FakeAppliance } from "../../tests/support/fake_appliance.ts";
import { FATE } from "../../tests/support/fates.ts";
import { RETIRED, TRANSLATION_PORTS } from "../steering/slots.ts";
import type { PacketsBytes, RuleCounts } from "./counters.ts";

const INTERFACES = [["eth0", 2], ["eth1", 1]] as const;
const PLACES = 3;

const byName = (counts: readonly RuleCounts[]): Map<string, RuleCounts> =>
  new Map(counts.map((count) => [count.name, count]));
const receivedOf = ({ workers, answers }: RuleCounts): number =>
  [...workers, ...answers].reduce((sum, { received }) => sum + received.reduce((all, packets) => all + packets, 0), 0);
const served = ({ workers, answers }: RuleCounts): PacketsBytes =>
  [...workers, ...answers].flatMap(({ fates }) => fates).reduce((sum, { packets, bytes }) => ({
    packets: sum.packets + packets,
    bytes: sum.bytes + bytes,
  }));

Deno.test("RuleTotals.read() has each rule's packets by fate, queue, worker and verdict, over all interfaces", () => {
  const box = new FakeAppliance({ interfaces: INTERFACES });
  box.setRules([countRule("game", 8080), countRule("chat", 9090)]);
  box.serve("game", 0, 0, "counted", 5, 300);
  box.serve("game", 1, 2, "malformed", 2, 100);
  box.decide("chat", 0, "dropped", 3);
  box.decide("chat", 1, "dropped", 4);
  box.decide("chat", 1, "passed", 6);
  const rules = byName(box.counts.read());
  assert.deepEqual([...rules.keys()], ["game", "chat"], "none without packets of no rule");
  const game = rules.get("game")!;
  assert.deepEqual(game.redirected, { packets: 7, bytes: 400 });
  assert.deepEqual(game.workers.map(({ received }) => received), [[5, 0, 0], [0, 0, 2]]);
  assert.deepEqual(game.workers[0]!.fates[FATE.counted], { packets: 5, bytes: 300 });
  assert.deepEqual(game.workers[1]!.fates[FATE.malformed], { packets: 2, bytes: 100 });
  const chat = rules.get("chat")!;
  assert.deepEqual([chat.dropped, chat.passed], [{ packets: 7, bytes: 420 }, { packets: 6, bytes: 360 }]);
  box.serve("", 0, 1, "unlisted", 1);
  assert.equal(receivedOf(byName(box.counts.read()).get("")!), 1);
});

Deno.test("RuleTotals moves what a slot has counted to the retired rules, and its next rule starts from zero", () => {
  const box = new FakeAppliance({ interfaces: INTERFACES, ruleSlots: 3 });
  box.setRules([countRule("one", 1)]);
  box.serve("one", 0, 0, "counted", 5);
  box.setRules([countRule("two", 1)]);
  box.serve("one", 0, 0, "counted", 1); // was on its way
  box.setRules([countRule("three", 1)]);
  let rules = byName(box.counts.read());
  assert.deepEqual([...rules.keys()].sort(), [RETIRED, "three", "two"]);
  assert.equal(receivedOf(rules.get(RETIRED)!), 6);
  assert.equal(receivedOf(rules.get("three")!), 0);
  box.serve("three", 1, 1, "echoed", 9);
  box.setRules([countRule("four", 1)]);
  box.setRules([countRule("five", 1)]);
  rules = byName(box.counts.read());
  assert.equal(receivedOf(rules.get(RETIRED)!), 6 + 9);
});

/** One thing that happens: a generation of these rules, or packets of one of its rules. */
const happenings = fc.array(
  fc.oneof(
    fc.record({ rules: fc.uniqueArray(fc.nat(7), { minLength: 1, maxLength: 2 }) }),
    fc.record({
      rule: fc.nat(2), // of the rules in force; beyond them: no rule
      worker: fc.nat(1),
      place: fc.nat(PLACES - 1),
      fate: fc.constantFrom("counted", "echoed", "tx_ring_full" as const),
      packets: fc.nat(1000),
      verdict: fc.constantFrom("worker", "answer", "dropped", "passed" as const),
    }),
  ),
  { maxLength: 60 },
);

Deno.test("RuleTotals loses and invents no packet, whatever rules come and go", () => {
  fc.assert(fc.property(happenings, (events) => {
    const box = new FakeAppliance({ interfaces: INTERFACES, ruleSlots: 7 });
    const sums = box.counts.newSums();
    const expected = { received: 0, dropped: 0, passed: 0, byPlace: new Array(2 * PLACES).fill(0) };
    const mine = new Map<string, number>();
    for (const event of events) {
      if ("rules" in event) {
        const rules = event.rules.map((name, port) => countRule(`rule-${name}`, port + 1));
        box.setRules([...rules, countRule(TRANSLATION_PORTS, 61000)]);
        const known = new Set(box.slots.entries().map(([, name]) => name));
        for (const name of mine.keys()) if (name !== "" && !known.has(name)) mine.delete(name);
      } else {
        const { rule, worker, place, fate, packets, verdict } = event;
        const name = box.steering.rules[rule]?.name ?? "";
        const isAnswer = verdict === "answer" && name !== "";
        if (isAnswer || verdict === "worker" || verdict === "answer") {
          if (isAnswer) box.answer(name, worker, place, fate, packets);
          else box.serve(name, worker, place, fate, packets);
          expected.received += packets;
          expected.byPlace[worker * PLACES + place] += packets;
          mine.set(name, (mine.get(name) ?? 0) + packets);
        } else if (name !== "") {
          box.decide(name, place === 2 ? 1 : 0, verdict, packets);
          expected[verdict] += packets;
        }
      }
      const rules = box.counts.read();
      const sum = (of: (rule: RuleCounts) => number): number => rules.reduce((all, rule) => all + of(rule), 0);
      assert.equal(sum(receivedOf), expected.received);
      assert.equal(sum((each) => served(each).packets), expected.received);
      assert.equal(sum((each) => served(each).bytes), expected.received * 60);
      assert.equal(sum(({ redirected }) => redirected.packets), expected.received);
      assert.equal(sum(({ dropped }) => dropped.packets), expected.dropped);
      assert.equal(sum(({ passed }) => passed.bytes), expected.passed * 60);
      const named = byName(rules);
      for (const [name, packets] of mine) if (packets > 0) assert.equal(receivedOf(named.get(name)!), packets, name);

      box.counts.readSums(sums);
      assert.deepEqual([...sums.byPlace], expected.byPlace);
      assert.equal(sums.byFate.reduce((all, packets) => all + packets), expected.received);
      for (const [slot, name] of box.slots.entries()) {
        const { dropped, passed } = named.get(name)!;
        assert.deepEqual(
          [sums.received[slot]! + sums.answers[slot]!, sums.dropped[slot], sums.passed[slot]],
          [receivedOf(named.get(name)!), dropped.packets, passed.packets],
        );
      }
    }
  }));
});
