import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { WorkerProgress } from "./progress.ts";

/** Two loops that turn when they are woken, unless they are frozen. */
class Loops {
  readonly count = 2;
  readonly turned = [0, 0];
  readonly woken = [0, 0];
  readonly frozen = new Set<number>();

  turns(worker: number): number {
    return this.turned[worker]!;
  }

  wake(worker: number): void {
    this.woken[worker]!++;
    if (!this.frozen.has(worker)) this.turned[worker]!++;
  }

  readonly hung: number[] = [];
  /** By worker: CPU time of a frozen one that it has at each look. */
  cpuMsPerLook = 0;
  waiting = false;
  expected = true;
  #cpuMs = 0;

  isExpected(): boolean {
    return this.expected;
  }

  cpuMs(): number {
    return this.#cpuMs += this.cpuMsPerLook;
  }

  waits(): boolean {
    return this.waiting;
  }

  onHang(worker: number): void {
    this.hung.push(worker);
  }

  reason(worker: number): string {
    return `its thread ${worker} is stopped`;
  }
}

function watched(): { loops: Loops; timers: FakeTimers; progress: WorkerProgress } {
  const [loops, timers] = [new Loops(), new FakeTimers()];
  return { loops, timers, progress: new WorkerProgress(loops, timers) };
}

Deno.test("WorkerProgress takes a loop that sleeps for well, and wakes it a few times a second at most", async () => {
  const { loops, timers, progress } = watched();
  await timers.pass(60_000);
  for (const worker of [0, 1]) {
    assert.deepEqual([progress.isStalled(worker), progress.stoodStill(worker), progress.stillMs(worker)], [
      false,
      false,
      0,
    ]);
    assert.ok(loops.woken[worker]! <= 150, `${loops.woken[worker]}`);
  }
});

Deno.test("WorkerProgress does not wake a loop that turns by itself", async () => {
  const { loops, timers } = watched();
  for (let tenth = 0; tenth < 100; tenth++) {
    loops.turned[0]!++;
    await timers.pass(100);
  }
  assert.equal(loops.woken[0], 0);
});

Deno.test("WorkerProgress sees within 1.2 s that a loop stands still, and at the next look that it goes on", async () => {
  const { loops, timers, progress } = watched();
  await timers.pass(1100);
  loops.frozen.add(1);
  await timers.pass(1300);
  assert.deepEqual([progress.isStalled(0), progress.isStalled(1)], [false, true]);
  await timers.pass(2000);
  loops.frozen.clear();
  await timers.pass(400);
  assert.equal(progress.isStalled(1), false);
  assert.ok(progress.stillMs(1) >= 2800 && progress.stillMs(1) <= 3400, `${progress.stillMs(1)}`);
  assert.deepEqual([progress.stoodStill(0), progress.stoodStill(1)], [false, true]);
  await timers.pass(10_000);
  assert.equal(progress.stoodStill(1), false);
});

Deno.test("WorkerProgress gives up after 30 s, and says why the thread does not run", async () => {
  const { loops, timers, progress } = watched();
  let failure: unknown;
  progress.failure.catch((error) => failure = error);
  loops.frozen.add(0);
  await timers.pass(29_000);
  assert.equal(failure, undefined);
  await timers.pass(3000);
  assert.match(`${failure}`, /Worker 0 has not run for 30 s: its thread 0 is stopped/);
});

Deno.test("WorkerProgress does not count time in which it could not look itself", () => {
  const loops = new Loops();
  let now = 0;
  const timers = new FakeTimers();
  const progress = new WorkerProgress(loops, { ...timers, now: () => now, every: timers.every.bind(timers) } as never);
  loops.frozen.add(0);
  progress.look();
  now = 60_000; // the whole process was stopped
  progress.look();
  assert.equal(progress.isStalled(0), false);
  assert.equal(progress.stillMs(0), 400);
});

Deno.test("WorkerProgress stops looking when it is disposed of", () => {
  const { timers, progress } = watched();
  progress[Symbol.dispose]();
  assert.equal(timers.count, 0);
});

Deno.test("WorkerProgress tells of a loop that hangs, and not of one that has no CPU, or is not expected to turn", async () => {
  // Milliseconds after which it is not told yet, and after which it is.
  for (
    const [change, notYetMs, hangsMs] of [
      [{ cpuMsPerLook: 150 }, 500, 1000],
      [{ waiting: true }, 2000, 3000],
      [{ cpuMsPerLook: 10 }, 2000, Infinity],
      [{ waiting: true, expected: false }, 10_000, Infinity],
    ] as const
  ) {
    const { loops, timers } = watched();
    Object.assign(loops, change);
    loops.frozen.add(1);
    await timers.pass(notYetMs);
    assert.deepEqual(loops.hung, [], JSON.stringify(change));
    if (hangsMs === Infinity) continue;
    await timers.pass(hangsMs - notYetMs);
    assert.equal(loops.hung[0], 1, JSON.stringify(change));
  }
});
