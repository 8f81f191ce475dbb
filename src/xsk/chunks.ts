/**
 * How the chunks of one queue's UMEM find their way back to its fill ring.
 *
 * The queue's workers share one fill and one completion ring, so where there are several, whoever touches them holds
 * the queue's try-lock: a word in shared memory. A worker that does not get it keeps its chunks for its next turn and
 * never waits.
 *
 * A chunk has one owner at any time: the fill ring, the kernel, an rx ring, a worker's batch, a tx ring, the completion
 * ring, a worker's list of returned chunks, or the queue's spares. What is in a worker's hands stands in memory that
 * others see ({@linkcode ChunkHand}): its thread may not go on.
 *
 * A chunk is lent from when it goes into the fill ring until its packet is taken out of an rx ring. No more are lent
 * than the rx rings can hold packets, since the kernel would have no use for more: the fewer chunks take turns, the
 * more of them are in a cache.
 *
 * @module
 */
import type { SharedMemoryOptions } from "../ffi/shared_memory.ts";
import { ChunkHand, MAX_STOCK } from "./hand.ts";
import type { ConsumerRing, ProducerRing } from "./ring.ts";

/** Words of the shared state before the spares. */
const LOCK = 0;
const SPARE_COUNT = 1;
const LENT = 2;
const SPARES = 3;

/**
 * Chunks that make the lock and four atomics worth it. A worker keeps fewer than these, and less than 1/64 of the
 * queue's.
 */
const MAX_KEEP = 64;
/** More than there are workers: the lock names the process and the thread that has it. */
const HOLDERS = 1024;

/**
 * How many chunks are to be lent where the kernel copies packets: what `workers` rx rings of `rxSize` hold, and what
 * each worker may have in hand, in a batch and returned.
 */
export function lendableChunks(rxSize: number, workers: number): number {
  return workers * (rxSize + 2 * MAX_KEEP);
}

/** Makes the shared state of one queue: the lock, and room for every chunk to be a spare. */
export function createQueueState(chunks: number): SharedArrayBuffer {
  return new SharedArrayBuffer(queueStateBytes(chunks));
}

function queueStateBytes(chunks: number): number {
  return (SPARES + chunks) * Int32Array.BYTES_PER_ELEMENT;
}

/** What the same has to be where a process after this one goes on with it. */
export function queueStateMemory(chunks: number): SharedMemoryOptions {
  return {
    name: "xdpsteer chunks",
    shape: `lock ${LOCK} of ${HOLDERS} spares ${SPARE_COUNT} lent ${LENT} from ${SPARES}`,
    bytes: queueStateBytes(chunks),
  };
}

/** What stands in a queue's lock while a worker of a process has it. */
export function lockHolder(process: number, worker: number): number {
  return process * HOLDERS + worker + 1;
}

/**
 * Opens the lock of a queue, where a process has it that has ended, or a worker whose thread never goes on.
 *
 * @param worker Default: whichever it is.
 */
export function unlockQueue(state: ArrayBufferLike, process: number, worker?: number): void {
  const words = new Int32Array(state);
  const holder = Atomics.load(words, LOCK);
  if (worker === undefined ? Math.trunc(holder / HOLDERS) !== process : holder !== lockHolder(process, worker)) return;
  Atomics.compareExchange(words, LOCK, holder, 0);
}

/** What a queue's workers have put aside. A process that was killed may have left some that are in a ring by now. */
export function sparesOf(state: ArrayBufferLike): readonly number[] {
  const words = new Int32Array(state);
  return [...words.subarray(SPARES, SPARES + Math.max(0, words[SPARE_COUNT]!))];
}

/**
 * Writes down where a queue's chunks are, when no worker of any process has any: the lock is open, and all that are
 * free are spares.
 *
 * @param lent How many are lent; see {@linkcode ChunkExchange}.
 */
export function settleQueue(state: ArrayBufferLike, free: readonly number[], lent: number): void {
  const words = new Int32Array(state);
  words.set(free, SPARES);
  words[SPARE_COUNT] = free.length;
  words[LENT] = lent;
  Atomics.store(words, LOCK, 0);
}

