import assert from "node:assert/strict";
import { LOOP_COUNTERS, PAUSES_AT, SLEEPS_AT, SPUN_MS_AT } from "./counters.ts";
import { Idle, type WaitMode } from "./idle.ts";
import { REST, type Rest } from "./queue_end.ts";

/** Turns until 30 microseconds have passed: one look at the clock in 128. */
const SPIN_TURNS = 31 * 128 + 1;

/** A clock that moves when told to, ends that allow what they are told to, and a record of the sleeps. */
class Rig {
  readonly values = new Float64Array(LOOP_COUNTERS.length);
  readonly sleeps: number[] = [];
  readonly elapsed = new Float64Array(1);
  nowMs = 0;
  /** Time that passes at each look at the clock, and in each sleep. */
  lookMs = 2 ** -10; // exact, so that sums are
  sleepMs = 50;
  rest: Rest = REST.full;
  wakesFill = false;
  readonly idle: Idle;
  #markMs = 0;

  constructor(wait: WaitMode) {
    const waiter = {
      wait: (timeoutMs: number) => {
        this.sleeps.push(timeoutMs);
        if (timeoutMs !== 0) this.nowMs += this.sleepMs;
      },
      mark: () => void (this.#markMs = this.nowMs),
      readElapsed: () => {
        this.nowMs += this.lookMs;
        this.elapsed[0] = this.nowMs - this.#markMs;
        this.#markMs = this.nowMs;
      },
      elapsed: this.elapsed,
    };
    const ends = { rest: () => this.rest, fillNeedsWakeup: () => this.wakesFill };
    this.idle = new Idle(wait, waiter, ends, this.values);
  }

  /** Empty turns until one sleeps, at most `limit`. @returns How many there were. */
  emptyUntilSleep(limit: number, waiting = false): number {
    const slept = this.sleeps.length;
    for (let turn = 1; turn <= limit; turn++) {
      this.idle.empty();
      this.idle.pass(waiting);
      if (this.sleeps.length > slept) return turn;
    }
    return Infinity;
  }
}

Deno.test("Idle sleeps at the first empty turn in mode poll, until it is woken", () => {
  const rig = new Rig("poll");
  assert.equal(rig.emptyUntilSleep(10), 1);
  assert.deepEqual(rig.sleeps, [-1]);
  assert.equal(rig.values[SLEEPS_AT], 1);
});

Deno.test("Idle never sleeps in mode busy, counts the time it spun, and says when time has passed", () => {
  const rig = new Rig("busy");
  let looks = 0;
  for (let turn = 0; turn < 1280; turn++) {
    rig.idle.empty();
    if (rig.idle.pass(false)) looks++;
  }
  assert.deepEqual(rig.sleeps, []);
  assert.equal(looks, 10);
  assert.ok(Math.abs(rig.values[SPUN_MS_AT]! - 10 * rig.lookMs) < 1e-9);
});

Deno.test("Idle spins for 30 microseconds in mode adaptive, and not before the next sleep if this one was long", () => {
  const rig = new Rig("adaptive");
  assert.equal(rig.emptyUntilSleep(100_000), SPIN_TURNS);
  rig.idle.received(1);
  assert.equal(rig.emptyUntilSleep(100_000), 1);
  rig.sleepMs = 0.01; // what comes after 10 microseconds is worth spinning for
  rig.idle.received(1);
  assert.equal(rig.emptyUntilSleep(100_000), 1);
  rig.idle.received(1);
  assert.equal(rig.emptyUntilSleep(100_000), SPIN_TURNS);
});

Deno.test("Idle times one sleep in sixteen after large batches", () => {
  const rig = new Rig("adaptive");
  rig.emptyUntilSleep(100_000);
  rig.sleepMs = 0.01;
  for (let sleep = 1; sleep <= 16; sleep++) {
    rig.idle.received(64);
    assert.equal(rig.emptyUntilSleep(100_000), 1, `sleep ${sleep}`);
  }
  rig.idle.received(64);
  assert.equal(rig.emptyUntilSleep(100_000), SPIN_TURNS);
});

Deno.test("Idle sleeps as long as its ends allow", () => {
  for (
    const { rest, looksUp, waiting, ms } of [
      { rest: REST.full, looksUp: false, waiting: false, ms: -1 },
      { rest: REST.full, looksUp: true, waiting: false, ms: 100 },
      { rest: REST.limited, looksUp: false, waiting: false, ms: 100 },
      { rest: REST.short, looksUp: false, waiting: false, ms: 1 },
      { rest: REST.full, looksUp: true, waiting: true, ms: 1 },
    ]
  ) {
    const rig = new Rig("poll");
    rig.rest = rest;
    rig.idle.looksUp = looksUp;
    assert.equal(rig.emptyUntilSleep(1, waiting), 1);
    assert.deepEqual(rig.sleeps, [ms]);
  }
});

Deno.test("Idle does not sleep while chunks wait to be moved, but tells a driver of its fill ring", () => {
  const rig = new Rig("poll");
  rig.rest = REST.none;
  assert.equal(rig.emptyUntilSleep(1000), Infinity);
  rig.wakesFill = true;
  assert.equal(rig.emptyUntilSleep(1000), 1);
  assert.deepEqual(rig.sleeps, [0]);
  assert.equal(rig.values[SLEEPS_AT], 0);
});

Deno.test("Idle spins as long as ever where a driver does not stop asking to be told of its fill ring", () => {
  const rig = new Rig("adaptive");
  rig.wakesFill = true;
  let turns = 0;
  while (rig.values[SLEEPS_AT] === 0 && turns++ < 100_000) {
    rig.idle.empty();
    rig.idle.pass(false);
  }
  assert.equal(turns, SPIN_TURNS);
});

Deno.test("Idle counts a spin that did not get round for a millisecond as a pause", () => {
  const rig = new Rig("busy");
  rig.lookMs = 1.5;
  for (let turn = 0; turn < 128; turn++) {
    rig.idle.empty();
    rig.idle.pass(false);
  }
  assert.equal(rig.values[PAUSES_AT], 1);
});
