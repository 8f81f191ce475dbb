/**
 * Stops one worker's thread of a running appliance, as a debugger does.
 *
 * @module
 */
import { cProgram } from "../../support/c_programs.ts";
import type { Appliance } from "./appliance.ts";

/** Stops a worker's thread until it is disposed of. Resolves when the thread stands still. */
export async function freezeWorker(box: Appliance, worker: number): Promise<AsyncDisposable> {
  const { thread } = (await box.status()).workers[worker]!;
  return await freezeThread(thread);
}

/** The same of any thread, by the kernel's number of it. */
export async function freezeThread(thread: number): Promise<AsyncDisposable> {
  const program = await cProgram("freeze");
  const child = new Deno.Command(program, {
    args: [`${thread}`],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  const release = async (): Promise<void> => {
    await child.stdin.close();
    while (!(await reader.read()).done);
    await child.status;
  };
  if (value?.startsWith("frozen")) return { [Symbol.asyncDispose]: release };
  await release();
  throw new Error(`Thread ${thread} cannot be stopped`);
}
