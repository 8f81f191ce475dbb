/**
 * A thread that runs a program on a frame over and over until it is told to stop, then says how often it did.
 *
 * @module
 */
import { testRun } from "../../src/ffi/libbpf.ts";

/** What starts it. The program's fd is the process's, so it is good in every thread. */
export interface TestRunJob {
  readonly program: number;
  readonly frame: Uint8Array<ArrayBuffer>;
  /** One word: 0 run, 1 stop. */
  readonly stop: Int32Array<SharedArrayBuffer>;
}

/** Runs in one call of the kernel: some 20 ms, since each call waits for a grace period before, as each flip does. */
const REPEAT = 500_000;

const scope = self as unknown as DedicatedWorkerGlobalScope;

scope.onmessage = ({ data: { program, frame, stop } }: MessageEvent<TestRunJob>): void => {
  scope.postMessage("running");
  let runs = 0;
  let failures = 0;
  while (Atomics.load(stop, 0) === 0) {
    if (testRun(program, { data: frame, repeat: REPEAT }) < 0) failures++;
    else runs += REPEAT;
  }
  scope.postMessage({ runs, failures });
};
