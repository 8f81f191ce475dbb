/**
 * A running xdpsteer under a service manager that keeps its descriptors and starts it anew after a crash.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { TestNetwork } from "../../support/netns.ts";
import { type Appliance, startAppliance, type Status } from "./appliance.ts";
import type { TestConfig } from "./config.ts";
import { until } from "./wait.ts";

const SUPERVISOR = fileURLToPath(new URL("supervisor.py", import.meta.url));

export interface Supervision {
  /** Between the end of a process and the start of the next one. Default: none. */
  readonly delayMs?: number;
  /** What is done to what is kept, before the next start. */
  readonly damage?: "none" | "half" | "layout" | "lost";
}

/** Words before the product's, that have it supervised. */
export function supervisor({ delayMs = 0, damage = "none" }: Supervision = {}): string[] {
  return ["/usr/bin/python3", SUPERVISOR, `${delayMs}`, damage];
}

export function startSupervised(
  network: TestNetwork,
  config: TestConfig | ((socket: string) => string),
  supervision: Supervision = {},
): Promise<Appliance> {
  return startAppliance(network, config, { as: supervisor(supervision) });
}

/** Waits until what there is would be gone on with after a crash. */
export async function untilKept(box: Appliance): Promise<void> {
  await box.untilStatus("a record for the time after a crash", ({ handovers }) => handovers.kept > 0);
}

/** Kills the process, and waits for the next one. @returns its status, and how long nobody answered. */
export async function crash(box: Appliance, signal: Deno.Signal = "SIGKILL"): Promise<Status & { goneMs: number }> {
  const { pid } = await box.status();
  const begun = performance.now();
  Deno.kill(pid, signal);
  const status = await until("another process", async () => {
    const status = await box.status().catch(() => undefined);
    return status !== undefined && status.pid !== pid && status;
  }, { describe: () => box.stderr });
  return { ...status, goneMs: Math.round(performance.now() - begun) };
}
