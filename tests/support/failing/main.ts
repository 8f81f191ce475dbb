/**
 * The product with workers that can be made to fail: worker.ts beside this.
 *
 * @module
 */
if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) await import("../../../main.ts");
else {
  const { main } = await import("../../../src/cli/main.ts");
  await main(Deno.args, new URL(import.meta.url));
}
