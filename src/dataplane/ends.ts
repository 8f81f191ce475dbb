/**
 * One worker's queue ends, which change while it runs: a queue whose interface has gone has an end without packets.
 *
 * @module
 */
import { MappedMemory } from "../ffi/memory.ts";
import { createQueueState, lockHolder } from "../xsk/chunks.ts";
import type { ChunkHand } from "../xsk/hand.ts";
import type { RingAddress } from "../xsk/rings.ts";
import type { EndPlace, EndTable, OpenEnd } from "./end_table.ts";
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
  /**
   * Takes the sockets of a version over. Nothing refers to those of before afterwards.
   *
   * @param resumes True where another thread has left them with what it had in hand.
   */
  follow(version: number, resumes?: boolean): void;
  /** Makes ready what {@linkcode follow} will take over, while the ends are somebody else's. */
  prepare(version: number): void;
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
  /** By place: ends that are ready, and which opening each is of. */
  readonly #ready: ({ readonly opened: number; readonly end: QueueEnd } | undefined)[] = [];
  readonly #closed = closedEnd();

  constructor(
    private readonly tables: readonly EndTable[],
    private readonly places: readonly EndPlace[],
    private readonly worker: number,
    private readonly waiter: EndWaiter,
    /** By place. */
    private readonly hands: readonly ChunkHand[],
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

  prepare(version: number): void {
    const table = this.tables[version & 1]!;
    this.places.forEach((facts, place) => {
      const opened = table.opened(this.worker, place);
      if (opened === 0 || opened === this.#opened[place] || opened === this.#ready[place]?.opened) return;
      this.#ready[place] = { opened, end: this.#open(facts, table.read(this.worker, place), this.hands[place]!) };
    });
  }

  follow(version: number, resumes = false): void {
    const { hands, waiter } = this;
    this.prepare(version);
    const table = this.tables[version & 1]!;
    this.places.forEach((_, place) => {
      const opened = table.opened(this.worker, place);
      if (opened === this.#opened[place]) return;
      this.#opened[place] = opened;
      const end = opened === 0 ? this.#closed : this.#ready[place]!.end;
      this.#ready[place] = undefined;
      end.resync();
      if (resumes && opened === hands[place]!.opened) end.exchange.resume(end.taken);
      else end.exchange.begin(opened, end.taken);
      this.list[place] = end;
      waiter.setSocket(place, end.fd);
    });
  }

  #open(facts: EndPlace, end: OpenEnd, hand: ChunkHand): QueueEnd {
    return new QueueEnd({ ...facts, ...end }, hand, lockHolder(facts.process ?? 1, this.worker));
  }
}
