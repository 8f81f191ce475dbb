/**
 * The packet memory of one queue.
 *
 * @see {@link https://docs.kernel.org/networking/af_xdp.html#umem}
 * @module
 */
import { MappedMemory, type MemoryAddress } from "../ffi/memory.ts";

export interface UmemOptions {
  /** A power of two. */
  readonly chunks: number;
  /** Bytes; 2048 or 4096. */
  readonly chunkSize: number;
  /** Bytes kept free before each packet, on top of the kernel's own 256. */
  readonly headroom: number;
}

/**
 * Chunks in one mapping, less than 2 GiB, so that an address is one non-negative int32. Owned by the object; close it
 * after the sockets that registered it.
 */
export class Umem implements Disposable {
  readonly chunks: number;
  readonly chunkSize: number;
  readonly headroom: number;
  readonly #mapping: MappedMemory;

  constructor(options: UmemOptions) {
    const bytes = options.chunks * options.chunkSize;
    if (bytes >= 2 ** 31) throw new RangeError(`A UMEM of ${bytes} bytes is too large: it must be under 2 GiB`);
    this.chunks = options.chunks;
    this.chunkSize = options.chunkSize;
    this.headroom = options.headroom;
    this.#mapping = MappedMemory.anonymous(bytes, `map ${bytes} bytes of packet memory`);
  }

  get memory(): MemoryAddress {
    return this.#mapping.address;
  }

  close(): void {
    this.#mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
