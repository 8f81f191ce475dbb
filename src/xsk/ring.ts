/**
 * The two sides of an AF_XDP ring over mapped memory. The kernel owns the other side.
 *
 * Indexes run freely over 32 bits and are kept as int32, where subtraction wraps as it should; masked, they name an
 * entry. The peer's index is cached and loaded again only when the cached one is not enough; our own is published once
 * per batch.
 *
 * There is an acquire or release where net/xdp/xsk_queue.h asks for one: before entries are read that the kernel wrote,
 * and after ours were written or read. Everything else is a plain load. It may be out of date, which is found out at
 * the next turn.
 *
 * @see {@link https://docs.kernel.org/networking/af_xdp.html#rings}
 * @module
 */
import { UAPI, XDP_DESC } from "../ffi/uapi.ts";

/** Where things are in a ring's memory, in 32-bit words; from XDP_MMAP_OFFSETS. */
export interface RingLayout {
  readonly producer: number;
  readonly consumer: number;
  readonly flags: number;
  readonly entries: number;
  /** Number of entries; a power of two. */
  readonly size: number;
}

/** log2 of the words in one entry of an rx or tx ring (`struct xdp_desc`). */
export const DESC_SHIFT = 2;
/** log2 of the words in one entry of a fill or completion ring (a 64-bit UMEM address). */
export const ADDR_SHIFT = 1;
/** Word of a desc that holds the length; word 0 is the low half of the address. */
export const DESC_LENGTH = XDP_DESC.len / 4;

// An export is looked up at each use, a module's own constant is part of the code.
const descShift = DESC_SHIFT;
const addrShift = ADDR_SHIFT;
const needWakeup = UAPI.XDP_RING_NEED_WAKEUP;

/**
 * On x86-64 every store is a release and every load an acquire, and V8 emits them in the order of the program, as the
 * kernel's own smp_store_release() is a plain store there. Atomics.store would be a locked exchange on a cache line
 * that another CPU has, which stands still until the line has come.
 */
const totalStoreOrder = Deno.build.arch === "x86_64";

/** Stores an index for the peer, after everything done to entries before. */
function publish(words: Int32Array, at: number, index: number): void {
  if (totalStoreOrder) words[at] = index;
  else Atomics.store(words, at, index);
}

/** Loads the peer's index, before anything done to entries afterwards. */
function observe(words: Int32Array, at: number): number {
  return totalStoreOrder ? words[at]! : Atomics.load(words, at);
}

/** What both sides share: where things are, and what the indexes say. */
abstract class Ring {
  readonly words: Int32Array;
  // Numbers start as numbers: a field that was undefined first is checked each time it is read.
  readonly size: number = 0;
  protected readonly producerAt: number = 0;
  protected readonly consumerAt: number = 0;
  protected readonly flagsAt: number = 0;
  readonly #mask: number = 0;
  readonly #entries: number = 0;

  constructor(words: Int32Array, layout: RingLayout) {
    this.words = words;
    this.size = layout.size;
    this.producerAt = layout.producer;
    this.consumerAt = layout.consumer;
    this.flagsAt = layout.flags;
    this.#mask = layout.size - 1;
    this.#entries = layout.entries;
  }

  /** Entries that one side has published and the other has not taken yet. Hot path: no atomics. */
  pending(): number {
    return (this.words[this.producerAt]! - this.words[this.consumerAt]!) | 0;
  }

  /** True when the kernel wants a system call before it looks at this ring again. Hot path: no atomics. */
  needsWakeup(): boolean {
    return (this.words[this.flagsAt]! & needWakeup) !== 0;
  }

  /** Word index of a desc entry, in an rx or tx ring. */
  descAt(index: number): number {
    return this.#entries + ((index & this.#mask) << descShift);
  }

  /** Word index of an address entry, in a fill or completion ring. */
  addrAt(index: number): number {
    return this.#entries + ((index & this.#mask) << addrShift);
  }
}

/** The side that adds entries: fill ring and tx ring. */
export class ProducerRing extends Ring {
  /** Next index to reserve. */
  producer = 0;
  /**
   * The kernel's consumer index as last seen, plus the size: what the producer may grow to. Itself where it was not
   * seen yet.
   */
  #limit = 0;

  constructor(words: Int32Array, layout: RingLayout) {
    super(words, layout);
    this.producer = Atomics.load(words, layout.producer);
    this.#limit = this.producer;
  }

  /**
   * Forgets what is cached. For a ring that several threads produce into, after taking its lock: that was the acquire.
   */
  resync(): void {
    this.producer = this.words[this.producerAt]!;
    this.#limit = this.producer;
  }

  /** How many of `count` entries {@linkcode reserve} would give: fewer when the ring is full, down to 0. */
  room(count: number): number {
    let free = (this.#limit - this.producer) | 0;
    if (free < count) {
      // Plain: that entries are written only where this says there is room keeps the order (xsk_queue.h's control
      // dependency).
      this.#limit = (this.words[this.consumerAt]! + this.size) | 0;
      free = (this.#limit - this.producer) | 0;
    }
    return free < count ? free : count;
  }

  /**
   * Reserves up to `count` entries, to be written at `descAt(first + i)` or `addrAt(first + i)`, where `first` was
   * `producer` before the call. The kernel made the ring of zeros, so words that are to be 0 need not be written.
   *
   * @returns How many were reserved.
   */
  reserve(count: number): number {
    const reserved = this.room(count);
    this.producer = (this.producer + reserved) | 0;
    return reserved;
  }

  /** Hands every reserved entry to the kernel. What is in them belongs to the kernel from now on. */
  submit(): void {
    publish(this.words, this.producerAt, this.producer);
  }
}

/** The side that takes entries: rx ring and completion ring. */
export class ConsumerRing extends Ring {
  /** Next index to take. */
  consumer = 0;
  /** The kernel's producer index as last seen. */
  #available = 0;

  constructor(words: Int32Array, layout: RingLayout) {
    super(words, layout);
    this.consumer = Atomics.load(words, layout.consumer);
    this.#available = this.consumer;
  }

  /**
   * Forgets what is cached. For a ring that several threads consume from, after taking its lock: that was the acquire.
   */
  resync(): void {
    this.consumer = this.words[this.consumerAt]!;
    this.#available = this.consumer;
  }

  /**
   * Takes up to `count` entries, to be read at `descAt(first + i)` or `addrAt(first + i)`, where `first` was `consumer`
   * before the call. They stay the ring's until {@linkcode release}.
   *
   * @returns How many there are, down to 0.
   */
  peek(count: number): number {
    let ready = (this.#available - this.consumer) | 0;
    if (ready < count && this.words[this.producerAt] !== this.#available) {
      this.#available = observe(this.words, this.producerAt);
      ready = (this.#available - this.consumer) | 0;
    }
    const taken = ready < count ? ready : count;
    this.consumer = (this.consumer + taken) | 0;
    return taken;
  }

  /** The index up to which the kernel has put entries in. */
  get published(): number {
    return observe(this.words, this.producerAt);
  }

  /** A hint: false may be out of date, true may be what another thread has taken already. Hot path: no atomics. */
  hasNews(): boolean {
    return this.words[this.producerAt] !== this.consumer;
  }

  /** Gives the place of every peeked entry back to the kernel. What was in them belongs to the caller. */
  release(): void {
    publish(this.words, this.consumerAt, this.consumer);
  }
}