/** One worker's hand in the circulation of one queue's chunks. */
export class ChunkExchange {
  readonly #state: Int32Array;
  readonly #shared: boolean;
  readonly #holder: number = 0;
  readonly #fill: ProducerRing;
  readonly #completion: ConsumerRing;
  readonly #chunks: number = 0;
  readonly #keep: number = 0;
  readonly #reserve: number = 0;
  readonly #lendable: number = 0;
  readonly #hand: ChunkHand;
  /** Chunks in hand for {@linkcode take}. */
  readonly #stock: Int32Array;
  #stockCount = 0;
  /** Addresses of chunks this worker is done with; added by {@linkcode giveBack}, or by who knows what that does. */
  readonly returned: Int32Array;
  returnedCount = 0;
  /** Packets taken out of this worker's rx ring since the last exchange; added to by who takes them. */
  received = 0;
  /** A quarter of what the fill ring holds at most. */
  readonly quarter: number = 0;
  /** Makes the address of a chunk of any address within it. */
  readonly chunkMask: number = 0;

  /**
   * @param state From {@linkcode createQueueState}, the same for all workers of the queue.
   * @param chunkSize Bytes per chunk, a power of two.
   * @param chunks How many chunks the queue's UMEM has.
   * @param reserve How many of them stay out of the fill ring, for {@linkcode take}.
   * @param shared False where no other worker has this queue: there is no lock to take, and what is cached of the rings
   * stays true.
   * @param holder From {@linkcode lockHolder}: the lock says who has it.
   * @param lendable How many chunks are lent at most. All where a driver fills a ring of its own with them (zero-copy).
   */
  constructor(
    state: ArrayBufferLike,
    fill: ProducerRing,
    completion: ConsumerRing,
    chunkSize: number,
    chunks: number,
    reserve = 0,
    shared = true,
    lendable = chunks,
    holder = lockHolder(1, 0),
    hand = new ChunkHand(chunks),
  ) {
    this.#hand = hand;
    this.#holder = holder;
    this.#shared = shared;
    this.#lendable = lendable;
    this.#reserve = reserve;
    this.#stock = hand.stock.subarray(0, Math.min(MAX_STOCK, reserve >> 3));
    this.#state = new Int32Array(state);
    this.#fill = fill;
    this.#completion = completion;
    this.chunkMask = ~(chunkSize - 1);
    this.#chunks = chunks;
    this.quarter = Math.min(chunks, fill.size, lendable) >> 2;
    this.#keep = Math.min(MAX_KEEP, Math.max(1, chunks >> 6));
    this.returned = hand.returned;
  }

  /** Forgets what is cached of the rings. */
  resync(): void {
    this.#completion.resync();
    this.#fill.resync();
  }

  /**
   * The end is this worker's from now on.
   *
   * @param opened Which opening of the queue this is.
   * @param taken The rx ring's index.
   */
  begin(opened: number, taken: number): void {
    this.#hand.begin(opened, taken);
  }

