/**
 * A worker's thread that fails when it is asked for the size of its heap while there is a file of its name in the
 * folder that XDPSTEER_TEST_FAILURES names: with a batch in hand, where packets come. The file says how.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
import { serveAsWorker } from "../../../src/dataplane/worker.ts";

const { name } = globalThis as unknown as { readonly name: string };
const order = `${Deno.env.get("XDPSTEER_TEST_FAILURES")}/${name}`;
const { memoryUsage } = Deno;
Object.defineProperty(Deno, "memoryUsage", {
  value: () => {
    let how: string;
    try {
      how = Deno.readTextFileSync(order);
      Deno.removeSync(order);
    } catch {
      return memoryUsage(); // there is none
    }
    if (how === "throw") throw new Error("told to fail");
    if (how === "loop") { for (;;); }
    if (how === "wait") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    const kept: unknown[] = [];
    for (;;) kept.push(new Array(4_000_000).fill(0.5)); // in large pieces: before it takes long
  },
});
serveAsWorker(parentPort!);
