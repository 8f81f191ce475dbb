/** In which place lists are built, and when they come into force. */
import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { ChangeQueue } from "../engine/change_queue.ts";
import { SteerError } from "../errors.ts";
import type { GuardSettings, SourceList } from "../steering/guard.ts";
import type { Rule } from "../steering/rule.ts";
import type { SourceBuilder } from "./builders.ts";
import { SourceGuard } from "./source_guard.ts";

const LIST: SourceList = {
  ...{ name: "a", entries: [], file: "/a", url: null, interval: 3600, onBadLine: "skip", widePrefixes: false },
};
const RULES = [{ name: "r", sources: { allow: ["192.0.2.0/24"], deny: [] } }] as unknown as readonly Rule[];
const settings = (...deny: string[]): GuardSettings => ({ guard: { allow: [], deny }, lists: [LIST] });

class Rig {
  readonly timers = new FakeTimers();
  /** What was done, in order. */
  readonly done: string[] = [];
  fails = false;
  changed = (): void => {};
  readonly guard: SourceGuard;

  constructor() {
    const done = this.done;
    const builder = (): SourceBuilder & { readonly hasFailed: boolean } => ({
      build: ({ place }) => {
        done.push(`build ${place}`);
        return this.fails ? Promise.reject(new SteerError("no memory")) : Promise.resolve();
      },
      clear: (place) => Promise.resolve(void done.push(`clear ${place}`)),
      keep: (lists) => void done.push(`keep ${lists.length}`),
      reports: [],
      hasFailed: false,
      [Symbol.dispose]: () => void done.push("end"),
    });
    this.guard = new SourceGuard({
      ...{ entry: new URL("file:///entry"), maps: {} as never, directory: "/nowhere", timers: this.timers },
      queue: new ChangeQueue(),
      use: (place) => void done.push(`use ${place}`),
      settled: () => Promise.resolve(),
      builders: {
        here: builder,
        thread: ({ onChange }) => {
          this.changed = onChange;
          return builder();
        },
      },
    });
  }

  /** What was done since the last call. */
  async took(): Promise<string[]> {
    await this.timers.pass(0);
    return this.done.splice(0);
  }
}

Deno.test("lists are built in a place that no packet reads, and their former place is given back after the flip", async () => {
  const rig = new Rig();
  const first = await rig.guard.prepare(RULES, settings("a"));
  assert.deepEqual(await rig.took(), ["build 1"]);
  assert.equal(rig.guard.current.policiesOf(RULES[0]!), 0n, "nothing is in force before the flip");
  first.flip();
  assert.equal(rig.guard.current.policiesOf(RULES[0]!), 0b11n);
  assert.deepEqual(await rig.took(), ["keep 1", "clear 0"]);

  const same = await rig.guard.prepare(RULES, settings("a"));
  same.flip();
  assert.deepEqual(await rig.took(), [], "the same is not built again");

  const other = await rig.guard.prepare([], settings("a", "192.0.2.1"));
  const [build] = await rig.took();
  assert.ok(build?.startsWith("build") && build !== "build 1", build);
  other.flip();
  assert.equal(rig.guard.current.policiesOf({} as Rule), 0b1n);
  assert.deepEqual(await rig.took(), ["keep 1", "clear 1"]);
  await rig.guard[Symbol.asyncDispose]();
});

Deno.test("lists that change are built and used without their rules; what fails stays, and is tried again", async () => {
  const rig = new Rig();
  (await rig.guard.prepare(RULES, settings("a"))).flip();
  await rig.took();
  const before = rig.guard.current.place;
  rig.changed();
  const [build, use, ...rest] = await rig.took();
  const { place } = rig.guard.current;
  assert.notEqual(place, before);
  assert.deepEqual([build, use, ...rest], [`build ${place}`, `use ${place}`, "keep 1", `clear ${before}`]);

  using logs = new LogRecords();
  rig.fails = true;
  rig.changed();
  assert.ok((await rig.took()).every((line) => line.startsWith("build")));
  assert.equal(rig.guard.current.place, place);
  assert.ok(logs.lines.some((message) => message.includes("no memory")), `${logs.lines}`);
  rig.fails = false;
  await rig.timers.pass(5000);
  assert.notEqual(rig.guard.current.place, place);
  await rig.guard[Symbol.asyncDispose]();
});

Deno.test("a change that is taken back leaves what was in force", async () => {
  const rig = new Rig();
  (await rig.guard.prepare(RULES, settings("a"))).flip();
  const { current } = rig.guard;
  (await rig.guard.prepare([], settings())).back();
  assert.equal(rig.guard.current, current);
  rig.fails = true;
  await assert.rejects(rig.guard.prepare([], settings("192.0.2.1")), /no memory/);
  assert.equal(rig.guard.current, current);
  await rig.guard[Symbol.asyncDispose]();
});

Deno.test("a denied prefix that is a large part of the internet is told when it comes into force, once", async () => {
  const rig = new Rig();
  using logs = new LogRecords();
  (await rig.guard.prepare(RULES, settings("0.0.0.0/0"))).flip();
  (await rig.guard.prepare([], settings("0.0.0.0/0", "192.0.2.1"))).flip();
  await rig.took();
  const told = logs.lines.filter((message) => message.includes("is wider than /8"));
  assert.equal(told.length, 1, `${logs.lines}`);
  await rig.guard[Symbol.asyncDispose]();
});
