/**
 * Changes that another process puts in force by taking over.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Handover } from "../../../src/appliance/handover/estate.ts";
import type { Reloaded } from "../../../src/appliance/reload_types.ts";
import type { Appliance } from "./appliance.ts";
import type { TestConfig } from "./config.ts";
import { isThere } from "./process_state.ts";
import { until } from "./wait.ts";

/** Saves a file, and waits until another process has put it in force. The appliance is that one from now on. */
export async function saved(box: Appliance, config: TestConfig | string): Promise<void> {
  const { pid } = box;
  await box.writeConfig(config);
  await followed(box, pid);
}

/** Sends a configuration that another process is to put in force, and waits until that answers. */
export async function putInForce(
  box: Appliance,
  config: TestConfig | string,
): Promise<Reloaded & { readonly handover: Handover }> {
  const { pid } = box;
  const answer = await box.put(config).catch((error: Error) => ({ code: 0, body: error.message }));
  if (answer.code === 0 || answer.code === 200) await followed(box, pid);
  assert.equal(answer.code, 200, `${answer.body}\n${box.stderr}`);
  return JSON.parse(answer.body);
}

async function followed(box: Appliance, before: number): Promise<void> {
  const pid = await until("another process to take over", async () => {
    const status = await box.status().catch(() => undefined);
    return status !== undefined && status.pid !== before ? status.pid : undefined;
  }, { describe: () => box.log.map(({ message, properties: { reason = "" } }) => `${message} ${reason}`).slice(-12) });
  box.followTo(pid);
  await until("the end of the one before", () => !isThere(before));
}
