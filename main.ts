/**
 * The entry, for the process and for its worker threads: one module, so that one file can be bundled and shipped.
 *
 * @module
 */
import { serveAsWorker } from "./src/dataplane/worker.ts";

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  serveAsWorker(self as unknown as DedicatedWorkerGlobalScope);
} else {
  const { main } = await import("./src/cli/main.ts");
  await main(Deno.args, new URL(import.meta.url));
}
