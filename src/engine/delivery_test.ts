import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import type { AnswerProgram } from "../bpf/answer_program.ts";
import type { Rule } from "../steering/rule.ts";
import { Delivery } from "./delivery.ts";

const rule = (action: Rule["action"]): Rule => ({
  name: "dns",
  ports: [{ first: 53, last: 53 }],
  addresses: "own",
  worker: "hash",
  fragments: "drop",
  action,
});
const delivers = (port: number): Rule[] => [rule({ kind: "deliver", port })];
const COUNTS = [rule({ kind: "count" })];

/** Interfaces and programs that say what was done to them. */
class Rig implements Disposable {
  readonly timers = new FakeTimers();
  readonly log = new LogRecords();
  readonly done: string[] = [];
  /** Interfaces to which nothing can be attached. */
  readonly refusing = new Set<string>();
  readonly delivery = new Delivery({
    timers: this.timers,
    interfaces: ["eth0", "eth1"].map((name) => ({
      answerBy: (program) => {
        if (program !== undefined && this.refusing.has(name)) throw new Error("no tc");
        this.done.push(`${name} ${program === undefined ? "-" : "+"}`);
      },
    })),
    load: () => {
      this.done.push("load");
      const program: Pick<AnswerProgram, "addPorts" | typeof Symbol.dispose> = {
        addPorts: (ports) => void this.done.push(`ports ${[...ports]}`),
        [Symbol.dispose]: () => void this.done.push("unload"),
      };
      return Promise.resolve(program as AnswerProgram);
    },
  });

  /** What was done since the last call. */
  get news(): string[] {
    return this.done.splice(0);
  }

  [Symbol.dispose](): void {
    this.delivery[Symbol.dispose]();
    this.log[Symbol.dispose]();
  }
}

Deno.test("Delivery loads and attaches with the first rule that delivers, once", async () => {
  using rig = new Rig();
  await rig.delivery.prepare(COUNTS);
  assert.deepEqual(rig.news, []);
  await rig.delivery.prepare(delivers(5353));
  assert.deepEqual(rig.news, ["load", "eth0 +", "eth1 +", "ports 5353"]);
  await rig.delivery.prepare(delivers(5454));
  assert.deepEqual(rig.news, ["ports 5454"]);
});

Deno.test("Delivery gives late answers a minute after the last rule that delivers, unless one comes again", async () => {
  using rig = new Rig();
  await rig.delivery.prepare(delivers(5353));
  rig.delivery.release(delivers(5353));
  await rig.timers.pass(100_000);
  rig.delivery.release(COUNTS);
  await rig.timers.pass(50_000);
  await rig.delivery.prepare(delivers(5353));
  await rig.timers.pass(100_000);
  assert.deepEqual(rig.news, ["load", "eth0 +", "eth1 +", "ports 5353", "ports 5353"]);
  rig.delivery.release(COUNTS);
  await rig.timers.pass(59_000);
  rig.delivery.release(COUNTS);
  assert.deepEqual(rig.news, []);
  await rig.timers.pass(1000);
  assert.deepEqual(rig.news, ["eth0 -", "eth1 -", "unload"]);
  await rig.delivery.prepare(delivers(5353));
  assert.equal(rig.news[0], "load");
});

Deno.test("Delivery leaves nothing behind where an interface cannot be attached, and is asked again", async () => {
  using rig = new Rig();
  rig.refusing.add("eth1");
  await assert.rejects(rig.delivery.prepare(delivers(5353)), /no tc/);
  assert.deepEqual(rig.news, ["load", "eth0 +", "eth0 -", "eth1 -", "unload"]);
  rig.refusing.clear();
  await rig.delivery.prepare(delivers(5353));
  assert.deepEqual(rig.news, ["load", "eth0 +", "eth1 +", "ports 5353"]);
});

Deno.test("Delivery ends at once when it is disposed of", async () => {
  using rig = new Rig();
  await rig.delivery.prepare(delivers(5353));
  rig.delivery.release(COUNTS);
  rig.delivery[Symbol.dispose]();
  assert.deepEqual([rig.news.slice(-3), rig.timers.count], [["eth0 -", "eth1 -", "unload"], 0]);
});
