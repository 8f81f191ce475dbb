import assert from "node:assert/strict";
import { compileWorkerTable } from "../steering/compile.ts";
import type { Rule } from "../steering/rule.ts";
import { createWorkerTables, viewWorkerTables, type WorkerTable } from "../steering/worker_table.ts";
import { buildFrame } from "../traffic/frames.ts";
import { Batch } from "./batch.ts";
import { CaptureRingReader, createCaptureRing } from "./capture_ring.ts";
import { type CapturePlan, CaptureTap, createCapturePlans, viewCapturePlans } from "./capture_tap.ts";

const SLOTS = 8;
const CHUNK = 2048;
const PORTS = 3;
const GAME = 1;
const CHAT = 2;
const ID = 9;

function frame(port: number, text: string): Uint8Array {
  return buildFrame({
    source: { mac: "02:00:00:00:00:01", address: "10.1.2.3", port: 40000 },
    destination: { mac: "02:00:00:00:00:02", address: "10.1.2.4", port },
    payload: new TextEncoder().encode(text),
  }).bytes;
}

/** A tap over rules for ports 7777 (game) and 9090 (chat). */
class Rig {
  readonly plans: readonly CapturePlan[];
  readonly reader: CaptureRingReader;
  readonly tap: CaptureTap;
  readonly #table: WorkerTable;
  #version = 0;

  constructor(bytes?: number) {
    const ring = createCaptureRing(PORTS, bytes);
    const plans = createCapturePlans(SLOTS);
    this.plans = viewCapturePlans(plans);
    this.reader = new CaptureRingReader(ring, PORTS);
    const time = Int32Array.of(0, 0, 5, 0);
    this.tap = new CaptureTap({ plans, ring, ends: PORTS }, { time, read: () => void time[0]!++ });
    const [first, second] = viewWorkerTables(createWorkerTables(SLOTS));
    const rules = [["game", 7777], ["chat", 9090]] as const;
    compileWorkerTable(
      second!,
      first!,
      rules.map(([name, port]): Rule => ({
        name,
        ports: [{ first: port, last: port }],
        worker: 0,
        action: { kind: "count" },
        addresses: "own",
        fragments: "drop",
      })),
      [GAME, CHAT],
      new Set(),
    );
    this.#table = second!;
  }

  capture(slot: number, id: number, sample: number, snap = 65_535): boolean {
    return this.#publish((plan) => {
      plan.sample[id] = sample;
      plan.snap[id] = snap;
      plan.captureOfRule[slot] = id;
    });
  }

  end(slot: number, id: number): boolean {
    return this.#publish((plan) => {
      plan.sample[id] = 0;
      plan.captureOfRule[slot] = 0;
    });
  }

  #publish(change: (plan: CapturePlan) => void): boolean {
    const current = this.plans[this.#version & 1]!;
    const idle = this.plans[++this.#version & 1]!;
    idle.sample.set(current.sample);
    idle.snap.set(current.snap);
    idle.captureOfRule.set(current.captureOfRule);
    change(idle);
    return this.tap.note(this.#version);
  }

  /** Taps one batch, and takes out what was captured. */
  send(frames: readonly Uint8Array[]): string[] {
    const memory = new Uint8Array(frames.length * CHUNK);
    const batch = new Batch();
    frames.forEach((bytes, index) => {
      memory.set(bytes, index * CHUNK + 256);
      batch.addr[index] = index * CHUNK + 256;
      batch.length[index] = bytes.byteLength;
    });
    batch.count = frames.length;
    this.tap.tap(new DataView(memory.buffer), batch, this.#table, 2);
    return this.taken();
  }

  taken(): string[] {
    const { reader } = this;
    const found: string[] = [];
    reader.look();
    while (reader.next()) {
      const words = new Int32Array(512);
      reader.copyTo(words, 0);
      const payload = new Uint8Array(words.buffer, 42, Math.max(0, reader.captured - 42));
      const { id, port, seconds, nanoseconds, length } = reader;
      assert.deepEqual([port, nanoseconds], [2, 5]);
      found.push(`${id}@${seconds} ${length}: ${new TextDecoder().decode(payload)}`);
    }
    reader.release();
    return found;
  }
}

Deno.test("a tap copies the packets of its rule and of no other, all of a batch with one time", () => {
  const rig = new Rig();
  assert.ok(rig.capture(GAME, ID, 1));
  const frames = [frame(7777, "one"), frame(9090, "other"), frame(7777, "two"), frame(5, "none"), new Uint8Array(60)];
  assert.deepEqual(rig.send(frames), [`${ID}@1 45: one`, `${ID}@1 45: two`]);
  assert.deepEqual(rig.send([frame(9090, "other")]), []);
  assert.deepEqual(rig.send([frame(7777, "three")]), [`${ID}@2 47: three`], "the clock is read only for packets");
  assert.equal(rig.reader.planSeen, 1);
});

Deno.test("a tap keeps the first bytes, and says how long the packet was", () => {
  const rig = new Rig();
  rig.capture(GAME, ID, 1, 46);
  assert.deepEqual(rig.send([frame(7777, "abcdefgh"), frame(7777, "xy")]), [`${ID}@1 50: abcd`, `${ID}@1 44: xy`]);
});

Deno.test("a tap takes one of so many packets, across batches, the first to begin with", () => {
  const rig = new Rig();
  rig.capture(GAME, ID, 3);
  const numbered = (from: number, to: number): Uint8Array[] =>
    Array.from({ length: to - from }, (_, index) => frame(7777, `${from + index}`));
  const found = [[0, 1], [1, 5], [5, 6], [6, 20]].flatMap(([from, to]) => rig.send(numbered(from!, to!)));
  assert.deepEqual(found.map((line) => Number(line.split(": ")[1])), [0, 3, 6, 9, 12, 15, 18]);
});

Deno.test("a number that is given to another capture begins to count anew", () => {
  const rig = new Rig();
  rig.capture(GAME, ID, 100);
  assert.equal(rig.send([frame(7777, "a"), frame(7777, "b")]).length, 1);
  assert.equal(rig.end(GAME, ID), false, "nothing is captured any more");
  rig.capture(CHAT, ID, 2);
  assert.deepEqual(rig.send([frame(9090, "c"), frame(9090, "d")]), [`${ID}@2 43: c`]);
});

Deno.test("a tap whose ring is full counts what it drops, and goes on when there is room", () => {
  const rig = new Rig(256);
  rig.capture(GAME, ID, 1);
  const frames = Array.from({ length: 5 }, (_, index) => frame(7777, `${index}`));
  assert.deepEqual(rig.send(frames).map((line) => line.at(-1)), ["0", "1", "2"]);
  assert.equal(rig.reader.dropped(ID, 2), 2);
  assert.deepEqual(rig.send(frames).map((line) => line.at(-1)), ["0", "1", "2"]);
  assert.equal(rig.reader.dropped(ID, 2), 4);
});
