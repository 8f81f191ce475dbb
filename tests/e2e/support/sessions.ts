/**
 * Sessions of many clients through whatever is done to the box.
 *
 * @module
 */
import assert from "node:assert/strict";
import { assertConserved, fatesOf, settled } from "./accounts.ts";
import type { Status } from "./appliance.ts";
import type { Clients, Family } from "./backends.ts";
import { assertNoneLost } from "./link.ts";
import type { ForwardScene } from "./scene.ts";

/** Ends clients of rule web, each of which has had one session all along, with one backend and one translation port. */
export async function assertSessionsKept(
  scene: ForwardScene,
  clients: Clients,
  { family, backends, count }: {
    readonly family: Family;
    readonly backends: readonly number[];
    readonly count: number;
  },
): Promise<Status> {
  const ports = await scene.host.portsSeen(family, backends);
  const report = await clients.stop();
  assert.equal(ports, count, "a session has another port");
  const status = await settled(scene.box);
  assertConserved(status);
  const lost = await assertNoneLost(scene, report, status);
  if (lost === 0) assert.deepEqual(fatesOf(status, "web"), { forwarded: report.sent });
  return status;
}
