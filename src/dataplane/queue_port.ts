/**
 * One worker's end of one queue: its socket's rx and tx ring, and its hand in the queue's chunk circulation.
 *
 * @module
 */
import { wakeTx } from "../ffi/libc.ts";
import { type MemoryAddress, viewMemory } from "../ffi/memory.ts";
import { ChunkExchange } from "../xsk/chunks.ts";
import { type ConsumerRing, DESC_LENGTH, DESC_OPTIONS, type ProducerRing } from "../xsk/ring.ts";
import { consumerRing, producerRing, type RingAddress } from "../xsk/rings.ts";
import { type Batch, BATCH_SIZE, DISPOSAL } from "./batch.ts";

/** Everything a worker needs to rebuild its view of a queue; can be posted. */
export interface QueuePortDescription {
  readonly interfaceName: string;
  readonly queue: number;
  readonly fd: number;
  readonly zeroCopy: boolean;
  readonly rx: RingAddress;
  readonly tx: RingAddress;
  readonly fill: RingAddress;
  readonly completion: RingAddress;
  readonly umem: { readonly memory: MemoryAddress; readonly chunkSize: number; readonly chunks: number };
  /** Chunks that stay out of the fill ring: packets of other interfaces are copied into them. */
  readonly reserve: number;
  /** From createQueueState(), one per queue. */
  readonly state: SharedArrayBuffer;
}

/** Wakeups per turn: the kernel sends a limited number of packets per call in copy mode. */
const TX_WAKEUPS_MAX = 4;
/** Where a copied frame starts in its chunk: drivers may want room before it. */
const COPY_AT = 256;

// An import is looked up at each use, a module's own constant is part of the code.
const batchSize = BATCH_SIZE;
const lengthWord = DESC_LENGTH;
const optionsWord = DESC_OPTIONS;
const { park, transmit } = DISPOSAL;

export class QueuePort {
  readonly umem: DataView;
  readonly exchange: ChunkExchange;
  readonly fd: number;
  readonly zeroCopy: boolean;
  readonly #rx: ConsumerRing;
  readonly #tx: ProducerRing;
  /** True while entries of the tx ring may still need a wakeup. */
  unsent = false;
  readonly #words: Int32Array;
  #copied = 0;

  constructor(description: QueuePortDescription) {
    const { umem } = description;
    this.fd = description.fd;
    this.zeroCopy = description.zeroCopy;
    const memory = viewMemory(umem.memory);
    this.umem = new DataView(memory);
    this.#words = new Int32Array(memory);
    this.#rx = consumerRing(description.rx);
    this.#tx = producerRing(description.tx);
    this.exchange = new ChunkExchange(
      description.state,
      producerRing(description.fill),
      consumerRing(description.completion),
      umem.chunkSize,
      umem.chunks,
      description.reserve,
    );
  }

  /** Moves up to a batch of packets out of the rx ring. Hot path: no allocation. */
  receive(batch: Batch): number {
    const rx = this.#rx;
    const count = rx.peek(batchSize);
    batch.count = count;
    if (count === 0) return 0;
    const { words } = rx;
    const { addr: addrs, length: lengths } = batch;
    const first = (rx.consumer - count) | 0;
    for (let index = 0; index < count; index++) {
      const at = rx.descAt((first + index) | 0);
      addrs[index] = words[at]!;
      lengths[index] = words[at + lengthWord]!;
    }
    rx.release();
    return count;
  }

  /** Reserves room in the tx ring, to be used or given back by {@linkcode dispose}. */
  reserveTx(count: number): number {
    return this.#tx.reserve(count);
  }

