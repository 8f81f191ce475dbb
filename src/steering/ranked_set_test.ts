import assert from "node:assert/strict";
import fc from "fast-check";
import { PortPool } from "./port_pool.ts";
import { Random } from "./random.ts";
import { RANK, RankedSet } from "./ranked_set.ts";

const BOUND = 12;

Deno.test("RankedSet keeps every member with its rank, whatever is added, raised, lowered and removed", () => {
  const step = fc.tuple(fc.nat(BOUND - 1), fc.nat(2));
  fc.assert(fc.property(fc.array(step, { minLength: 200, maxLength: 400 }), (steps) => {
    const set = new RankedSet(BOUND);
    const model = new Map<number, number>();
    for (const [member, step] of steps) {
      const rank = model.get(member);
      if (rank === undefined) {
        set.add(member);
        model.set(member, RANK.stranger);
      } else if (step === 0) {
        set.remove(member, rank);
        model.delete(member);
      } else if (step === 1 && rank < RANK.conversation) {
        set.raise(member, rank);
        model.set(member, rank + 1);
      } else {
        set.remove(member, rank);
        set.add(member);
        model.set(member, RANK.stranger);
      }
      assert.equal(set.size, model.size);
      for (const wanted of Object.values(RANK)) {
        const expected = [...model].filter(([, rank]) => rank === wanted).map(([member]) => member);
        const found = Array.from({ length: set.count(wanted) }, (_, index) => set.at(wanted, index));
        assert.deepEqual(found.sort((a, b) => a - b), expected.sort((a, b) => a - b));
      }
    }
  }));
});

Deno.test("PortPool gives every port once, and the one that was given back first comes back first", () => {
  const pool = new PortPool(100, { below: (bound) => 12345 % bound });
  const taken = Array.from({ length: 100 }, (_, session) => pool.take(session));
  assert.deepEqual([...taken].sort((a, b) => a - b), Array.from({ length: 100 }, (_, port) => port));
  assert.equal(pool.take(7), -1);
  assert.equal(pool.free, 0);
  taken.forEach((port, session) => assert.equal(pool.ownerOf(port), session));
  pool.give(taken[40]!, RANK.stranger);
  pool.give(taken[3]!, RANK.stranger);
  assert.equal(pool.ownerOf(taken[3]!), -1);
  assert.equal(pool.take(200), taken[40]);
  assert.equal(pool.take(201), taken[3]);
  assert.equal(pool.ownerOf(taken[3]!), 201);
});

Deno.test("PortPool's first ports are in no order that can be guessed without the random numbers", () => {
  const orderOf = (seed: number): number[] => {
    const pool = new PortPool(1000, new Random(seed));
    return Array.from({ length: 1000 }, (_, session) => pool.take(session));
  };
  const [one, other] = [orderOf(1001), orderOf(2003)];
  const same = one.filter((port, index) => port === other[index]).length;
  assert.ok(same < 20, `${same} of 1,000 at the same place`);
});
