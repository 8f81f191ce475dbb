/**
 * The deadman: while no worker's loop turns, everything passes to the kernel stack, as if the process had ended. A
 * timer of the kernel sees to it (bpf/deadman.bpf.c), so that it works while no thread of this process runs.
 *
 * @module
 */
import objectBytes from "../../build/deadman.bpf.o" with { type: "bytes" };
import { syscallError } from "../ffi/errno.ts";
import {
  type BpfObjectHandle,
  canLoad,
  closeObject,
  findMap,
  loadObject,
  mapFd,
  programFd,
  reuseMap,
  runProgram,
} from "../ffi/libbpf.ts";

const bytes = objectBytes as Uint8Array<ArrayBuffer>;

/** The timer, from when it is armed until it is disposed of. */
export class Deadman implements Disposable {
  private constructor(private readonly handle: BpfObjectHandle) {}

  /**
   * Begins to look at the workers' heartbeats. Their loops turn already.
   *
   * @param controlFd Of `steering_control`.
   * @throws {SteerError} where the kernel has no BPF timers, which came with 5.15.
   */
  static async arm(controlFd: number): Promise<Deadman> {
    const handle = await loadObject(bytes, (object) => reuseMap(findMap(object, ".data.control"), controlFd));
    const result = runProgram(programFd(handle, "arm"));
    if (result === 0) return new Deadman(handle);
    closeObject(handle);
    throw syscallError("bpf_timer_start", -result, "arm the deadman");
  }

  /** Of the map with the timer, which goes on for as long as anybody has it open. */
  get fd(): number {
    return mapFd(findMap(this.handle, "watches"));
  }

  /** Ends the timer, unless another process has its map. What it has put in force stays. */
  [Symbol.dispose](): void {
    closeObject(this.handle);
  }
}

/** Whether the kernel takes the program with the timer from this process. */
export function kernelHasTimers(): boolean {
  return canLoad(bytes);
}
