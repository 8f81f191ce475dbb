/**
 * Where the sockets of all queue ends are, in shared memory: workers take new ones over while they run, and let go of
 * old ones. Published like every other table (steering/published.ts).
 *
 * @module
 */
import type { MemoryAddress, PostedMemory } from "../ffi/memory.ts";
import type { RingAddress } from "../xsk/rings.ts";

/** What never changes of a queue end; can be posted. */
export interface EndPlace {
  /** Number of its interface, in the order of the configuration. */
  readonly networkInterface: number;
  readonly queue: number;
  readonly chunkSize: number;
  readonly chunks: number;
  /** Chunks that stay out of the fill ring: packets of other interfaces are copied into them. */
  readonly reserve: number;
  /** How many workers have a socket on this queue. */
  readonly workers: number;
  /** Of createQueueState(), one per queue. */
  readonly state: PostedMemory;
  /** Number of this process, which stands in the queue's lock while one of its workers has it. Default: 1. */
  readonly process?: number;
}

/** The socket of a queue end. Its memory stays mapped until the worker has let go of it. */
export interface OpenEnd {
  readonly fd: number;
  readonly zeroCopy: boolean;
  readonly rx: RingAddress;
  readonly tx: RingAddress;
  readonly fill: RingAddress;
  readonly completion: RingAddress;
  readonly umem: MemoryAddress;
}

const HALVES = 2;
/** Numbers of a row: 53 bits hold an address. */
const OPENED = 0; // which opening of the queue this is; 0 while it is closed
const FD = 1;
const ZERO_COPY = 2;
const UMEM = 3; // address, length
const RINGS = 5;
const RING_NUMBERS = 7; // address, length, and the layout
const RING_KINDS = ["rx", "tx", "fill", "completion"] as const;
const ROW = RINGS + RING_KINDS.length * RING_NUMBERS;

/** Memory for both halves. */
export function createEndTables(workers: number, ends: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HALVES * workers * ends * ROW * Float64Array.BYTES_PER_ELEMENT);
}

/** One half: a row for each end of each worker. */
export class EndTable {
  readonly #numbers: Float64Array;

  constructor(memory: SharedArrayBuffer, half: number, private readonly ends: number) {
    const numbers = memory.byteLength / HALVES / Float64Array.BYTES_PER_ELEMENT;
    this.#numbers = new Float64Array(memory, half * memory.byteLength / HALVES, numbers);
  }

  copyFrom(other: EndTable): void {
    this.#numbers.set(other.#numbers);
  }

  /**
   * @param opened A number of its own for each opening; 0: the end is closed.
   * @param end Undefined where it is closed.
   */
  write(worker: number, place: number, opened: number, end: OpenEnd | undefined): void {
    const numbers = this.#numbers;
    const at = this.#row(worker, place);
    numbers.fill(0, at, at + ROW);
    if (end === undefined) return;
    numbers[at + OPENED] = opened;
    numbers[at + FD] = end.fd;
    numbers[at + ZERO_COPY] = end.zeroCopy ? 1 : 0;
    numbers[at + UMEM] = Number(end.umem.address);
    numbers[at + UMEM + 1] = end.umem.length;
    RING_KINDS.forEach((kind, index) => {
      const { memory, layout } = end[kind];
      const { producer, consumer, flags, entries, size } = layout;
      const ring = [Number(memory.address), memory.length, producer, consumer, flags, entries, size];
      numbers.set(ring, at + RINGS + index * RING_NUMBERS);
    });
  }

  /** Which opening of the end this is; 0 while it is closed. */
  opened(worker: number, place: number): number {
    return this.#numbers[this.#row(worker, place) + OPENED]!;
  }

  read(worker: number, place: number): OpenEnd {
    const numbers = this.#numbers;
    const at = this.#row(worker, place);
    const [rx, tx, fill, completion] = RING_KINDS.map((_, index): RingAddress => {
      const ring = numbers.subarray(at + RINGS + index * RING_NUMBERS, at + RINGS + (index + 1) * RING_NUMBERS);
      const [address, length, producer, consumer, flags, entries, size] = ring as unknown as SevenNumbers;
      return { memory: { address: BigInt(address), length }, layout: { producer, consumer, flags, entries, size } };
    }) as [RingAddress, RingAddress, RingAddress, RingAddress];
    return {
      fd: numbers[at + FD]!,
      zeroCopy: numbers[at + ZERO_COPY] !== 0,
      umem: { address: BigInt(numbers[at + UMEM]!), length: numbers[at + UMEM + 1]! },
      ...{ rx, tx, fill, completion },
    };
  }

  #row(worker: number, place: number): number {
    return (worker * this.ends + place) * ROW;
  }
}

type SevenNumbers = readonly [number, number, number, number, number, number, number];

export function viewEndTables(memory: SharedArrayBuffer, ends: number): readonly EndTable[] {
  return Array.from({ length: HALVES }, (_, half) => new EndTable(memory, half, ends));
}
