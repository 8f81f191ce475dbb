/**
 * The entry of a thread of the HTTP interface that fails when it is told to: a thread of its own, as in the product.
 *
 * @module
 */
import { serveAsApi } from "../../src/api/api_thread.ts";
import type { ToApi } from "../../src/api/messages.ts";

/** How it fails: by an exception, or by a loop that ends only when the test wants it. */
export type Failure = { readonly type: "throw" } | { readonly type: "spin"; readonly until: Int32Array };

const scope = self as unknown as DedicatedWorkerGlobalScope;
serveAsApi(scope);
const serve = scope.onmessage!;
scope.onmessage = (event: MessageEvent<ToApi | Failure>) => {
  const { data } = event;
  if (data.type === "throw") throw new Error("told to fail");
  if (data.type === "spin") { while (Atomics.load(data.until, 0) === 0); }
  else serve.call(scope, event);
};
