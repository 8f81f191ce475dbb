/**
 * The entry of the process, and of its threads but the workers.
 *
 * @module
 */
if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  const scope = self as unknown as DedicatedWorkerGlobalScope;
  // Names of threads: CAPTURE_THREAD in src/capture/messages.ts, CHECK_THREAD in src/config/check_thread.ts, API_THREAD
  // in src/api/messages.ts, LISTS_THREAD in src/guard/messages.ts.
  if (scope.name === "api") (await import("./src/api/api_thread.ts")).serveAsApi(scope);
  else if (scope.name === "lists") (await import("./src/guard/lists_thread.ts")).serveAsLists(scope);
  else if (scope.name === "check") (await import("./src/config/check_thread.ts")).serveAsChecker(scope);
  else (await import("./src/capture/writer.ts")).serveAsCaptureWriter(scope);
} else {
  const { main } = await import("./src/cli/main.ts");
  await main(Deno.args, new URL(import.meta.url));
}
