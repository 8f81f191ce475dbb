/**
 * poll(2) beside the event loop: it waits in a thread of its own, so that timers, HTTP and everything else go on. For
 * control work; the data path waits in its own thread with PollSet.
 *
 * @module
 */
import { closeFd, libc, openEventFd, signalEventFd } from "./libc.ts";
import { MappedMemory } from "./memory.ts";
import { POLLFD, UAPI } from "./uapi.ts";

export interface Awaited {
  readonly fd: number;
  /** POLLIN, POLLOUT; errors are always waited for too. */
  readonly events: number;
}

/** How long to wait where poll(2) itself fails: out of memory, in practice. */
const FAILED_MS = 10;
const PAGE_BYTES = 4096;
const COUNT_BYTES = 8;

/**
 * Resolves after some milliseconds. For the way to the first packet: the first `setTimeout` of a process loads Node's
 * timers, which takes 12 ms and with busy CPUs 30.
 */
export async function pause(milliseconds: number): Promise<void> {
  await libc().symbols.poll_elsewhere(null, 0, milliseconds);
}

export class AsyncPoll implements Disposable {
  /** Memory that C keeps while we run on, so none of JavaScript's. */
  #memory = MappedMemory.anonymous(PAGE_BYTES, "map a poll set");
  #words = new Int32Array(this.#memory.view());
  readonly #eventFd = openEventFd();
  /** True from a wake until the wait that it ends. */
  #woken = false;
  #waiting = false;

  /**
   * Waits until something happens to one of the sockets, for a time at most, or until {@linkcode wake}. One wait at a
   * time; no socket may be closed meanwhile.
   *
   * @param timeoutMs Rounded up to whole milliseconds.
   * @returns for each socket whether anything happened to it.
   */
  async wait(sockets: readonly Awaited[], timeoutMs: number): Promise<readonly boolean[]> {
    const entries = [{ fd: this.#eventFd, events: UAPI.POLLIN }, ...sockets];
    this.#reserve(entries.length * POLLFD.size + COUNT_BYTES);
    const [stride, flags] = [POLLFD.size / 4, POLLFD.events / 4];
    entries.forEach(({ fd, events }, index) => {
      this.#words[index * stride] = fd;
      this.#words[index * stride + flags] = events; // revents, its upper half, is 0
    });
    const pointer = Deno.UnsafePointer.create(this.#memory.address.address);
    this.#waiting = true;
    const result = await libc().symbols.poll_elsewhere(pointer, entries.length, Math.ceil(Math.max(0, timeoutMs)));
    this.#waiting = false;
    if (result < 0) await new Promise((resolve) => setTimeout(resolve, FAILED_MS));
    if (this.#woken) this.#rest();
    return sockets.map((_, index) => result > 0 && this.#words[(index + 1) * stride + flags]! >>> 16 !== 0);
  }

  /** Ends the wait that goes on, or the next one. */
  wake(): void {
    if (this.#woken) return;
    this.#woken = true;
    signalEventFd(this.#eventFd);
  }

  /** The count of the eventfd goes to the last bytes of the memory, which no entry reaches. */
  #rest(): void {
    this.#woken = false;
    const { address, length } = this.#memory.address;
    libc().symbols.eventfd_read(this.#eventFd, Deno.UnsafePointer.create(address + BigInt(length - COUNT_BYTES)));
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#memory.length) return;
    this.#memory.close();
    this.#memory = MappedMemory.anonymous(Math.ceil(bytes * 2 / PAGE_BYTES) * PAGE_BYTES, "map a poll set");
    this.#words = new Int32Array(this.#memory.view());
  }

  /** Not during a wait. */
  [Symbol.dispose](): void {
    if (this.#waiting) throw new Error("A wait goes on: wake it and await its end first");
    this.#memory.close();
    closeFd(this.#eventFd);
  }
}
