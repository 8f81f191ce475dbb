import assert from "node:assert/strict";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import { writeForwardRule } from "../../tests/support/forward_rule.ts";
import {
  assertAllChunks,
  BOX,
  COUNT,
  FORWARD,
  indexOf,
  LoopRig,
  packetsTo,
  packetTo,
  portRule,
  RULES,
} from "../../tests/support/loop_rig.ts";
import { COMMAND, TABLE } from "./control_words.ts";
import type { WaitMode } from "./idle.ts";

const BACKEND = { mac: "02:00:00:00:00:03", address: "10.9.0.11", port: 9000 };

/** A worker whose rule forwards to a backend behind the second interface. */
function forwardRig(wait: WaitMode = "poll"): LoopRig {
  const queues = [
    new FakeQueue({ chunks: 256, reserve: 64 }),
    new FakeQueue({ chunks: 256, reserve: 64 }),
  ];
  const rig = new LoopRig({ queues, interfaces: [0, 1], wait });
  rig.setRules(RULES);
  return rig;
}

/** Puts the next forward table in force. */
function setForward(rig: LoopRig, more: { reachable?: boolean; idle?: number } = {}): void {
  const version = rig.control.version(TABLE.forward) + 1;
  const table = rig.forwardTables[version & 1]!;
  writeForwardRule(table, { rule: FORWARD, backend: BACKEND, box: BOX, networkInterface: 1, ...more });
  rig.control.publish(TABLE.forward, version);
}

Deno.test("Loop forwards from its first turn with a forward table, and says which table it uses", () => {
  const rig = forwardRig();
  rig.deliver(packetsTo(53, 2));
  rig.step();
  assert.deepEqual(rig.fates(), { unlisted: 2 });
  assert.equal(rig.control.seen(0, TABLE.forward), 0);
  setForward(rig);
  rig.deliver(packetsTo(53, 3));
  rig.step();
  assert.equal(rig.control.seen(0, TABLE.forward), 1);
  assert.deepEqual(rig.fates(FORWARD), { unlisted: 2, forwarded: 3 });
  assert.equal(rig.counters.loop("sessions"), 3);
  assert.deepEqual(rig.queues[1]!.transmit().map(indexOf), [0, 1, 2]);
  assert.deepEqual(rig.queues[0]!.transmit(), []);
  rig.step();
  rig.queues.forEach(assertAllChunks);
});

Deno.test("Loop keeps packets whose next hop is not known, and sends them first and in order when it is", () => {
  const rig = forwardRig();
  setForward(rig, { reachable: false });
  rig.deliver(packetsTo(53, 5));
  rig.step();
  assert.deepEqual(rig.fates(), {}, "they have no fate yet");
  rig.step(3);
  assert.deepEqual(rig.sleeps, [1, 1, 1], "it looks again soon");
  rig.deliver([packetTo(53, 5), packetTo(53, 6)]);
  setForward(rig);
  rig.step();
  assert.deepEqual(rig.fates(), { forwarded: 7 });
  assert.deepEqual(rig.queues[1]!.transmit().map(indexOf), [0, 1, 2, 3, 4, 5, 6]);
  rig.step();
  assert.equal(rig.sleeps.at(-1), 100, "no packet waits");
  rig.queues.forEach(assertAllChunks);
});

Deno.test("Loop decides on a packet that waits by the rule for which it came, and says only then that it is through", () => {
  const rig = forwardRig();
  setForward(rig, { reachable: false });
  rig.deliver(packetsTo(53, 2));
  rig.step();
  const [count, echo] = RULES;
  rig.setRules([count!, echo!, portRule("forward", 54, "forward"), portRule("other", 53, "count")]);
  const asked = rig.control.askPass();
  rig.deliver([packetTo(53, 2)]);
  rig.step(2);
  assert.deepEqual(rig.fates(), { counted: 1 });
  assert.equal(rig.control.passed(0), asked - 1);
  setForward(rig);
  rig.step();
  assert.deepEqual(rig.fates(FORWARD), { forwarded: 2 });
  assert.equal(rig.control.passed(0), asked);
  assert.deepEqual(rig.queues[1]!.transmit().map(indexOf), [0, 1]);
  rig.queues.forEach(assertAllChunks);
});

