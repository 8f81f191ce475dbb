/**
 * Memory that outlives a process: a memfd, which another process maps as well, and which is there for as long as any
 * has it. It begins with a page that says what it is, so that nobody takes one thing for another, or an older layout
 * for its own.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { closeFd, makeMemoryFile } from "./libc.ts";
import { MappedMemory, type MemoryAddress, viewMemory } from "./memory.ts";

/** "XDPSTMEM", as a little-endian number of 64 bits. */
const MAGIC = 0x4d454d5453504458n;
const VERSION = 1;
/** The page before the data; packet memory has to begin with a page. */
const HEAD_BYTES = 4096;
const HEAD = { magic: 0, version: 8, shape: 12, bytes: 16 } as const;
/** No larger one is mapped, whatever a file says. */
const MAX_BYTES = 2 ** 31;

export interface SharedMemoryOptions {
  /** What it holds, for errors and /proc/PID/maps: `packets of queue 0`. */
  readonly name: string;
  /** Everything that decides where things are in it, in words. Two are of one shape where these are the same. */
  readonly shape: string;
  readonly bytes: number;
  /** True: all pages are there from the start, so that nobody waits for one. */
  readonly populate?: boolean;
}

/** One such memory, mapped. Owned by the object; the descriptor too. */
export class SharedMemory implements Disposable {
  readonly fd: number;
  readonly bytes: number;
  readonly #mapping: MappedMemory;
  #closed = false;

  private constructor(fd: number, { name, bytes, populate = false }: SharedMemoryOptions) {
    this.fd = fd;
    this.bytes = bytes;
    const [length, what] = [HEAD_BYTES + bytes, `map ${bytes} bytes of ${name}`];
    try {
      this.#mapping = populate ? MappedMemory.shared(fd, length, 0, what) : MappedMemory.lazy(fd, length, what);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  /** Makes one, of zeros. @throws {SyscallError} */
  static create(options: SharedMemoryOptions): SharedMemory {
    const memory = new SharedMemory(makeMemoryFile(options.name, HEAD_BYTES + options.bytes), options);
    const head = memory.#head;
    head.setUint32(HEAD.version, VERSION, true);
    head.setUint32(HEAD.shape, hashOf(new TextEncoder().encode(options.shape)), true);
    head.setBigUint64(HEAD.bytes, BigInt(options.bytes), true);
    head.setBigUint64(HEAD.magic, MAGIC, true);
    return memory;
  }

  /**
   * Takes one over that another process has made.
   *
   * @param fd Closed where this throws.
   * @throws {SteerError} where it is another one, or of another shape.
   */
  static adopt(fd: number, options: SharedMemoryOptions): SharedMemory {
    const { name, bytes, shape } = options;
    let size: number;
    try {
      size = Deno.statSync(`/proc/self/fd/${fd}`).size;
    } catch {
      size = -1;
    }
    if (size !== HEAD_BYTES + bytes || size > MAX_BYTES + HEAD_BYTES) {
      closeFd(fd);
      throw new SteerError(`The memory for ${name} has ${size} bytes: expected ${HEAD_BYTES + bytes}`);
    }
    const memory = new SharedMemory(fd, options);
    const head = memory.#head;
    const isOurs = head.getBigUint64(HEAD.magic, true) === MAGIC && head.getUint32(HEAD.version, true) === VERSION;
    if (isOurs && head.getUint32(HEAD.shape, true) === hashOf(new TextEncoder().encode(shape))) return memory;
    memory.close();
    throw new SteerError(`The memory for ${name} has another layout than this version's`);
  }

  /** Where the data are; can be posted to other threads. */
  get address(): MemoryAddress {
    const { address } = this.#mapping.address;
    return { address: address + BigInt(HEAD_BYTES), length: this.bytes };
  }

  view(): ArrayBuffer {
    return viewMemory(this.address);
  }

  /** Closes the descriptor. It stays mapped, for those who may still look at it when the process ends. */
  closeFile(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFd(this.fd);
  }

  /** Unmaps it: no thread may touch it any more. It is gone when no other process has it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#mapping.close();
    closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #head(): DataView {
    return new DataView(viewMemory({ ...this.#mapping.address, length: HEAD_BYTES }));
  }
}

/** FNV-1a, 32 bits: tells what has changed, and is not against anybody. */
export function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash >>> 0;
}