  /**
   * Goes on with what another thread has left in its hands.
   *
   * @param taken The rx ring's index.
   */
  resume(taken: number): void {
    this.returnedCount = this.#hand.returnedCount;
    this.#stockCount = this.#hand.stockCount;
    this.received = (taken - this.#hand.exchanged) | 0;
  }

  /** Notes how many chunks were returned: others see it. Hot path: once per batch. */
  noteReturned(count: number): void {
    this.returnedCount = count;
    this.#hand.returnedCount = count;
  }

  /** The same of chunks that were taken to write packets into. Hot path: once per batch. */
  noteStock(): void {
    this.#hand.stockCount = this.#stockCount;
  }

  /** Whether a chunk is among those returned. Not for the hot path. */
  hasReturned(addr: number): boolean {
    return this.returned.subarray(0, this.returnedCount).includes(addr & this.chunkMask);
  }

  /** Takes a chunk back from a batch. `addr` may point anywhere into it. Hot path: no allocation. */
  giveBack(addr: number): void {
    this.returned[this.returnedCount++] = addr & this.chunkMask;
  }

  /**
   * Takes a chunk to write a packet into; it goes to a tx ring next, or back. Hot path: no allocation.
   *
   * @returns Its address, or -1 where there is none just now.
   */
  take(): number {
    if (this.#stockCount === 0) this.#fillStock();
    return this.#stockCount === 0 ? -1 : this.#stock[--this.#stockCount]!;
  }

  /**
   * Makes up for what {@linkcode take} took, in time: when the stock is empty, another worker may hold the lock. Hot
   * path.
   */
  restock(): void {
    if (this.#stockCount <= this.#stock.length >> 1) this.#fillStock();
  }

  /** @returns False when another worker holds the lock. */
  #lock(): boolean {
    if (!this.#shared) return true;
    if (Atomics.compareExchange(this.#state, LOCK, 0, this.#holder) !== 0) return false;
    this.resync();
    return true;
  }

  #unlock(): void {
    if (this.#shared) Atomics.store(this.#state, LOCK, 0);
  }

  #fillStock(): void {
    if (!this.#lock()) return;
    const state = this.#state;
    const stock = this.#stock;
    let count = this.#stockCount;
    let spares = state[SPARE_COUNT]!;
    while (spares > 0 && count < stock.length) stock[count++] = state[SPARES + --spares]!;
    state[SPARE_COUNT] = spares;
    const completion = this.#completion;
    const completed = completion.peek(stock.length - count);
    const first = (completion.consumer - completed) | 0;
    for (let index = 0; index < completed; index++) {
      stock[count++] = completion.words[completion.addrAt((first + index) | 0)]! & this.chunkMask;
    }
    if (completed > 0) completion.release();
    this.#stockCount = count;
    this.#hand.stockCount = count;
    this.#unlock();
  }

  /** Puts every chunk of the UMEM into circulation. Once, by one thread, before the socket is bound. */
  seed(): void {
    for (let chunk = 0; chunk < this.#chunks; chunk++) this.giveBack(chunk * (-this.chunkMask));
    this.exchange();
  }

  /**
   * Moves returned chunks, completed chunks and spares to the fill ring, as many as may be lent; the rest become
   * spares. Hot path.
   *
   * @returns False when another worker holds the lock: nothing was moved.
   */
  exchange(): boolean {
    if (!this.#lock()) return false;
    const completion = this.#completion;
    const fill = this.#fill;
    const completed = completion.peek(completion.size);
    const first = (completion.consumer - completed) | 0;
    for (let index = 0; index < completed; index++) {
      this.giveBack(completion.words[completion.addrAt((first + index) | 0)]!);
    }

    const { returned, returnedCount } = this;
    const state = this.#state;
    let spares = state[SPARE_COUNT]!;
    const hand = this.#hand;
    const { received } = this;
    const lent = state[LENT]! - received;
    const room = fill.reserve(Math.max(0, Math.min(returnedCount + spares - this.#reserve, this.#lendable - lent)));
    const start = (fill.producer - room) | 0;
    const words = fill.words;
    let taken = room < returnedCount ? room : returnedCount;
    for (let index = 0; index < taken; index++) words[fill.addrAt((start + index) | 0)] = returned[index]!;
    for (let index = taken; index < room; index++) words[fill.addrAt((start + index) | 0)] = state[SPARES + --spares]!;
    while (taken < returnedCount) state[SPARES + spares++] = returned[taken++]!;
    // In this order: where the thread ends in between, chunks are lost, and none has two owners.
    this.received = this.returnedCount = 0;
    hand.returnedCount = 0;
    hand.exchanged = (hand.exchanged + received) | 0;
    state[LENT] = lent + room;
    state[SPARE_COUNT] = spares;
    if (completed > 0) completion.release();
    if (room > 0) fill.submit();
    this.#unlock();
    return true;
  }

  /**
   * Gives everything in hand back, so that another process may go on with the queue: to the fill ring or the spares.
   *
   * @returns False when another worker holds the lock: it is to be tried again.
   */
  letGo(): boolean {
    for (; this.#stockCount > 0; this.#stockCount--) this.giveBack(this.#stock[this.#stockCount - 1]!);
    this.#hand.returnedCount = this.returnedCount;
    this.#hand.stockCount = 0;
    return this.exchange();
  }

  /** True when enough waits to be moved. Hot path: no atomics; what it misses it sees at a later turn. */
  get due(): boolean {
    return this.returnedCount >= this.#keep || this.#completion.hasNews() ||
      this.received >= this.#keep && this.#state[SPARE_COUNT]! > this.#reserve;
  }

  /** Entries in the fill ring. Hot path: no atomics. */
  get filled(): number {
    return this.#fill.pending();
  }

  /** True when the driver waits for a system call before it takes from the fill ring (zero-copy only). */
  needsWakeup(): boolean {
    return this.#fill.needsWakeup();
  }

  /** Chunks in the queue's spares. For tests and status. */
  get spares(): number {
    return Atomics.load(this.#state, SPARE_COUNT);
  }
}
