import assert from "node:assert/strict";
import { PortTable } from "../../src/bpf/port_table.ts";
import type { SteeringProgram } from "../../src/bpf/program.ts";
import { forwardRule, SteeringRig } from "../support/steering_rig.ts";
import { ipv4, LISTED } from "./steer_frames.ts";
import { VerdictRig } from "./verdict_rig.ts";

const FRAME = ipv4().bytes;

Deno.test("a change whose port table the kernel does not have as written leaves all as it was, in the kernel too", async () => {
  await using rig = await VerdictRig.load({ workers: 2 });
  await using other = await VerdictRig.load();
  let readsOther = false;
  // What is read back is another program's table, as the kernel has it.
  const { addressesFd, addressMaps, controlFd, deliveryPortsFd, limitMaps, moreEntriesFd, ruleGuardsFd } = rig.program;
  const program = {
    ...{ addressesFd, addressMaps, controlFd, deliveryPortsFd, limitMaps, moreEntriesFd, ruleGuardsFd },
    get portTableFd(): number {
      return readsOther ? other.program.portTableFd : rig.program.portTableFd;
    },
  } as SteeringProgram;
  await using steering = new SteeringRig(new PortTable(program, () => rig.own));
  await steering.change(forwardRule("web", LISTED, [1]), "{ name: dns, ports: 53, action: drop }");
  assert.equal(rig.run(FRAME), "STEERED");
  const before = steering.state();

  const next = [`{ name: web, ports: ${LISTED}, action: drop }`, forwardRule("dns", 53, [2])];
  readsOther = true;
  await assert.rejects(
    steering.change(...next),
    /The kernel's port table differs from what was written, first at port/,
  );
  assert.equal(rig.run(FRAME), "STEERED");
  assert.equal(rig.table.generation, 1);
  assert.deepEqual(steering.state(), before);

  readsOther = false;
  await steering.change(...next);
  assert.equal(rig.run(FRAME), "RULE_DROP");
  assert.equal(rig.table.generation, 2);
});
