/**
 * The entry, for the process and for its worker threads: one module, so that one file can be bundled and shipped.
 *
 * @module
 */
import { serveAsWorker } from "./src/dataplane/worker.ts";

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  const scope = self as unknown as DedicatedWorkerGlobalScope;
  // Loaded when the first rule is captured.
  if (scope.name === "capture") (await import("./src/control/capture/writer.ts")).serveAsCaptureWriter(scope);
  else serveAsWorker(scope);
} else {
  const { main } = await import("./src/cli/main.ts");
  await main(Deno.args, new URL(import.meta.url));
}
