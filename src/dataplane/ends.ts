/**
 * One worker's queue ends, which change while it runs: a queue whose interface has gone has an end without packets.
 *
 * @module
 */
import { MappedMemory } from "../ffi/memory.ts";
import { createQueueState } from "../xsk/chunks.ts";
import type { RingAddress } from "../xsk/rings.ts";
import type { EndPlace, EndTable } from "./end_table.ts";
import { QueueEnd } from "./queue_end.ts";

/** What sleeps on the ends' sockets. */
export interface EndWaiter {
  /** @param place Of the end; -1 for a socket: nothing comes there. */
  setSocket(place: number, fd: number): void;
}

/** What the loop asks when sockets were opened or are to be closed. */
export interface EndSource {
  /** Places whose socket of now is not there any more in a version of the table. */
  leaving(version: number): number[];
  /** Takes the sockets of a version over. Nothing refers to those of before afterwards. */
  follow(version: number): void;
  /** Lets go of all sockets: the next {@linkcode follow} takes those of its version anew. */
  letGo(): void;
}

const PAGE_BYTES = 4096;

/** Makes an end whose rings are empty, and stay so. It takes a page of memory that is never unmapped. */
export function closedEnd(): QueueEnd {
  const memory = MappedMemory.anonymous(PAGE_BYTES, "map empty rings").address;
  const ring: RingAddress = { memory, layout: { producer: 0, consumer: 1, flags: 2, entries: 8, size: 1 } };
  return new QueueEnd({
    ...{ networkInterface: -1, queue: -1, chunkSize: 2048, chunks: 0, reserve: 0, workers: 1 },
    state: createQueueState(0),
    ...{ fd: -1, zeroCopy: true, rx: ring, tx: ring, fill: ring, completion: ring, umem: memory },
  });
}

export class Ends implements EndSource {
  /** By place; changed by {@linkcode follow}. */
  readonly list: QueueEnd[];
  readonly #opened: number[];
  readonly #closed = closedEnd();

  constructor(
    private readonly tables: readonly EndTable[],
    private readonly places: readonly EndPlace[],
    private readonly worker: number,
    private readonly waiter: EndWaiter,
  ) {
    this.list = places.map(() => this.#closed);
    this.#opened = places.map(() => 0);
  }

  leaving(version: number): number[] {
    const table = this.tables[version & 1]!;
    return [...this.#opened.keys()].filter((place) => {
      const opened = this.#opened[place]!;
      return opened !== 0 && table.opened(this.worker, place) !== opened;
    });
  }

  letGo(): void {
    this.places.forEach((_, place) => {
      this.#opened[place] = 0;
      this.list[place] = this.#closed;
      this.waiter.setSocket(place, this.#closed.fd);
    });
  }

  follow(version: number): void {
    const { worker, waiter } = this;
    const table = this.tables[version & 1]!;
    this.places.forEach((facts, place) => {
      const opened = table.opened(worker, place);
      if (opened === this.#opened[place]) return;
      this.#opened[place] = opened;
      const end = opened === 0 ? this.#closed : new QueueEnd({ ...facts, ...table.read(worker, place) });
      this.list[place] = end;
      waiter.setSocket(place, end.fd);
    });
  }
}
