/**
 * One worker's end of one queue: its socket's rx and tx ring, and its hand in the queue's chunk circulation.
 *
 * @module
 */
import { wakeTx } from "../ffi/libc.ts";
import { viewMemory, viewPosted } from "../ffi/memory.ts";
import { ChunkExchange, lendableChunks } from "../xsk/chunks.ts";
import type { ChunkHand } from "../xsk/hand.ts";
import { type ConsumerRing, DESC_LENGTH, type ProducerRing } from "../xsk/ring.ts";
import { consumerRing, producerRing } from "../xsk/rings.ts";
import { type Batch, BATCH_SIZE, DISPOSAL } from "./batch.ts";
import type { EndPlace, OpenEnd } from "./end_table.ts";

/** Wakeups per turn: the kernel sends a limited number of packets per call in copy mode. */
const TX_WAKEUPS_MAX = 4;
/** Where a copied frame starts in its chunk, or up to 3 bytes later: drivers may want room before it. */
const COPY_AT = 252;
/** Bytes of a chunk that a copied frame leaves free: no more than a received one does. */
const COPY_FREE = 256;

// An import is looked up at each use, a module's own constant is part of the code.
const batchSize = BATCH_SIZE;
const lengthWord = DESC_LENGTH;
const { recycle, transmit } = DISPOSAL;

export class QueueEnd {
  readonly umem: DataView;
  readonly exchange: ChunkExchange;
  readonly fd: number = 0;
  readonly zeroCopy: boolean;
  /** False where there is no socket. */
  readonly isOpen: boolean = true;
  /** Bytes of the largest frame that {@linkcode copyIn} takes. */
  readonly largestCopy: number = 0;
  readonly #rx: ConsumerRing;
  readonly #tx: ProducerRing;
  /** True while entries of the tx ring may still need a wakeup. */
  unsent = false;
  readonly #words: Int32Array;
  #copied = 0;
  #mark = 0;

  /** @param hand Where others see what is in hand of it. @param holder Stands in the queue's lock while it is held. */
  constructor(end: EndPlace & OpenEnd, hand?: ChunkHand, holder?: number) {
    const { chunks, chunkSize, fd, reserve, rx, state, umem, workers, zeroCopy } = end;
    this.fd = fd;
    this.zeroCopy = zeroCopy;
    this.isOpen = chunks > 0;
    this.largestCopy = chunkSize - COPY_FREE;
    const memory = viewMemory(umem);
    this.umem = new DataView(memory);
    this.#words = new Int32Array(memory);
    this.#rx = consumerRing(rx);
    this.#tx = producerRing(end.tx);
    const lendable = zeroCopy ? chunks : lendableChunks(rx.layout.size, workers);
    const [fill, completion] = [producerRing(end.fill), consumerRing(end.completion)];
    this.exchange = new ChunkExchange(
      viewPosted(state),
      fill,
      completion,
      chunkSize,
      chunks,
      reserve,
      workers > 1,
      lendable,
      holder,
      hand,
    );
  }

  /** Forgets what is cached of the rings: somebody else has used them since. */
  resync(): void {
    this.#rx.resync();
    this.#tx.resync();
    this.exchange.resync();
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
    this.exchange.received += count;
    return count;
  }

  /** Packets that were taken out of the rx ring so far; modulo 2^32. */
  get taken(): number {
    return this.#rx.consumer;
  }

  /** Remembers what is in the rx ring now. */
  markReceived(): void {
    this.#mark = this.#rx.published;
  }

