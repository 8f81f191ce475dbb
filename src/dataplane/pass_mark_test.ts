import assert from "node:assert/strict";
import { Batch, DISPOSAL } from "./batch.ts";
import { Parking } from "./parking.ts";
import { PassMark } from "./pass_mark.ts";

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

/** One packet that is to wait. */
function parked(): Batch {
  const batch = new Batch();
  batch.count = 1;
  batch.disposal[0] = DISPOSAL.park;
  return batch;
}

Deno.test("PassMark.look() waits until every ring is past what it held when it was asked", () => {
  const mark = new PassMark();
  const parking = new Parking();
  const rings = [new Ring(), new Ring()];
  assert.ok(!mark.pending);
  rings[1]!.produced = 10;
  mark.note(5, rings);
  rings[0]!.produced = rings[1]!.produced = 30; // what came later is not waited for
  for (rings[1]!.consumed = 0; rings[1]!.consumed < 10; rings[1]!.consumed++) {
    assert.ok(!mark.look(rings, parking, 1));
    assert.ok(mark.pending);
  }
  assert.ok(mark.look(rings, parking, 1));
  assert.deepEqual([mark.pending, mark.asked], [false, 5]);
});

Deno.test("PassMark.look() waits for packets that were parked until the rings were passed, and for none parked later", () => {
  const mark = new PassMark();
  const parking = new Parking();
  const ring = new Ring();
  ring.produced = 1;
  parking.keep(parked(), 0, 100);
  mark.note(1, [ring]);
  assert.ok(!mark.look([ring], parking, 200));
  parking.keep(parked(), 0, 250); // the one that was in the ring
  ring.consumed = 1;
  assert.ok(!mark.look([ring], parking, 300));
  parking.keep(parked(), 0, 350);
  const batch = new Batch();
  parking.takeInto(batch, 0, 100);
  assert.ok(!mark.look([ring], parking, 400));
  batch.disposal[0] = DISPOSAL.park;
  parking.keepOn(batch, 0);
  parking.takeInto(batch, 0, 99);
  assert.equal(batch.count, 0);
  assert.ok(!mark.look([ring], parking, 400), "it is decided on again, and still waits");
  parking.takeInto(batch, 0, 300);
  assert.equal(batch.count, 2);
  assert.ok(mark.look([ring], parking, 400));
});
