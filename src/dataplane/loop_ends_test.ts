import assert from "node:assert/strict";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import { writeForwardRule } from "../../tests/support/forward_rule.ts";
import {
  assertAllChunks,
  BOX,
  COUNT,
  ECHO,
  FORWARD,
  LoopRig,
  packetsTo,
  packetTo,
  RULES,
} from "../../tests/support/loop_rig.ts";
import { TABLE } from "./control_words.ts";

const BACKEND = { mac: "02:00:00:00:00:03", address: "10.9.0.11", port: 9000 };

function forwardRig(): LoopRig {
  const queues = [0, 1].map(() => new FakeQueue({ chunks: 256, reserve: 64 }));
  const rig = new LoopRig({ queues, interfaces: [0, 1] });
  rig.setRules(RULES);
  return rig;
}

function setForward(rig: LoopRig, reachable = true): void {
  const version = rig.control.version(TABLE.forward) + 1;
  const table = rig.forwardTables[version & 1]!;
  writeForwardRule(table, { rule: FORWARD, backend: BACKEND, box: BOX, networkInterface: 1, reachable });
  rig.control.publish(TABLE.forward, version);
}

Deno.test("Loop finishes what is in the rings of a socket before it lets go of it, and says so only then", () => {
  const queue = new FakeQueue({ chunks: 256 });
  const rig = new LoopRig({ queues: [queue] });
  rig.setRules(RULES);
  rig.step();
  rig.deliver(packetsTo(8080, 150));
  rig.setQueue(0, undefined);
  rig.step();
  assert.notEqual(rig.control.seen(0, TABLE.ends), 1, "it had packets in hand when it heard of it");
  rig.step();
  assert.equal(rig.control.seen(0, TABLE.ends), 1);
  assert.deepEqual(rig.fates(COUNT), { counted: 150 });
  assertAllChunks(queue);
  rig.step(3);
  assert.deepEqual(rig.fates(COUNT), { counted: 150 });
});

Deno.test("Loop serves a socket that was opened in the place of another, and counts it at the same place", () => {
  const before = new FakeQueue();
  const rig = new LoopRig({ queues: [before] });
  rig.setRules(RULES);
  rig.deliver([packetTo(7777)]);
  rig.step();
  assert.equal(before.transmit().length, 1);
  rig.setQueue(0, undefined);
  rig.step(2);
  const after = new FakeQueue();
  rig.setQueue(0, after);
  rig.step(2);
  assert.equal(rig.control.seen(0, TABLE.ends), 2);
  after.deliver(packetTo(7777));
  rig.step();
  assert.equal(after.transmit().length, 1);
  assert.deepEqual(rig.fates(ECHO), { echoed: 2 });
  assert.equal(rig.counters.received(0, ECHO), 2);
  rig.step();
  assertAllChunks(after);
});

Deno.test("Loop decides on packets that wait at a socket which is closed, and others wait on", () => {
  const rig = forwardRig();
  setForward(rig, false);
  rig.queues[0]!.deliver(packetTo(53, 1));
  rig.queues[1]!.deliver(packetTo(53, 2));
  rig.step();
  assert.deepEqual(rig.fates(), {}, "both wait for the neighbour");
  rig.setQueue(0, undefined);
  rig.step(2);
  assert.equal(rig.control.seen(0, TABLE.ends), 1);
  assert.deepEqual(rig.fates(FORWARD), { no_neighbour: 1 });
  assertAllChunks(rig.queues[0]!);
  setForward(rig);
  rig.step(2);
  assert.deepEqual(rig.fates(FORWARD), { no_neighbour: 1, forwarded: 1 });
});

Deno.test("Loop sends by the new socket of an interface that came back, and has a fate for what came meanwhile", () => {
  const rig = forwardRig();
  setForward(rig);
  rig.queues[0]!.deliver(packetTo(53, 1));
  rig.step();
  assert.equal(rig.queues[1]!.transmit().length, 1);
  rig.setQueue(1, undefined);
  rig.step(2);
  rig.queues[0]!.deliver(packetTo(53, 1));
  rig.step();
  assert.deepEqual(rig.fates(FORWARD), { forwarded: 1, interface_gone: 1 });
  const back = new FakeQueue({ chunks: 256, reserve: 64 });
  rig.setQueue(1, back);
  rig.step(2);
  rig.queues[0]!.deliver(packetTo(53, 1));
  rig.step();
  assert.equal(back.transmit().length, 1);
  assert.deepEqual(rig.fates(FORWARD), { forwarded: 2, interface_gone: 1 });
  rig.step();
  assertAllChunks(rig.queues[0]!);
});

Deno.test("Loop sleeps while none of its sockets is open", () => {
  const rig = new LoopRig();
  rig.setRules(RULES);
  rig.setQueue(0, undefined);
  rig.step(3);
  assert.ok(rig.sleeps.length > 0);
  assert.equal(rig.sleeps.at(-1), 100);
});
