import assert from "node:assert/strict";
import { NO_RULE } from "../steering/slots.ts";
import { SoleRule } from "./sole_rule.ts";

/** An rx ring: packets put in, and packets taken. */
class Ring {
  produced = 0;
  consumed = 0;
  #mark = 0;

  markReceived(): void {
    this.#mark = this.produced;
  }

  get isPastMark(): boolean {
    return this.consumed >= this.#mark;
  }
}

Deno.test("SoleRule is in force when every ring is past what it held when it was noted", () => {
  const sole = new SoleRule();
  const rings = [new Ring(), new Ring()];
  assert.ok(!sole.settling);
  rings[1]!.produced = 10;
  sole.note(5, rings);
  rings[0]!.produced = rings[1]!.produced = 30; // those of the new generation
  for (rings[1]!.consumed = 0; rings[1]!.consumed < 10; rings[1]!.consumed++) {
    sole.settle(rings);
    assert.equal(sole.slot, NO_RULE);
    assert.ok(sole.settling);
  }
  sole.settle(rings);
  assert.equal(sole.slot, 5);
  assert.ok(!sole.settling);
});

Deno.test("SoleRule.note() ends it at once, and the same rule again is no change", () => {
  const sole = new SoleRule();
  const ring = new Ring();
  sole.note(5, [ring]);
  sole.settle([ring]);
  ring.produced = 10;
  sole.note(5, [ring]);
  assert.equal(sole.slot, 5);
  sole.note(NO_RULE, [ring]);
  assert.equal(sole.slot, NO_RULE);
  assert.ok(!sole.settling);
  sole.note(5, [ring]);
  sole.settle([ring]);
  assert.equal(sole.slot, NO_RULE);
});
