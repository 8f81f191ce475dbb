/**
 * What a worker thread sleeps on, and the clock it looks at.
 *
 * @module
 */
import { libc, mapMemory } from "./libc.ts";
import { POLLFD, TIMESPEC, UAPI } from "./uapi.ts";

/** Of the clock and of what the first fd held, behind the set. */
const CLOCK_BYTES = 64;
/** An fd that poll(2) takes for none. */
const NONE = -1;

/**
 * A poll(2) set and a clock in memory that C can see. Belongs to one thread.
 *
 * Not epoll(7), which sleeps for a little less: a socket it watches calls it for every packet sent, sleeping or not,
 * and an echo came to cost 5 % more.
 */
export class PollSet {
  readonly #pointer: Deno.PointerObject;
  readonly #clock: Deno.PointerObject;
  readonly #drain: Deno.PointerObject;
  readonly #revents: Int16Array;
  readonly #time: Int32Array;
  readonly #mark = new Float64Array(1);
  /** Milliseconds; written by {@linkcode readElapsed}. */
  readonly elapsed = new Float64Array(1);
  // Taken out of the library once: there, they are looked up by name each time.
  readonly #poll = libc().symbols.poll;
  /** Reads eight bytes, which a timerfd has too. */
  readonly #eventfdRead = libc().symbols.eventfd_read;
  readonly #clockGettime = libc().symbols.clock_gettime;
  readonly #words: Int32Array;
  readonly #count: number = 0;
  readonly #first: number = 0;

  /**
   * @param wakeFd From openWakeFd(); it is emptied when it has ended a sleep.
   * @param sockets How many sockets to wait for; {@linkcode setSocket} says which.
   */
  constructor(wakeFd: number, sockets: number) {
    this.#count = 1 + sockets;
    this.#first = wakeFd;
    const clockAt = Math.ceil(this.#count * POLLFD.size / CLOCK_BYTES) * CLOCK_BYTES;
    const bytes = clockAt + CLOCK_BYTES;
    // Mapped and never unmapped: some pages per worker for the life of the process.
    this.#pointer = mapMemory(bytes, UAPI.MAP_PRIVATE | UAPI.MAP_ANONYMOUS, -1, 0, "map a poll set");
    const buffer = Deno.UnsafePointerView.getArrayBuffer(this.#pointer, bytes);
    this.#clock = Deno.UnsafePointer.offset(this.#pointer, clockAt)!;
    this.#drain = Deno.UnsafePointer.offset(this.#pointer, clockAt + TIMESPEC.size)!;
    this.#time = new Int32Array(buffer, clockAt, TIMESPEC.size / 4);
    this.#revents = new Int16Array(buffer, 0, (this.#count * POLLFD.size) / 2);
    this.#words = new Int32Array(buffer, 0, (this.#count * POLLFD.size) / 4);
    this.#set(0, wakeFd);
    for (let place = 0; place < sockets; place++) this.setSocket(place, NONE);
  }

  /** @param fd What to wait for at this place, POLLIN; -1: nothing. */
  setSocket(place: number, fd: number): void {
    this.#set(1 + place, fd);
  }

  #set(entry: number, fd: number): void {
    this.#words[(entry * POLLFD.size) / 4] = fd;
    this.#revents[(entry * POLLFD.size + POLLFD.events) / 2] = UAPI.POLLIN;
  }

  /** Sleeps until one of the fds is readable. Hot path: no allocation. @param timeoutMs -1: for ever. */
  wait(timeoutMs: number): void {
    this.#poll(this.#pointer, this.#count, timeoutMs);
    if (this.#revents[POLLFD.revents / 2] !== 0) this.#eventfdRead(this.#first, this.#drain);
  }

  /** Notes the time that {@linkcode readElapsed} counts from. Hot path: no allocation. */
  mark(): void {
    this.#clockGettime(UAPI.CLOCK_MONOTONIC, this.#clock);
    // Seconds since boot fit 31 bits for 68 years.
    this.#mark[0] = this.#time[0]! * 1e3 + this.#time[2]! / 1e6;
  }

  /**
   * Puts the time since the last mark into {@linkcode elapsed}, and marks anew. Hot path: no allocation, which is why
   * no number is returned: a double that leaves a function may be put on the heap.
   */
  readElapsed(): void {
    const before = this.#mark[0]!;
    this.mark();
    this.elapsed[0] = this.#mark[0]! - before;
  }
}
