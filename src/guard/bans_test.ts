import assert from "node:assert/strict";
import { SteerError } from "../errors.ts";
import { parseAddress } from "../packet/address.ts";
import { FakeBanTable } from "../../tests/support/fake_bans.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { type Ban, type BanOrder, Bans } from "./bans.ts";

class Rig implements Disposable {
  readonly timers = new FakeTimers();
  readonly table = new FakeBanTable();
  applied = 0;
  fails = false;
  kept = 0;
  onDisk = 0;
  readonly bans = new Bans({
    table: this.table,
    own: () => ({ own: ["192.0.2.2", "2001:db8::2"].map(parseAddress), broadcasts: [] }),
    ruleNames: () => ["game", "dns"],
    apply: () => {
      if (this.fails) return Promise.reject(new SteerError("no"));
      this.applied++;
      return Promise.resolve();
    },
    keep: () => this.kept++,
    kept: () => Promise.resolve(void (this.onDisk = this.kept)),
    timers: this.timers,
  });

  add(prefix: string, order: Partial<BanOrder> = {}): Promise<Ban> {
    return this.bans.add({ prefix, rule: null, seconds: null, by: "ann", reason: null, force: false, ...order });
  }

  get inKernel(): string[] {
    return [...this.table.bans.keys()];
  }

  [Symbol.dispose](): void {
    this.bans[Symbol.dispose]();
  }
}

Deno.test("rules are put in force anew only where they begin or cease to have bans", async () => {
  using rig = new Rig();
  assert.equal(rig.bans.of("game"), undefined);
  await rig.add("203.0.113.7");
  await rig.add("203.0.113.8");
  assert.equal(rig.applied, 1);
  assert.deepEqual([rig.kept, rig.onDisk], [2, 2]);
  assert.deepEqual(rig.bans.of("game"), { forAll: true, scope: 0 });
  await rig.add("203.0.113.9", { rule: "game" });
  await rig.add("2001:db8:7::/48", { rule: "game" });
  assert.equal(rig.applied, 2);
  assert.deepEqual([rig.bans.of("game"), rig.bans.of("dns")], [{ forAll: true, scope: 1 }, { forAll: true, scope: 0 }]);
  assert.deepEqual(rig.inKernel, ["0 203.0.113.7/32", "0 203.0.113.8/32", "1 203.0.113.9/32", "1 2001:db8:7::/48"]);
  for (const prefix of ["203.0.113.7", "203.0.113.8"]) await rig.bans.remove(prefix, null, "ann");
  assert.equal(rig.applied, 3);
  for (const prefix of ["203.0.113.9", "2001:db8:7::/48"]) await rig.bans.remove(prefix, "game", "ann");
  assert.deepEqual([rig.applied, rig.bans.of("game"), rig.inKernel], [4, undefined, []]);
});

Deno.test("a ban is over when its time is, and can be set anew before", async () => {
  using rig = new Rig();
  await rig.add("203.0.113.7", { seconds: 60 });
  await rig.add("203.0.113.8", { seconds: 150 });
  await rig.timers.pass(59_000);
  await rig.add("203.0.113.7", { seconds: 60, reason: "again" });
  await rig.timers.pass(59_000);
  assert.deepEqual(rig.bans.all().map(({ prefix, reason }) => [prefix, reason]), [
    ["203.0.113.7", "again"],
    ["203.0.113.8", null],
  ]);
  await rig.timers.pass(2000);
  assert.deepEqual(rig.inKernel, ["0 203.0.113.8/32"]);
  await rig.timers.pass(31_000);
  assert.deepEqual([rig.inKernel, rig.bans.of("game")], [[], undefined]);
});

Deno.test("a ban that could not be put in force is tried again", async () => {
  using rig = new Rig();
  rig.fails = true;
  await assert.rejects(rig.add("203.0.113.7"));
  await rig.timers.pass(1000);
  rig.fails = false;
  assert.equal(rig.applied, 0);
  await rig.timers.pass(1000);
  assert.equal(rig.applied, 1);
  await rig.timers.pass(5000);
  assert.equal(rig.applied, 1);
});

Deno.test("nobody bans the world or this machine by a slip", async () => {
  using rig = new Rig();
  for (
    const [prefix, message] of [
      ["11.0.0.0/7", /does not|bits set/],
      ["10.0.0.0/7", /wider than \/8/],
      ["2001:d00::/24", /wider than \/32/],
      ["192.0.2.2", /is an address of this machine/],
      ["2001:db8::2/128", /is an address of this machine/],
      ["127.0.0.1", /is an address of this machine/],
      ["0.0.0.0", /is an address of this machine/],
      ["::1", /is an address of this machine/],
      ["203.0.113.7/33", /out of range/],
      ["all", /./],
      ["", /./],
    ] as const
  ) await assert.rejects(rig.add(prefix), message, prefix);
  assert.deepEqual(rig.inKernel, []);
  await rig.add("10.0.0.0/7", { force: true });
  await rig.add("192.0.2.0/24");
  assert.deepEqual(rig.inKernel, ["0 10.0.0.0/7", "0 192.0.2.0/24"]);
});

Deno.test("a source that sends more than its limit is banned from the rule, once", async () => {
  using rig = new Rig();
  for (let time = 0; time < 3; time++) rig.bans.ban(parseAddress("203.0.113.77"), 24, "dns", 60);
  rig.bans.ban(parseAddress("2001:db8:5:6:7::8"), 64, "dns", 60);
  rig.bans.ban(parseAddress("192.0.2.2"), 32, "dns", 60);
  await rig.timers.pass(0);
  assert.deepEqual(rig.bans.all().map(({ prefix, rule, by, origin }) => [prefix, rule, by, origin]), [
    ["203.0.113.0/24", "dns", "limit of rule dns", "limit"],
    ["2001:db8:5:6::/64", "dns", "limit of rule dns", "limit"],
  ]);
  assert.deepEqual(rig.bans.counts, { operator: 0, limit: 2 });
});

Deno.test("bans that were kept are in force again, but for those that are over", async () => {
  using before = new Rig();
  await before.add("203.0.113.7", { seconds: 60 });
  await before.add("203.0.113.8", { rule: "game", seconds: 600 });
  await before.add("203.0.113.9");
  assert.equal(before.kept, 3);
  using rig = new Rig();
  await rig.timers.pass(61_000);
  await rig.bans.restore(JSON.parse(JSON.stringify(before.bans.all())));
  assert.deepEqual(rig.inKernel, ["1 203.0.113.8/32", "0 203.0.113.9/32"]);
  assert.equal(rig.applied, 1);
});

Deno.test("a ban that is over and cannot be lifted is told once, stays listed, and is tried again", async () => {
  using logs = new LogRecords();
  using rig = new Rig();
  await rig.add("203.0.113.7", { seconds: 10 });
  rig.table.fault = new SteerError("no");
  await rig.timers.pass(13_000);
  assert.equal(rig.bans.list().length, 1);
  const told = (): string[] => logs.lines.filter((line) => line.includes("is over"));
  assert.deepEqual(told(), ["error: The ban of 203.0.113.7 is over, and cannot be lifted: no"]);
  rig.table.fault = undefined;
  await rig.timers.pass(1000);
  assert.deepEqual([rig.bans.list(), rig.inKernel], [[], []]);
  assert.equal(told().at(-1), "info: The ban of 203.0.113.7 is over");
});
