/**
 * Where the chunks of a queue are when nobody but the kernel has it: after a crash. What is in no ring and not in the
 * kernel's hands was in those of a worker that has ended, and is free.
 *
 * @module
 */
import type { RingAddress } from "./rings.ts";
import { ADDR_SHIFT, DESC_SHIFT } from "./ring.ts";
import { viewMemory } from "../ffi/memory.ts";

/** A ring as it stands, whichever side is whose. */
export class StandingRing {
  readonly #words: Int32Array;

  constructor(private readonly ring: RingAddress, private readonly shift: number) {
    const { memory } = ring;
    this.#words = new Int32Array(viewMemory(memory), 0, memory.length >> 2);
  }

  get producer(): number {
    return Atomics.load(this.#words, this.ring.layout.producer);
  }

  get consumer(): number {
    return Atomics.load(this.#words, this.ring.layout.consumer);
  }

  get pending(): number {
    return (this.producer - this.consumer) | 0;
  }

  get size(): number {
    return this.ring.layout.size;
  }

  /** The address in the entry of an index. */
  addressAt(index: number): number {
    const { entries, size } = this.ring.layout;
    return this.#words[entries + ((index & (size - 1)) << this.shift)]!;
  }

  /** The addresses of entries that the other side has not taken. */
  *addresses(): Iterable<number> {
    const { consumer, pending } = this;
    for (let index = 0; index < pending; index++) yield this.addressAt((consumer + index) | 0);
  }
}

export interface StandingQueue {
  readonly fill: StandingRing;
  readonly completion: StandingRing;
  readonly rx: readonly StandingRing[];
  readonly tx: readonly StandingRing[];
}

export function standingQueue(
  fill: RingAddress,
  completion: RingAddress,
  sockets: readonly { readonly rx: RingAddress; readonly tx: RingAddress }[],
): StandingQueue {
  return {
    fill: new StandingRing(fill, ADDR_SHIFT),
    completion: new StandingRing(completion, ADDR_SHIFT),
    rx: sockets.map(({ rx }) => new StandingRing(rx, DESC_SHIFT)),
    tx: sockets.map(({ tx }) => new StandingRing(tx, DESC_SHIFT)),
  };
}

export interface Census {
  /** Chunks that nobody has. */
  readonly free: readonly number[];
  /** How many are in the fill ring, in the kernel for packets that come, and in rx rings. */
  readonly lent: number;
  /** How many that nobody has cannot be told from the kernel's: they are lost until the queue is opened again. */
  readonly lost: number;
}

/** Packets in tx rings that the kernel has taken, and not yet sent. */
export function sending({ tx, completion }: StandingQueue): number {
  return (tx.reduce((sum, ring) => (sum + ring.consumer) | 0, 0) - completion.producer) | 0;
}

/**
 * Looks at a queue. The kernel may not put packets into its rx rings meanwhile.
 *
 * @param chunks How many it has, of `chunkSize` bytes each.
 * @param spares Those that its workers had put aside: the kernel has none of them.
 */
export function takeCensus(
  queue: StandingQueue,
  chunks: number,
  chunkSize: number,
  spares: readonly number[],
): Census {
  const { fill, completion, rx, tx } = queue;
  const isSeen = new Uint8Array(chunks);
  let seen = 0;
  const see = (address: number): void => {
    const chunk = Math.trunc(address / chunkSize);
    if (chunk < 0 || chunk >= chunks || isSeen[chunk] === 1) return;
    isSeen[chunk] = 1;
    seen++;
  };
  for (const ring of [fill, completion, ...rx, ...tx]) for (const address of ring.addresses()) see(address);

  // Every packet in an rx ring, ever, has taken one chunk of the fill ring.
  const held = (fill.consumer - rx.reduce((sum, ring) => (sum + ring.producer) | 0, 0)) | 0;
  const lent = fill.pending + held + rx.reduce((sum, ring) => sum + ring.pending, 0);
  const free: number[] = [];
  const take = (address: number): void => {
    const before = seen;
    see(address);
    if (seen > before) free.push(address);
  };
  for (const address of spares) take(address);
  // Of those that the kernel has it may be any; but these are all there ever were.
  if (sending(queue) !== 0) { for (const ring of tx) for (let at = 0; at < ring.size; at++) see(ring.addressAt(at)); }
  const before = seen;
  // Where it copies, it has one at most: the last one that it took, for which there was no room in an rx ring.
  if (held === 1 && fill.pending < fill.size) see(fill.addressAt((fill.consumer - 1) | 0));
  const isKnown = held === 0 || held === 1 && seen === before + 1;
  if (!isKnown) return { free, lent, lost: Math.max(0, chunks - seen - Math.max(0, held)) };
  for (let chunk = 0; chunk < chunks; chunk++) take(chunk * chunkSize);
  return { free, lent, lost: 0 };
}
