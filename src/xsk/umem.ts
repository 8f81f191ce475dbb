/**
 * The packet memory of one queue. It outlives the process where another one has it too.
 *
 * @see {@link https://docs.kernel.org/networking/af_xdp.html#umem}
 * @module
 */
import type { MemoryAddress } from "../ffi/memory.ts";
import { SharedMemory } from "../ffi/shared_memory.ts";

export interface UmemOptions {
  /** A power of two. */
  readonly chunks: number;
  /** Bytes; 2048 or 4096. */
  readonly chunkSize: number;
  /** Bytes kept free before each packet, on top of the kernel's own 256. */
  readonly headroom: number;
  /** Of the memory of a process before; default: memory of its own. Closed where it cannot be taken over. */
  readonly adopted?: number | undefined;
}

/**
 * Chunks in one mapping, less than 2 GiB, so that an address is one non-negative int32. Owned by the object; close it
 * after the sockets that registered it.
 */
export class Umem implements Disposable {
  readonly chunks: number;
  readonly chunkSize: number;
  readonly headroom: number;
  readonly #shared: SharedMemory;

  constructor(options: UmemOptions) {
    const bytes = options.chunks * options.chunkSize;
    if (bytes >= 2 ** 31) throw new RangeError(`A UMEM of ${bytes} bytes is too large: it must be under 2 GiB`);
    this.chunks = options.chunks;
    this.chunkSize = options.chunkSize;
    this.headroom = options.headroom;
    const shared = { name: "xdpsteer packets", shape: `chunks of ${options.chunkSize}`, bytes, populate: true };
    this.#shared = options.adopted === undefined
      ? SharedMemory.create(shared)
      : SharedMemory.adopt(options.adopted, shared);
  }

  get memory(): MemoryAddress {
    return this.#shared.address;
  }

  /** For a process that comes after this one. */
  get fd(): number {
    return this.#shared.fd;
  }

  close(): void {
    this.#shared.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
