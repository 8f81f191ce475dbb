/**
 * The listeners on the kernel's tracepoints, which an appliance opens a little after it serves.
 *
 * @module
 */
import type { Appliance } from "./appliance.ts";
import { fdInfos } from "./fdinfo.ts";
import { until } from "./wait.ts";

/** How many BPF programs of a process listen to tracepoints. */
function listeners(box: Appliance): number {
  return fdInfos(box).filter((text) => /^link_type:\s*(raw_tracepoint|tracing)$/m.test(text)).length;
}

/** Waits until the appliance hears of redirects that fail and of exceptions. */
export async function untilWatched(box: Appliance): Promise<void> {
  await until("the tracepoints to be watched", () => listeners(box) >= 2);
}