  /** True when all that {@linkcode markReceived} saw has been received. */
  get isPastMark(): boolean {
    return ((this.#rx.consumer - this.#mark) | 0) >= 0;
  }

  /**
   * How many of `count` packets the tx ring has room for, until {@linkcode dispose}; nothing may be copied in between
   * the two.
   */
  txRoom(count: number): number {
    return this.#tx.room(count);
  }

  /**
   * Sends or gives back every packet of a batch, as processing decided. Hot path: no allocation.
   *
   * @param transmitted How many it decided to transmit, at most {@linkcode txRoom}.
   */
  dispose(batch: Batch, transmitted: number): void {
    if (transmitted > 0) this.#transmit(batch, transmitted);
    const { exchange } = this;
    const { chunkMask, returned } = exchange;
    const { count, addr: addrs, disposal: disposals } = batch;
    let returnedCount = exchange.returnedCount;
    for (let index = 0; index < count; index++) {
      if (disposals[index] === recycle) returned[returnedCount++] = addrs[index]! & chunkMask;
    }
    exchange.noteReturned(returnedCount);
  }

  #transmit(batch: Batch, transmitted: number): void {
    const { count, addr: addrs, length: lengths, disposal: disposals } = batch;
    const tx = this.#tx;
    let next = tx.producer;
    tx.reserve(transmitted);
    const { words } = tx;
    for (let index = 0; index < count; index++) {
      if (disposals[index] !== transmit) continue;
      const at = tx.descAt(next);
      words[at] = addrs[index]!;
      words[at + lengthWord] = lengths[index]!;
      next = (next + 1) | 0;
    }
    batch.noteSent();
    tx.submit();
    this.unsent = true;
  }

  /**
   * Copies a frame from another UMEM into a chunk of this one and puts it in the tx ring, where it waits for
   * {@linkcode submitCopied}. Hot path: no allocation.
   *
   * @returns False when the frame is larger than {@linkcode largestCopy}, there is no room in the ring, or no chunk.
   */
  copyIn(from: DataView, addr: number, length: number): boolean {
    const tx = this.#tx;
    if (length > this.largestCopy || tx.room(1) === 0) return false;
    const chunk = this.exchange.take();
    if (chunk < 0) return false;
    // Whole words, the first and last of which may be more than the frame: both ends are within its chunk, here and
    // there.
    const skew = addr & 3;
    const to = (chunk + COPY_AT) >> 2;
    const words = (skew + length + 3) >> 2;
    const target = this.#words;
    const first = addr - skew;
    for (let word = 0; word < words; word++) target[to + word] = from.getInt32(first + (word << 2), true);
    const at = tx.descAt(tx.producer);
    tx.reserve(1);
    tx.words[at] = chunk + COPY_AT + skew;
    tx.words[at + lengthWord] = length;
    this.#copied++;
    return true;
  }

  /** Hands the frames copied in to the kernel. */
  submitCopied(): void {
    if (this.#copied === 0) return;
    this.#copied = 0;
    this.exchange.noteStock();
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

/** How long a worker may sleep, by what its ports have under way. */
export const REST = {
  /** Not at all: chunks still have to go to a fill ring, whose lock was taken by another worker. */
  none: 0,
  /** Shortly: there are packets to send, or a fill ring will soon miss the chunks on their way. */
  short: 1,
  /** For a while: many chunks are on their way through the kernel, and will come back without a wakeup. */
  limited: 2,
  /** Until it is woken. */
  full: 3,
} as const;
export type Rest = typeof REST[keyof typeof REST];

const { none, short, limited, full } = REST;

/** What the port allows that allows least. Hot path: no allocation. */
export function restOf(ports: readonly Pick<QueueEnd, "exchange" | "unsent">[]): Rest {
  let rest: Rest = full;
  for (let index = 0; index < ports.length; index++) {
    const port = ports[index]!;
    const { exchange } = port;
    if (exchange.due) return none;
    const { filled, quarter } = exchange;
    if (filled < quarter || port.unsent) rest = short;
    else if (filled < 3 * quarter && rest === full) rest = limited;
  }
  return rest;
}

export function fillNeedsWakeup(ports: readonly QueueEnd[]): boolean {
  for (let index = 0; index < ports.length; index++) {
    if (ports[index]!.exchange.needsWakeup()) return true;
  }
  return false;
}
