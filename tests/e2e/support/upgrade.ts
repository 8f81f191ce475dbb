/**
 * Handovers from a running xdpsteer to another one.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Handover } from "../../../src/appliance/handover/estate.ts";
import type { TestNetwork } from "../../support/netns.ts";
import type { Appliance } from "./appliance.ts";
import { finish, productCommand } from "./command.ts";
import { PATIENCE_MS } from "./wait.ts";

/** Far more than it takes, for the machine may be slow. */
const WITHIN_S = Math.ceil(PATIENCE_MS / 1000);

/** Has another process take over. The appliance is that one from now on. */
export async function upgrade(network: TestNetwork, box: Appliance): Promise<Handover> {
  const before = box.pid;
  const argv = [...productCommand(), "upgrade", "--json", "--within", `${WITHIN_S}`, "--socket", box.socket];
  const { code, stdout, stderr } = await finish(network, argv);
  assert.equal(code, 0, `${stderr}\n${box.stderr}`);
  const handover = JSON.parse(stdout) as Handover;
  box.followTo(handover.pid);
  assert.notEqual(handover.pid, before);
  assert.equal((await box.status()).pid, handover.pid);
  assert.equal((await box.handedOver()).code, 0, box.stderr);
  return handover;
}
