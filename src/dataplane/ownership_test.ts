import assert from "node:assert/strict";
import { NOBODY, Ownership, ownershipBytes, Tenure } from "./ownership.ts";

const WORKERS = 2;
const [OLD, NEW] = [1, 2] as const;

/** Ends of two workers, and what each process's workers do. */
function setUp(): {
  ownership: Ownership;
  tenure: (process: number) => Tenure;
  woken: number[];
  clock: { ms: number };
} {
  const ownership = new Ownership(new SharedArrayBuffer(ownershipBytes(WORKERS)));
  const woken: number[] = [];
  const clock = { ms: 1000 };
  const tenure = (process: number): Tenure =>
    new Tenure(ownership, 1, process, () => clock.ms, () => woken.push(process));
  return { ownership, tenure, woken, clock };
}

Deno.test("a worker's ends have one owner at any time: nobody takes them before they are given up", () => {
  const { ownership, tenure, woken, clock } = setUp();
  const [old, next] = [tenure(OLD), tenure(NEW)];
  ownership.want(1, OLD);
  assert.equal(next.take(), false, "nobody takes what is not for him");
  assert.equal(old.take(), true);
  assert.deepEqual([old.isDue, next.isDue], [false, false]);
  ownership.want(1, NEW);
  assert.deepEqual([old.isDue, next.isDue], [true, true]);
  assert.equal(next.take(), false, "the other one still has them");
  old.release();
  assert.deepEqual([ownership.owner(1), old.holds, woken], [NOBODY, false, [OLD]]);
  clock.ms += 3;
  assert.equal(next.take(), true);
  next.taken();
  assert.deepEqual([ownership.owner(1), ownership.gapMs(1), old.take()], [NEW, 3, false]);
  assert.equal(ownership.owner(0), NOBODY, "other workers' ends are others");
});

Deno.test("what a process had that has ended can be taken back, and nothing else", () => {
  const { ownership, tenure } = setUp();
  const [old, next] = [tenure(OLD), tenure(NEW)];
  ownership.want(1, OLD);
  old.take();
  ownership.want(1, NEW);
  old.release();
  next.take();
  ownership.want(0, OLD);
  ownership.take(0, OLD);
  ownership.want(1, OLD);
  assert.equal(old.take(), false, "it may still touch them");
  ownership.bury(WORKERS, NEW);
  assert.deepEqual([ownership.owner(0), old.take()], [OLD, true]);
});
