import assert from "node:assert/strict";
import { FakePortTable } from "../../tests/support/fake_engine.ts";
import { forwardRule, SteeringRig } from "../../tests/support/steering_rig.ts";
import { TRANSLATION_PORTS } from "../steering/slots.ts";
import { BACKEND, BACKEND_KEEPS, backendAt, KEPT } from "../steering/forward_table.ts";

type Rig = SteeringRig<FakePortTable>;
const KEEPS = ", source: client";

/** Whether the backend in a row is known to see its clients' addresses, by the table in force. */
const keeps = ({ forwardTable: { backends } }: Rig, row: number): boolean =>
  (backends[backendAt(row) + BACKEND.flags]! & BACKEND_KEEPS) !== 0;

Deno.test("Forwarding has answers looked for while a rule keeps its clients' addresses, and as long as there are sessions", async () => {
  await using rig = new SteeringRig(new FakePortTable());
  const { kept } = rig;
  await rig.change(forwardRule("web", 8080, [1]));
  assert.deepEqual([keeps(rig, 1), rig.forwardTable.kept[KEPT.addressLow], kept.ports], [false, 0, []]);

  await rig.change(forwardRule("web", 8080, [1]), forwardRule("game", 7777, [2], KEEPS));
  assert.deepEqual([keeps(rig, 1), keeps(rig, 2), kept.ports], [false, true, [9000]]);
  assert.deepEqual([kept.rule, rig.forwardTable.kept[KEPT.rule]], Array(2).fill(rig.slots.slotOf(TRANSLATION_PORTS)));
  const { addressLow, addressHigh } = KEPT;
  assert.deepEqual([addressLow, addressHigh].map((word) => rig.forwardTable.kept[word]), [0x2345_6789, 1]);

  kept.isEmpty = false;
  await rig.change(forwardRule("web", 8080, [1]), forwardRule("game", 7777, [2]));
  await rig.timers.pass(30_000);
  assert.deepEqual([keeps(rig, 2), kept.ports], [true, [9000]], "sessions are left");
  kept.isEmpty = true;
  await rig.timers.pass(10_000);
  assert.deepEqual(kept.ports, []);

  await rig.change(forwardRule("game", 7777, [1], KEEPS));
  assert.deepEqual([keeps(rig, 1), keeps(rig, 2), kept.ports], [true, false, [9000]]);
});

Deno.test("Forwarding goes on looking for answers in a process that takes over", async () => {
  await using rig = new SteeringRig(new FakePortTable());
  rig.kept.isEmpty = false;
  await rig.change(forwardRule("game", 7777, [2], KEEPS));
  await rig.change(forwardRule("game", 7777, [2]));
  await using next = new SteeringRig(new FakePortTable(), rig.forwarding.standing);
  await next.change(forwardRule("game", 7777, [2]));
  assert.deepEqual([keeps(next, 1), next.kept.ports], [true, [9000]]);
  await next.timers.pass(30_000);
  assert.deepEqual(next.kept.ports, [], "no session is left");
});
