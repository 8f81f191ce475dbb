/**
 * The way out by another interface: packets are copied into a chunk of a queue of that interface, because a chunk
 * belongs to the UMEM of its queue for good.
 *
 * @module
 */
import type { Egress } from "./forward.ts";
import type { QueueEnd } from "./queue_end.ts";

/** What it takes of a {@linkcode QueueEnd} to copy packets to it. */
export type EgressEnd = Pick<QueueEnd, "copyIn" | "isOpen" | "largestCopy" | "submitCopied">;

/** Where there is no queue end, nothing is sent, whatever its size. */
const UNBOUNDED = 0x7fffffff;

export class CopyingEgress implements Egress {
  /** By interface; undefined for one without an open queue end. */
  readonly #ends: (EgressEnd | undefined)[];
  /** By interface. */
  readonly #largest: Int32Array;

  /**
   * @param all The worker's queue ends, by place.
   * @param interfaceOfEnd Number of each end's interface.
   * @param worker Workers share an interface's queues out between them.
   */
  constructor(
    private readonly all: readonly EgressEnd[],
    private readonly interfaceOfEnd: readonly number[],
    private readonly worker: number,
  ) {
    const count = Math.max(...interfaceOfEnd) + 1;
    this.#ends = new Array<EgressEnd | undefined>(count).fill(undefined);
    this.#largest = new Int32Array(count);
    this.follow();
  }

  /** To be called when ends were replaced. */
  follow(): void {
    const { all, interfaceOfEnd, worker } = this;
    for (let wanted = 0; wanted < this.#ends.length; wanted++) {
      const open = all.filter(({ isOpen }, index) => isOpen && interfaceOfEnd[index] === wanted);
      this.#ends[wanted] = open[worker % open.length];
      this.#largest[wanted] = this.#ends[wanted]?.largestCopy ?? UNBOUNDED;
    }
  }

  isOpen(networkInterface: number): boolean {
    return this.#ends[networkInterface] !== undefined;
  }

  /** Hot path: no allocation. */
  largest(networkInterface: number): number {
    return this.#largest[networkInterface]!;
  }

  /** Hot path: no allocation. What was copied goes out at the next {@linkcode submit}. */
  send(networkInterface: number, umem: DataView, addr: number, length: number): boolean {
    return this.#ends[networkInterface]?.copyIn(umem, addr, length) ?? false;
  }

  /** Hands all that was copied to the kernel. Once per batch. */
  submit(): void {
    const ends = this.#ends;
    for (let index = 0; index < ends.length; index++) ends[index]?.submitCopied();
  }
}
