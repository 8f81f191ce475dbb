import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import type { DeadmanState } from "../bpf/heartbeats.ts";
import { DeadmanWatch } from "./deadman_watch.ts";

interface Rig {
  state: DeadmanState;
  packets: number;
  readonly timers: FakeTimers;
  readonly watch: DeadmanWatch;
}

function rigOf(arm: () => Promise<Disposable>): Rig {
  const timers = new FakeTimers();
  const rig = { state: { isOn: false, times: 0, seconds: 0 }, packets: 7, timers };
  const watch = new DeadmanWatch({ heartbeats: { deadman: () => rig.state }, packets: () => rig.packets, arm, timers });
  return Object.assign(rig, { watch });
}

const nothing = (): Promise<Disposable> => Promise.resolve({ [Symbol.dispose]: () => {} });

Deno.test("DeadmanWatch tells the last time apart from those before, whether it saw it or heard of it afterwards", async () => {
  const rig = rigOf(nothing);
  const { watch, timers } = rig;
  await watch.arm();
  assert.deepEqual(watch.report(), {
    ...{ isOn: false, times: 0, seconds: 0, why: "", agoMs: Infinity },
    last: { seconds: 0, packets: 0 },
  });
  // It was, while nothing here ran.
  rig.state = { isOn: false, times: 1, seconds: 4 };
  rig.packets = 107;
  assert.deepEqual([watch.report().last, watch.report().agoMs], [{ seconds: 4, packets: 100 }, 0]);
  await timers.pass(3000);
  assert.equal(watch.report().agoMs, 3000);
  // It is.
  rig.state = { isOn: true, times: 2, seconds: 4.5 };
  rig.packets = 110;
  assert.deepEqual(watch.report().last, { seconds: 0.5, packets: 3 });
  await timers.pass(500);
  rig.state = { isOn: true, times: 2, seconds: 5 };
  assert.deepEqual([watch.report().last.seconds, watch.report().agoMs], [1, 0]);
  // It is over, with the packets that were on their way.
  rig.state = { isOn: false, times: 2, seconds: 5.5 };
  rig.packets = 112;
  assert.deepEqual(watch.report().last, { seconds: 1.5, packets: 5 });
  await timers.pass(1);
  assert.deepEqual([watch.report().last, watch.report().agoMs], [{ seconds: 1.5, packets: 5 }, 1]);
});

Deno.test("DeadmanWatch says why the kernel does not look, and ends what was armed too late", async () => {
  const refused = rigOf(() => Promise.reject(new Error("it has no timers\nverifier: ...")));
  assert.equal(refused.watch.report().why, "it is not armed yet");
  await refused.watch.arm();
  assert.equal(refused.watch.report().why, "it has no timers");

  let ended = 0;
  const { promise, resolve } = Promise.withResolvers<Disposable>();
  const late = rigOf(() => promise);
  const armed = late.watch.arm();
  late.watch[Symbol.dispose]();
  resolve({ [Symbol.dispose]: () => void ended++ });
  await armed;
  assert.equal(ended, 1);
});
