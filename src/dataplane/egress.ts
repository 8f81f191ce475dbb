/**
 * The way out by another interface: packets are copied into a chunk of a queue of that interface, because a chunk
 * belongs to the UMEM of its queue for good.
 *
 * @module
 */
import type { Egress } from "./forward.ts";
import type { QueueEnd } from "./queue_end.ts";

/** What it takes of a {@linkcode QueueEnd} to copy packets to it. */
export type EgressEnd = Pick<QueueEnd, "copyIn" | "largestCopy" | "submitCopied">;

export class CopyingEgress implements Egress {
  /** By interface; undefined for one without a queue end. */
  readonly #ends: readonly (EgressEnd | undefined)[];
  /** By interface. */
  readonly #largest: Int32Array;

  /**
   * @param ends All of the worker's.
   * @param interfaceOfEnd Number of each end's interface.
   * @param worker Workers share an interface's queues out between them.
   */
  constructor(ends: readonly EgressEnd[], interfaceOfEnd: readonly number[], worker: number) {
    const count = Math.max(...interfaceOfEnd) + 1;
    this.#ends = Array.from({ length: count }, (_, wanted) => {
      const ofInterface = ends.filter((_, index) => interfaceOfEnd[index] === wanted);
      return ofInterface[worker % ofInterface.length];
    });
    // Without a queue end nothing is sent, whatever its size.
    this.#largest = Int32Array.from(this.#ends, (end) => end?.largestCopy ?? 0x7fffffff);
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
