import assert from "node:assert/strict";
import { Batch, BATCH_SIZE, DISPOSAL } from "./batch.ts";
import { PARK_MAX, Parking } from "./parking.ts";

const { park, recycle, transmit } = DISPOSAL;

/** A batch with packets at these addresses; each is as long as its address says. */
function batchOf(addrs: readonly number[], disposal: number = park): Batch {
  const batch = new Batch();
  addrs.forEach((addr, index) => {
    batch.addr[index] = addr;
    batch.length[index] = addr + 1000;
    batch.disposal[index] = disposal;
  });
  batch.count = addrs.length;
  return batch;
}

/** Takes packets out; sees that each kept its length. */
function take(parking: Parking, port: number, sinceMs: number): number[] {
  const batch = new Batch();
  parking.takeInto(batch, port, sinceMs);
  const addrs = [...batch.addr.subarray(0, batch.count)];
  assert.deepEqual([...batch.length.subarray(0, batch.count)], addrs.map((addr) => addr + 1000));
  return addrs;
}

const upTo = (count: number, first = 0): number[] => Array.from({ length: count }, (_, index) => first + index);

Deno.test("Parking keeps of a batch what is to be parked, and nothing else", () => {
  const parking = new Parking();
  const batch = batchOf([1, 2, 3, 4]);
  batch.disposal.set([recycle, park, transmit, park]);
  batch.disposal[4] = park; // left there by a longer batch
  parking.keep(batch, 0, 5);
  assert.equal(parking.count, 2);
  assert.deepEqual(take(parking, 0, Infinity), [2, 4]);
  assert.equal(parking.count, 0);
});

Deno.test("Parking gives packets back by port, in the order in which they came", () => {
  const parking = new Parking();
  for (const [port, addr] of [[0, 1], [1, 2], [0, 3], [2, 4], [1, 5], [0, 6]] as const) {
    parking.keep(batchOf([addr]), port, addr);
  }
  assert.deepEqual(take(parking, 1, Infinity), [2, 5]);
  assert.deepEqual(take(parking, 3, Infinity), []);
  assert.deepEqual(take(parking, 0, Infinity), [1, 3, 6]);
  assert.deepEqual(take(parking, 2, Infinity), [4]);
  assert.equal(parking.count, 0);
});

Deno.test("Parking gives those back that have waited since a time or longer", () => {
  const parking = new Parking();
  for (const ms of [10, 20, 30]) parking.keep(batchOf([ms]), 0, ms);
  assert.deepEqual(take(parking, 0, 9), []);
  assert.deepEqual(take(parking, 0, 20), [10, 20]);
  assert.deepEqual(take(parking, 0, 29), []);
  assert.deepEqual(take(parking, 0, 30), [30]);
});

Deno.test("Parking counts three seconds as long enough", () => {
  const parking = new Parking();
  parking.keep(batchOf([1]), 0, 500);
  assert.deepEqual(take(parking, 0, Parking.overSince(3499)), []);
  assert.deepEqual(take(parking, 0, Parking.overSince(3500)), [1]);
});

Deno.test("Parking keeps on what still has to wait, since the time at which it came first", () => {
  const parking = new Parking();
  for (const ms of [10, 20, 30]) parking.keep(batchOf([ms]), 0, ms);
  const batch = new Batch();
  parking.takeInto(batch, 0, Infinity);
  batch.disposal.set([park, recycle, park]);
  parking.keepOn(batch, 0);
  assert.equal(parking.count, 2);
  assert.deepEqual(take(parking, 0, 29), [10]);
  assert.deepEqual(take(parking, 0, 30), [30]);
});

Deno.test("Parking has room for whole batches up to its limit, and room again for what is taken out", () => {
  const parking = new Parking();
  assert.ok(parking.hasRoom(BATCH_SIZE));
  parking.keep(batchOf(upTo(PARK_MAX - 3)), 0, 1);
  assert.ok(parking.hasRoom(3));
  assert.ok(!parking.hasRoom(4));
  parking.keep(batchOf(upTo(3, PARK_MAX - 3)), 1, 2);
  assert.ok(!parking.hasRoom(1));
  assert.deepEqual(take(parking, 0, 1), upTo(PARK_MAX - 3));
  assert.ok(parking.hasRoom(PARK_MAX - 3));
  assert.deepEqual(take(parking, 1, Infinity), upTo(3, PARK_MAX - 3));
});
