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
  readonly rx: RingAddress;
  readonly tx: RingAddress;
  readonly fill: RingAddress;
  readonly completion: RingAddress;
  readonly umem: { readonly memory: MemoryAddress; readonly chunkSize: number; readonly chunks: number };
  /** From createQueueState(), one per queue. */
  readonly state: SharedArrayBuffer;
}

/** Wakeups per turn: the kernel sends a limited number of packets per call in copy mode. */
const TX_WAKEUPS_MAX = 4;

// An import is looked up at each use, a module's own constant is part of the code.
const batchSize = BATCH_SIZE;
const lengthWord = DESC_LENGTH;
const optionsWord = DESC_OPTIONS;
const transmit = DISPOSAL.transmit;

export class QueuePort {
  readonly umem: DataView;
  readonly exchange: ChunkExchange;
  readonly fd: number;
  readonly #rx: ConsumerRing;
  readonly #tx: ProducerRing;
  /** True while entries of the tx ring may still need a wakeup. */
  unsent = false;

  constructor(description: QueuePortDescription) {
    const { umem } = description;
    this.fd = description.fd;
    this.umem = new DataView(viewMemory(umem.memory));
    this.#rx = consumerRing(description.rx);
    this.#tx = producerRing(description.tx);
    this.exchange = new ChunkExchange(
      description.state,
      producerRing(description.fill),
      consumerRing(description.completion),
      umem.chunkSize,
      umem.chunks,
    );
  }

  /** Moves up to a batch of packets out of the rx ring. Hot path: no allocation. */
  receive(batch: Batch): number {
    const rx = this.#rx;
    const count = rx.peek(batchSize);
    batch.count = count;
    if (count === 0) return 0;
    const words = rx.words;
    const first = (rx.consumer - count) | 0;
    for (let index = 0; index < count; index++) {
      const at = rx.descAt((first + index) | 0);
      batch.addr[index] = words[at]!;
      batch.length[index] = words[at + lengthWord]!;
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
    const tx = this.#tx;
    tx.cancel(reserved - transmitted);
    const words = tx.words;
    let next = (tx.producer - transmitted) | 0;
    let returnedCount = exchange.returnedCount;
    for (let index = 0; index < batch.count; index++) {
      const addr = batch.addr[index]!;
      if (batch.disposal[index] !== transmit) {
        returned[returnedCount++] = addr & chunkMask;
        continue;
      }
      const at = tx.descAt(next);
      words[at] = addr;
      words[at + 1] = 0;
      words[at + lengthWord] = batch.length[index]!;
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
