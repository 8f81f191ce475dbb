/**
 * Numbers of the last minutes, one a second, in rings of fixed size.
 *
 * @module
 */

/** Many series that advance together. A series that begins late was zero before. */
export class SeriesRings<Key> {
  readonly #rings = new Map<Key, Float32Array>();
  readonly #times: Float64Array;
  /** Samples ever taken. */
  #taken = 0;

  constructor(readonly capacity: number) {
    this.#times = new Float64Array(capacity);
  }

  /** Begins a sample; series not given a value in it are zero there. @param time Milliseconds since 1970. */
  advance(time: number): void {
    const at = this.#taken++ % this.capacity;
    this.#times[at] = time;
    for (const ring of this.#rings.values()) ring[at] = 0;
  }

  /** The value of a series in the sample begun last. A series that was always zero takes no memory. */
  set(key: Key, value: number): void {
    let ring = this.#rings.get(key);
    if (ring === undefined) {
      if (value === 0) return;
      this.#rings.set(key, ring = new Float32Array(this.capacity));
    }
    ring[(this.#taken - 1) % this.capacity] = value;
  }

  /** Drops the series that are no longer wanted. */
  retain(wanted: (key: Key) => boolean): void {
    for (const key of this.#rings.keys()) if (!wanted(key)) this.#rings.delete(key);
  }

  /** When the samples were taken, oldest first. */
  times(): number[] {
    return this.#ordered(this.#times);
  }

  /** One series, oldest first. */
  values(key: Key): number[] {
    const ring = this.#rings.get(key);
    return ring === undefined ? new Array(this.#kept).fill(0) : this.#ordered(ring);
  }

  /** The keys with the largest sums, largest first; none that is zero. */
  largest(count: number): Key[] {
    return [...this.#rings].map(([key, ring]) => ({ key, sum: ring.reduce((sum, value) => sum + value, 0) }))
      .filter(({ sum }) => sum > 0)
      .sort((left, right) => right.sum - left.sum)
      .slice(0, count).map(({ key }) => key);
  }

  get #kept(): number {
    return Math.min(this.#taken, this.capacity);
  }

  #ordered(ring: Float32Array | Float64Array): number[] {
    const kept = this.#kept;
    return Array.from({ length: kept }, (_, index) => ring[(this.#taken - kept + index) % this.capacity]!);
  }
}
