/**
 * A queue over plain memory: its UMEM, its rings, and a queue end for each of its workers. The test is the kernel.
 *
 * @module
 */
import { QueueEnd } from "../../src/dataplane/queue_end.ts";
import { createQueueState } from "../../src/xsk/chunks.ts";
import type { ChunkHand } from "../../src/xsk/hand.ts";
import type { RingAddress } from "../../src/xsk/rings.ts";
import { FakeRing } from "./fake_kernel.ts";

/** Where the kernel puts a frame in its chunk. */
export const FRAME_AT = 256;

export interface FakeQueueOptions {
  readonly queue?: number;
  readonly chunks?: number;
  readonly chunkSize?: number;
  /** Entries of each rx and tx ring; fill and completion ring have room for all chunks. */
  readonly ring?: number;
  readonly tx?: number;
  readonly workers?: number;
  /** Chunks that stay out of the fill ring. */
  readonly reserve?: number;
  readonly zeroCopy?: boolean;
}

/** A queue end sees its rings by their addresses only: they live for as long as it does. */
const QUEUE_OF_PORT = new WeakMap<QueueEnd, FakeQueue>();

/** One worker's socket. */
export interface FakeSocket {
  readonly rx: FakeRing;
  readonly tx: FakeRing;
  port: QueueEnd;
}

export class FakeQueue {
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly fill: FakeRing;
  readonly completion: FakeRing;
  /** Its first word is the queue's lock. */
  readonly state: SharedArrayBuffer;
  readonly sockets: readonly FakeSocket[];
  readonly chunks: number;
  readonly chunkSize: number;

  readonly #options: FakeQueueOptions;

  constructor(options: FakeQueueOptions = {}) {
    this.#options = options;
    const { chunks = 64, chunkSize = 2048, workers = 1 } = options;
    const { ring = chunks, tx: txSize = ring } = options;
    this.chunks = chunks;
    this.chunkSize = chunkSize;
    this.memory = new Uint8Array(chunks * chunkSize);
    this.fill = new FakeRing(chunks, "addr");
    this.completion = new FakeRing(chunks, "addr");
    this.state = createQueueState(chunks);
    this.sockets = Array.from({ length: workers }, () => {
      const [rx, tx] = [new FakeRing(ring, "desc"), new FakeRing(txSize, "desc")];
      return { rx, tx, port: this.#openEnd(rx, tx) };
    });
    this.sockets[0]!.port.exchange.seed();
  }

  /** Another thread's end of a worker's socket; `port` is that one from now on. */
  reopen(worker: number, hand: ChunkHand, resumes: boolean): QueueEnd {
    const socket = this.sockets[worker]!;
    const port = socket.port = this.#openEnd(socket.rx, socket.tx, hand);
    if (resumes) port.exchange.resume(port.taken);
    else port.exchange.begin(1, port.taken);
    return port;
  }

  #openEnd(rx: FakeRing, tx: FakeRing, hand?: ChunkHand): QueueEnd {
    const { queue = 0, workers = 1, reserve = 0, zeroCopy = false } = this.#options;
    const { chunks, chunkSize, state } = this;
    const port = new QueueEnd({
      ...{ networkInterface: 0, queue, fd: -1, zeroCopy, chunkSize, chunks, reserve, workers, state },
      rx: ringAddress(rx),
      tx: ringAddress(tx),
      fill: ringAddress(this.fill),
      completion: ringAddress(this.completion),
      umem: addressOf(this.memory),
    }, hand);
    QUEUE_OF_PORT.set(port, this);
    return port;
  }

  /** The kernel receives a frame. @returns False when the rx ring is full or the fill ring empty: it is dropped. */
  deliver(frame: Uint8Array, worker = 0): boolean {
    const { rx } = this.sockets[worker]!;
    if (rx.held === rx.size) return false;
    const chunk = this.fill.consume();
    if (chunk === undefined) return false;
    this.memory.set(frame, chunk.addr + FRAME_AT);
    return rx.produce(chunk.addr + FRAME_AT, frame.length);
  }

  /** The kernel sends what is in a worker's tx ring. @returns The frames, in order. */
  transmit(worker = 0): Uint8Array[] {
    const frames: Uint8Array[] = [];
    const { tx } = this.sockets[worker]!;
    for (let sent = tx.consume(); sent !== undefined; sent = tx.consume()) {
      frames.push(this.memory.slice(sent.addr, sent.addr + sent.length));
      this.completion.produce(sent.addr);
    }
    return frames;
  }

  /** Takes every chunk out of the queue; nothing works after it. @returns Their numbers, in ascending order. */
  takeAllChunks(): number[] {
    const found: number[] = [];
    const add = (addr: number): void => void found.push(Math.floor(addr / this.chunkSize));
    for (const { rx, tx } of this.sockets) {
      for (const ring of [rx, tx]) {
        for (let one = ring.consume(); one !== undefined; one = ring.consume()) add(one.addr);
      }
    }
    for (const { port: { exchange } } of this.sockets) {
      if (!exchange.exchange()) throw new Error("the queue's lock is held");
      // Once for each chunk: what is copied into comes out of a small stock.
      for (let chunk = exchange.take(); chunk >= 0; chunk = exchange.take()) add(chunk);
      for (let one = this.fill.consume(); one !== undefined; one = this.fill.consume()) add(one.addr);
    }
    return found.sort((left, right) => left - right);
  }
}

/** Where plain memory is, for what is made to look at memory of the kernel's. The caller keeps it alive. */
export function addressOf(memory: ArrayBufferView<ArrayBuffer>): { address: bigint; length: number } {
  return { address: Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory)), length: memory.byteLength };
}

export function ringAddress({ words, layout }: FakeRing): RingAddress {
  return { memory: addressOf(words as Int32Array<ArrayBuffer>), layout };
}
