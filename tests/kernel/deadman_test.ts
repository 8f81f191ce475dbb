/** The deadman: a timer of the kernel lets everything pass while no worker counts its turns. */
import assert from "node:assert/strict";
import { Deadman, kernelHasTimers } from "../../src/bpf/deadman.ts";
import { Heartbeats } from "../../src/bpf/heartbeats.ts";
import { viewMemory } from "../../src/ffi/memory.ts";
import { until } from "../e2e/support/wait.ts";
import { ipv4, ipv6, LISTED } from "./steer_frames.ts";
import { portMap, VerdictRig } from "./verdict_rig.ts";

const WORKERS = 2;
const FRAMES = { IPv4: ipv4(), IPv6: ipv6() };
const UNLISTED = ipv4({ port: LISTED + 1 });

/** Workers that do nothing but turn. */
class Turning implements Disposable {
  readonly #words: readonly Int32Array[];
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(heartbeats: Heartbeats) {
    this.#words = Array.from({ length: WORKERS }, (_, worker) => new Int32Array(viewMemory(heartbeats.of(worker))));
  }

  /** These turn from now on, and no others. */
  only(...workers: readonly number[]): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => workers.forEach((worker) => this.#words[worker]![0]!++), 5);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

Deno.test("the kernel has BPF timers, as far as doctor can see", () => {
  assert.equal(kernelHasTimers(), true);
});

Deno.test("everything passes while no worker turns, and is steered again when one does", async () => {
  await using rig = await VerdictRig.load({ workers: WORKERS });
  using heartbeats = new Heartbeats(rig.program.controlFd);
  using turning = new Turning(heartbeats);
  turning.only(0, 1);
  await rig.put(portMap({ [LISTED]: { action: "redirect" } }), 1);
  using _deadman = await Deadman.arm(rig.program.controlFd);
  const state = (): boolean => heartbeats.deadman().isOn;
  for (const frame of Object.values(FRAMES)) assert.equal(rig.run(frame.bytes), "STEERED");
  assert.deepEqual(heartbeats.deadman(), { isOn: false, times: 0, seconds: 0 });

  turning.only();
  const startedMs = performance.now();
  await until("everything to pass", state);
  // deno-lint-ignore no-console -- what it took here: a slow machine may take longer
  console.log(`everything passes ${Math.round(performance.now() - startedMs)} ms after the last turn`);
  for (const [version, frame] of Object.entries(FRAMES)) assert.equal(rig.run(frame.bytes), "DEADMAN", version);
  assert.equal(rig.run(UNLISTED.bytes), "UNLISTED_PORT", "it would have passed anyway");
  assert.deepEqual(rig.table.repair(), { control: undefined, ports: undefined }, "nobody has changed anything");

  // What is put in force meanwhile is in force afterwards.
  await rig.put(portMap({ [LISTED]: { action: "drop" } }), 2);
  assert.equal(rig.run(FRAMES.IPv4.bytes), "DEADMAN");
  await rig.put(portMap({ [LISTED]: { action: "redirect" }, [LISTED + 1]: { action: "drop" } }), 3);
  assert.equal(rig.run(UNLISTED.bytes), "DEADMAN");

  turning.only(1);
  await until("steering", () => !state());
  assert.equal(rig.run(FRAMES.IPv6.bytes), "STEERED");
  assert.equal(rig.run(UNLISTED.bytes), "RULE_DROP");
  const { times, seconds } = heartbeats.deadman();
  assert.equal(times, 1);
  assert.ok(seconds > 0 && seconds <= (performance.now() - startedMs) / 1000, `${seconds}`);
  assert.deepEqual(rig.table.repair(), { control: undefined, ports: undefined });
});

Deno.test("one worker that turns is enough, and changes in a row are not lost at the moment when it comes back", async () => {
  await using rig = await VerdictRig.load({ workers: WORKERS });
  using heartbeats = new Heartbeats(rig.program.controlFd);
  using turning = new Turning(heartbeats);
  turning.only(1);
  await rig.put(portMap({ [LISTED]: { action: "redirect" } }), 1);
  using _deadman = await Deadman.arm(rig.program.controlFd);
  let generation = 1;
  const change = async (): Promise<void> => {
    const action = generation++ % 2 === 0 ? "redirect" : "drop";
    await rig.put(portMap({ [LISTED]: { action } }), generation);
    const found = rig.run(FRAMES.IPv4.bytes);
    if (heartbeats.deadman().isOn || found === "DEADMAN") return; // it may have come between
    assert.equal(found, action === "drop" ? "RULE_DROP" : "STEERED");
  };
  for (let round = 1; round <= 3; round++) {
    turning.only();
    while (!heartbeats.deadman().isOn) await change();
    assert.equal(heartbeats.deadman().times, round);
    turning.only(0);
    while (heartbeats.deadman().isOn) await change();
    for (let more = 0; more < 20; more++) await change();
  }
  assert.deepEqual(rig.table.repair(), { control: undefined, ports: undefined });
});

Deno.test("a word that somebody else sets to no table is put right", async () => {
  await using rig = await VerdictRig.load();
  using heartbeats = new Heartbeats(rig.program.controlFd);
  using turning = new Turning(heartbeats);
  turning.only(0);
  await rig.put(portMap({ [LISTED]: { action: "redirect" } }), 1);
  using _deadman = await Deadman.arm(rig.program.controlFd);
  new Int32Array(viewMemory({ address: heartbeats.of(0).address - 128n, length: 4 }))[0] = 2;
  assert.equal(rig.run(FRAMES.IPv4.bytes), "DEADMAN");
  assert.equal(rig.table.repair().control, "half of the port table 2 instead of 1");
  assert.equal(rig.run(FRAMES.IPv4.bytes), "STEERED");
});
