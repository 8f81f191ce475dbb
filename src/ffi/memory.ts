/**
 * Memory that the kernel or another thread sees too: mapped once, viewed through typed arrays made once.
 *
 * @module
 */
import { mapMemory, unmapMemory } from "./libc.ts";
import { UAPI } from "./uapi.ts";

/** An address that can be posted to another thread, which rebuilds its own view with {@linkcode viewMemory}. */
export interface MemoryAddress {
  readonly address: bigint;
  readonly length: number;
}

/**
 * One mapping, owned by the object. Closing it unmaps: no view of it, in any thread, may be touched afterwards (a stale
 * view is a segmentation fault, not an exception), so workers are joined first.
 */
export class MappedMemory implements Disposable {
  readonly length: number;
  #pointer: Deno.PointerObject | null;

  private constructor(pointer: Deno.PointerObject, length: number) {
    this.#pointer = pointer;
    this.length = length;
  }

  /** Private zeroed pages, all present from the start, so that no page fault happens on the data path. */
  static anonymous(length: number, what: string): MappedMemory {
    const flags = UAPI.MAP_PRIVATE | UAPI.MAP_ANONYMOUS | UAPI.MAP_POPULATE;
    return new MappedMemory(mapMemory(length, flags, -1, 0, what), length);
  }

  /**
   * Memory of a file descriptor: an AF_XDP ring, or a BPF array with BPF_F_MMAPABLE. The kernel maps whole pages, of
   * which this is a part.
   */
  static shared(fd: number, length: number, offset: number, what: string): MappedMemory {
    return new MappedMemory(mapMemory(length, UAPI.MAP_SHARED | UAPI.MAP_POPULATE, fd, offset, what), length);
  }

  /** The same of a file whose pages are there when they are first touched. */
  static lazy(fd: number, length: number, what: string): MappedMemory {
    return new MappedMemory(mapMemory(length, UAPI.MAP_SHARED, fd, 0, what), length);
  }

  get address(): MemoryAddress {
    if (this.#pointer === null) throw new Error("The mapping is closed");
    return { address: Deno.UnsafePointer.value(this.#pointer), length: this.length };
  }

  view(): ArrayBuffer {
    return viewMemory(this.address);
  }

  close(): void {
    if (this.#pointer === null) return;
    unmapMemory(this.#pointer, this.length);
    this.#pointer = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A view of memory that somebody else owns and keeps mapped for as long as the view is used. */
export function viewMemory({ address, length }: MemoryAddress): ArrayBuffer {
  return Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(address)!, length);
}

/** Memory that other threads see too, as it is posted to them: of this process alone, or mapped. */
export type PostedMemory = SharedArrayBuffer | MemoryAddress;

/** This thread's view of memory that was posted to it. */
export function viewPosted(memory: PostedMemory): ArrayBufferLike {
  return memory instanceof SharedArrayBuffer ? memory : viewMemory(memory);
}
