import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import type { SenderReading } from "../steering/senders.ts";
import { type SenderCounts, SourceWatch } from "./source_watch.ts";

/** Counts that the test moves. */
class FakeCounts implements SenderCounts {
  packets = 0;
  closed = false;
  fails = false;

  read(): SenderReading {
    if (this.fails) throw new Error("EPERM");
    const { packets } = this;
    return [[{ prefix: "c0000201", rule: 1, packets, inherited: 0, bytes: 100 * packets }]];
  }

  [Symbol.dispose](): void {
    this.closed = true;
  }
}

class Rig implements Disposable {
  readonly timers = new FakeTimers();
  readonly opened: FakeCounts[] = [];
  readonly log = new LogRecords();
  readonly watch = new SourceWatch({
    timers: this.timers,
    open: () => this.opened[this.opened.push(new FakeCounts()) - 1]!,
  });

  [Symbol.dispose](): void {
    this.watch[Symbol.dispose]();
    this.log[Symbol.dispose]();
  }
}

Deno.test("SourceWatch counts from the first question until ten seconds after the last", async () => {
  using rig = new Rig();
  await rig.timers.pass(5000);
  assert.deepEqual([rig.opened.length, rig.watch.isOn, rig.timers.count], [0, false, 0], "nobody has asked");
  const asked = rig.watch.ask();
  const [counts] = rig.opened;
  counts!.packets = 7;
  await rig.timers.pass(1000);
  assert.deepEqual(await asked, {
    intervalMs: 1000,
    packets: 7,
    senders: [{ source: "192.0.2.1", rule: 1, packets: 7, bytes: 700 }],
  });
  counts!.packets = 9;
  await rig.timers.pass(1000);
  assert.equal((await rig.watch.ask()).packets, 2);
  await rig.timers.pass(9000);
  assert.ok(rig.watch.isOn);
  await rig.timers.pass(3000);
  assert.deepEqual([rig.watch.isOn, counts!.closed, rig.timers.count], [false, true, 0]);
  void rig.watch.ask().catch(() => {});
  assert.equal(rig.opened.length, 2, "from zero again");
});

Deno.test("SourceWatch ends where counts cannot be read, and says so to who waits", async () => {
  using rig = new Rig();
  const asked = rig.watch.ask();
  asked.catch(() => {});
  rig.opened[0]!.fails = true;
  await rig.timers.pass(1000);
  await assert.rejects(asked, /EPERM/);
  assert.deepEqual([rig.watch.isOn, rig.opened[0]!.closed], [false, true]);
  assert.match(rig.log.lines.join(), /Cannot read who sends most: EPERM/);
});

Deno.test("SourceWatch lets nobody wait for a process that stops", async () => {
  using rig = new Rig();
  const asked = rig.watch.ask();
  rig.watch[Symbol.dispose]();
  await assert.rejects(asked, /stopping/);
  await assert.rejects(rig.watch.ask(), /stopped/);
});
