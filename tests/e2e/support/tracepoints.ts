/**
 * The listeners on the kernel's tracepoints, which an appliance opens a little after it serves.
 *
 * @module
 */
import type { Appliance } from "./appliance.ts";
import { until } from "./wait.ts";

/** How many BPF programs of a process listen to tracepoints. */
function listeners({ pid }: Appliance): number {
  return [...Deno.readDirSync(`/proc/${pid}/fdinfo`)].filter(({ name }) => {
    try {
      return /^link_type:\s*(raw_tracepoint|tracing)$/m.test(Deno.readTextFileSync(`/proc/${pid}/fdinfo/${name}`));
    } catch {
      return false; // it was closed meanwhile
    }
  }).length;
}

/** Waits until the appliance hears of redirects that fail and of exceptions. */
export async function untilWatched(box: Appliance): Promise<void> {
  await until("the tracepoints to be watched", () => listeners(box) >= 2);
}
