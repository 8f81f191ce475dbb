/**
 * The entry of the process, and of its thread that writes captures.
 *
 * @module
 */
if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  const { serveAsCaptureWriter } = await import("./src/capture/writer.ts");
  serveAsCaptureWriter(self as unknown as DedicatedWorkerGlobalScope);
} else {
  const { main } = await import("./src/cli/main.ts");
  await main(Deno.args, new URL(import.meta.url));
}
