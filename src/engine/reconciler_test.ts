import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { type ComparedInterface, Reconciler, type Repaired } from "./reconciler.ts";

/** An interface of which the test says what the kernel has. */
class FakeInterface {
  readonly name = "eth0";
  condition: ComparedInterface["condition"] = { state: "attached", since: "", why: "" };
  newQueues: readonly number[] = [];
  /** What the device has by now, without sockets. */
  added: readonly number[] = [];
  uncovered = 0;
  /** Sockets that are missing in the map. */
  missing = 0;
  answersDetached = false;
  hasNoQueues = false;

  noteQueues(): void {
    if (this.hasNoQueues) throw new Error("no queues are listed");
    this.newQueues = this.added;
  }

  uncoveredPackets(): number {
    return this.uncovered;
  }

  repairAnswers(): boolean {
    const { answersDetached } = this;
    this.answersDetached = false;
    return answersDetached;
  }

  refillXskMap(): number {
    const { missing } = this;
    this.missing = 0;
    return missing;
  }
}

class Rig implements Disposable {
  readonly timers = new FakeTimers();
  readonly log = new LogRecords();
  readonly eth0 = new FakeInterface();
  found: { control?: string; ports?: string } = {};
  fails = false;
  failure: unknown;
  readonly reconciler = new Reconciler({
    interfaces: [this.eth0],
    timers: this.timers,
    portTable: {
      repair: () => {
        if (this.fails) throw new Error("EPERM");
        const { found } = this;
        this.found = {};
        return found;
      },
    },
  });

  constructor() {
    this.reconciler.failure.catch((error) => this.failure = error);
  }

  get counts(): Readonly<Record<Repaired, number>> {
    return Object.fromEntries(this.reconciler.repairs().map(({ what, count }) => [what, count])) as Record<
      Repaired,
      number
    >;
  }

  [Symbol.dispose](): void {
    this.log[Symbol.dispose]();
    this.reconciler[Symbol.dispose]();
  }
}

Deno.test("Reconciler counts and tells what it puts right, within a second", async () => {
  using rig = new Rig();
  await rig.timers.pass(5000);
  assert.deepEqual([rig.counts, rig.log.lines], [{ control_word: 0, port_table: 0, xsk_map: 0, tc: 0 }, []]);
  rig.found = { control: "half of the port table 1 instead of 0", ports: "the entry of port 53" };
  await rig.timers.pass(1000);
  assert.deepEqual(rig.counts, { control_word: 1, port_table: 1, xsk_map: 0, tc: 0 });
  assert.match(
    rig.log.lines.join("\n"),
    /put right after at most 1\.0 s: steering_control said half .*\n.*the entry of port 53 in port_to/,
  );
  const ago = rig.reconciler.repairs().find(({ what }) => what === "port_table")!;
  await rig.timers.pass(3000);
  assert.deepEqual([ago.agoMs, rig.reconciler.repairs()[1]!.agoMs], [0, 3000]);
  rig.found = { ports: "the entry of port 54" };
  await rig.timers.pass(1000);
  assert.equal(rig.counts.port_table, 2);
  await rig.timers.pass(250);
  rig.found = { ports: "the entry of port 55" };
  rig.reconciler.look(); // somebody asks
  const [, port] = rig.reconciler.repairs();
  assert.deepEqual([port!.count, port!.agoMs, port!.wrongMs], [3, 0, 250]);
});

Deno.test("Reconciler puts sockets back when packets go past them", async () => {
  using rig = new Rig();
  rig.eth0.missing = 2;
  await rig.timers.pass(3000);
  assert.equal(rig.counts.xsk_map, 0, "nothing shows it");
  rig.eth0.uncovered++;
  await rig.timers.pass(1000);
  assert.deepEqual([rig.counts.xsk_map, rig.eth0.missing], [1, 0]);
  assert.match(rig.log.lines[0]!, /2 sockets of eth0 had gone from xsk_map/);
  rig.eth0.uncovered++; // on a queue that has none
  await rig.timers.pass(1000);
  assert.equal(rig.counts.xsk_map, 1);
});

Deno.test("Reconciler has the program at tc put back", async () => {
  using rig = new Rig();
  rig.eth0.answersDetached = true;
  await rig.timers.pass(3000);
  assert.deepEqual([rig.counts.tc, rig.log.lines.length], [1, 1]);
  assert.match(rig.log.lines[0]!, /program at tc egress of eth0 had been detached/);
});

Deno.test("Reconciler tells of queues that were added, and ends when they stay without sockets", async () => {
  using rig = new Rig();
  rig.eth0.added = [2, 3];
  await rig.timers.pass(30_000);
  assert.deepEqual(rig.eth0.newQueues, [2, 3]);
  assert.equal(rig.log.lines.length, 1, "once");
  rig.eth0.added = [];
  await rig.timers.pass(60_000);
  assert.equal(rig.failure, undefined);
  rig.eth0.added = [2];
  await rig.timers.pass(62_000);
  assert.match(`${rig.failure}`, /Queues have had no sockets for 60 s: eth0 \(2\)/);
});

Deno.test("Reconciler leaves an interface alone that is not attached, and goes on after a failure", async () => {
  using rig = new Rig();
  rig.eth0.condition = { state: "gone", since: "", why: "" };
  rig.eth0.added = [2];
  rig.eth0.uncovered = 99;
  rig.fails = true;
  await rig.timers.pass(5000);
  assert.equal(rig.log.lines.filter((line) => line.includes("Cannot look at what is in force: EPERM")).length, 1);
  rig.fails = false;
  rig.eth0.condition = { state: "attached", since: "", why: "" };
  rig.eth0.hasNoQueues = true;
  await rig.timers.pass(5000);
  assert.equal(rig.log.lines.filter((line) => line.includes("in force: no queues are listed")).length, 1);
  rig.eth0.condition = { state: "gone", since: "", why: "" };
  rig.found = { ports: "the entry of port 1" };
  await rig.timers.pass(1000);
  assert.deepEqual([rig.counts.port_table, rig.eth0.newQueues], [1, []]);
});