Deno.test("Loop keeps a packet for three seconds, however often tables change, also while packets come without a pause", () => {
  // A turn without packets sleeps for a millisecond.
  for (const { others, turnMs } of [{ others: 0, turnMs: 1 }, { others: 1, turnMs: 100 }]) {
    const rig = forwardRig();
    setForward(rig, { reachable: false });
    rig.deliver([packetTo(53)]);
    rig.step();
    const start = rig.nowMs;
    let waitedMs = 0;
    while (rig.fates(FORWARD).no_neighbour === undefined) {
      setForward(rig, { reachable: false });
      rig.control.askHeap(0); // as every request for the status does
      rig.deliver(packetsTo(8080, others));
      waitedMs = rig.nowMs - start;
      rig.step();
      rig.nowMs += others * turnMs;
    }
    assert.ok(waitedMs > 2999 && waitedMs < 3001 + turnMs, `${waitedMs} ms`);
    rig.queues.forEach(assertAllChunks);
  }
});

Deno.test("Loop decides at once on packets for which it has no room to keep them", () => {
  const rig = forwardRig();
  setForward(rig, { reachable: false });
  rig.deliver(packetsTo(53, 60));
  rig.step();
  rig.deliver(packetsTo(53, 5));
  rig.step();
  assert.deepEqual(rig.fates(), { no_neighbour: 5 });
  rig.deliver(packetsTo(53, 4));
  rig.step();
  assert.deepEqual(rig.fates(), { no_neighbour: 5 });
  rig.nowMs += 3001;
  rig.step();
  assert.deepEqual(rig.fates(), { no_neighbour: 69 });
  rig.queues.forEach(assertAllChunks);
});

Deno.test("Loop drains what is in its rings, what waits and what is to be sent, then ends", () => {
  const rig = forwardRig();
  const [queue] = rig.queues;
  setForward(rig, { reachable: false });
  rig.deliver(packetsTo(53, 2));
  rig.step();
  rig.deliver([...packetsTo(8080, 100), ...packetsTo(7777, 3)]);
  rig.control.command = COMMAND.drain;
  rig.whileAsleep = () => void queue!.transmit();
  const turns = rig.stepToEnd(10);
  assert.deepEqual(rig.fates(), { counted: 100, echoed: 3, no_neighbour: 2 });
  assert.ok(turns >= 3, `${turns} turns`);
  assert.ok(rig.sleeps.every((ms) => ms === 1), `${rig.sleeps}`);
  rig.queues.forEach(assertAllChunks);
});

const FLOWS: Readonly<Record<string, (rig: LoopRig) => void>> = {
  "no packets": () => {},
  "no packets, a driver that waits to be told of its fill ring": (rig) => rig.queues[0]!.fill.setNeedWakeup(true),
  "packets that are forwarded": (rig) => rig.deliver([packetTo(53, 63)]),
  "packets that are counted": (rig) => rig.deliver([packetTo(8080)]),
  "packets of the only rule": (rig) => {
    if (rig.control.version(TABLE.rules) === 1) rig.setSoleRule(COUNT);
    rig.deliver([packetTo(8080)]);
  },
};

for (const wait of ["adaptive", "poll", "busy"] as const) {
  for (const [what, come] of Object.entries(FLOWS)) {
    Deno.test(`Loop ends sessions that have expired: wait ${wait}, ${what}`, () => {
      const rig = forwardRig(wait);
      setForward(rig, { idle: 10 });
      rig.deliver(packetsTo(53, 40));
      rig.step();
      assert.equal(rig.counters.loop("sessions"), 40);
      const turns = (): void => {
        for (let turn = 0; turn < 2000; turn++) {
          come(rig);
          rig.step();
          rig.queues[1]!.transmit();
        }
      };
      const left = what === "packets that are forwarded" ? 1 : 0;
      rig.nowMs += 12_000;
      turns();
      assert.equal(rig.counters.loop("sessions"), left);
    });
  }
}
