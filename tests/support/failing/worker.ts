/**
 * A worker's thread that fails when it is asked for the size of its heap while there is a file of its name in the
 * folder that XDPSTEER_TEST_FAILURES names: with a batch in hand, where packets come.
 *
 * @module
 */
import { serveAsWorker } from "../../../src/dataplane/worker.ts";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const order = `${Deno.env.get("XDPSTEER_TEST_FAILURES")}/${scope.name}`;
const { memoryUsage } = Deno;
Object.defineProperty(Deno, "memoryUsage", {
  value: () => {
    try {
      Deno.removeSync(order);
    } catch {
      return memoryUsage(); // there is none
    }
    throw new Error("told to fail");
  },
});
serveAsWorker(scope);
