/**
 * A token bucket as bpf/limit.h has it, where it is known when a packet came only within bounds. With bounds that are
 * equal it is exact. Times and costs are in 1/256 ns.
 *
 * @module
 */

/** What the model says of a packet: that it is let in, that it is not, or that it cannot know. */
export type Verdict = boolean | undefined;

export class BucketModel {
  /** Bounds of the time at which the bucket is full. */
  #earliest = -Infinity;
  #latest = -Infinity;

  /** @param cost Of a packet. @param size Of the bucket. */
  constructor(private readonly cost: number, private readonly size: number) {}

  /** What becomes of a packet that came between two times. */
  expect(from: number, to: number, cost = this.cost): Verdict {
    const least = Math.max(this.#earliest - to, 0);
    const most = Math.max(this.#latest - from, 0);
    if (most + cost <= this.size) return true;
    return least + cost > this.size ? false : undefined;
  }

  /** Takes what became of it. */
  tell(from: number, to: number, admitted: boolean, cost = this.cost): void {
    if (admitted) {
      this.#latest = Math.min(this.#latest, to + this.size - cost);
      this.#earliest = Math.max(this.#earliest, from) + cost;
      this.#latest = Math.max(this.#latest, to) + cost;
    } else this.#earliest = Math.max(this.#earliest, from + this.size - cost);
  }
}
