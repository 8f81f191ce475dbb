/**
 * Waiting until a file descriptor has something to read, without holding up the thread that waits: poll(2) runs on a thread of
 * Deno's own, and an eventfd ends it. For control work only.
 *
 * @module
 */
import { closeFd, libc, openEventFd, signalEventFd } from "./libc.ts";
import { MappedMemory } from "./memory.ts";
import { POLLFD, UAPI } from "./uapi.ts";

const FOREVER = -1;

/** Watches one file descriptor, which stays its owner's. A wait keeps the process alive until this is disposed of. */
export class ReadableWatch implements Disposable {
  readonly #end = openEventFd();
  readonly #memory = MappedMemory.anonymous(2 * POLLFD.size, "wait for a file descriptor");
  #waiting = false;
  #disposed = false;

  constructor(fd: number) {
    const view = new DataView(this.#memory.view());
    [fd, this.#end].forEach((watched, index) => {
      view.setInt32(index * POLLFD.size + POLLFD.fd, watched, true);
      view.setInt16(index * POLLFD.size + POLLFD.events, UAPI.POLLIN, true);
    });
  }

  /**
   * Resolves when the file descriptor has something to read, or an error to be read; now and then without a reason.
   *
   * @returns False once this is disposed of: the file descriptor is no longer looked at and may be closed.
   */
  async wait(): Promise<boolean> {
    if (this.#disposed) return false;
    this.#waiting = true;
    const { address } = this.#memory.address;
    await libc().symbols.poll_elsewhere(Deno.UnsafePointer.create(address), 2, FOREVER);
    this.#waiting = false;
    if (this.#disposed) this.#release();
    return !this.#disposed;
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#waiting) signalEventFd(this.#end);
    else this.#release();
  }

  #release(): void {
    closeFd(this.#end);
    this.#memory.close();
  }
}