  /**
   * Sends or gives back every packet of a batch, as processing decided. Hot path: no allocation.
   *
   * @param reserved From {@linkcode reserveTx}.
   * @param transmitted How many of them processing used.
   */
  dispose(batch: Batch, reserved: number, transmitted: number): void {
    const { exchange } = this;
    const { chunkMask, returned } = exchange;
    const { count, addr: addrs, length: lengths, disposal: disposals } = batch;
    const tx = this.#tx;
    tx.cancel(reserved - transmitted);
    const words = tx.words;
    let next = (tx.producer - transmitted) | 0;
    let returnedCount = exchange.returnedCount;
    for (let index = 0; index < count; index++) {
      const addr = addrs[index]!;
      const disposal = disposals[index];
      if (disposal !== transmit) {
        if (disposal !== park) returned[returnedCount++] = addr & chunkMask;
        continue;
      }
      const at = tx.descAt(next);
      words[at] = addr;
      words[at + 1] = 0;
      words[at + lengthWord] = lengths[index]!;
      words[at + optionsWord] = 0;
      next = (next + 1) | 0;
    }
    exchange.returnedCount = returnedCount;
    if (transmitted > 0) {
      tx.submit();
      this.unsent = true;
    }
  }

  /**
   * Copies a frame from another UMEM into a chunk of this one and puts it in the tx ring, where it waits for {@linkcode submitCopied}.
   * Hot path: no allocation.
   *
   * @returns False when there is no room in the ring, or no chunk.
   */
  copyIn(from: DataView, addr: number, length: number): boolean {
    const tx = this.#tx;
    if (tx.reserve(1) === 0) return false;
    const chunk = this.exchange.take();
    if (chunk < 0) {
      tx.cancel(1);
      return false;
    }
    // Whole words, the first and last of which may be more than the frame: both ends are within its chunk.
    const skew = addr & 3;
    const to = (chunk + COPY_AT) >> 2;
    const words = (skew + length + 3) >> 2;
    const target = this.#words;
    const first = addr - skew;
    for (let word = 0; word < words; word++) target[to + word] = from.getInt32(first + (word << 2), true);
    const at = tx.descAt((tx.producer - 1) | 0);
    tx.words[at] = chunk + COPY_AT + skew;
    tx.words[at + 1] = 0;
    tx.words[at + lengthWord] = length;
    tx.words[at + optionsWord] = 0;
    this.#copied++;
    return true;
  }

  /** Hands the frames copied in to the kernel. */
  submitCopied(): void {
    if (this.#copied === 0) return;
    this.#copied = 0;
    this.#tx.submit();
    this.unsent = true;
    this.exchange.restock();
  }

  /**
   * Makes the kernel look at the tx ring while it holds something and asks to be woken. Hot path: no allocation.
   *
   * @returns System calls made.
   */
  flushTx(): number {
    const tx = this.#tx;
    let pending = tx.pending();
    let wakeups = 0;
    while (pending > 0 && wakeups < TX_WAKEUPS_MAX && tx.needsWakeup()) {
      wakeTx(this.fd);
      wakeups++;
      const left = tx.pending();
      if (left === pending) break; // no buffer or the device is busy: next turn
      pending = left;
    }
    this.unsent = pending > 0;
    return wakeups;
  }
}

/** True while a port's chunks still have to go to the fill ring: the lock was taken by another worker. */
export function chunksDue(ports: readonly QueuePort[]): boolean {
  for (let index = 0; index < ports.length; index++) {
    if (ports[index]!.exchange.due) return true;
  }
  return false;
}

/** True while a port has packets to send, chunks to give back, or a fill ring that will soon miss those on their way. */
export function unfinished(ports: readonly QueuePort[]): boolean {
  for (let index = 0; index < ports.length; index++) {
    const port = ports[index]!;
    if (port.unsent || port.exchange.due || port.exchange.low) return true;
  }
  return false;
}

/** True while many of a port's chunks are on their way through the kernel, and will come back without a wakeup. */
export function chunksAway(ports: readonly QueuePort[]): boolean {
  for (let index = 0; index < ports.length; index++) {
    if (ports[index]!.exchange.away) return true;
  }
  return false;
}

export function fillNeedsWakeup(ports: readonly QueuePort[]): boolean {
  for (let index = 0; index < ports.length; index++) {
    if (ports[index]!.exchange.needsWakeup()) return true;
  }
  return false;
}
