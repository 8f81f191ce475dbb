/**
 * Random numbers for choices that a sender should not foresee, and need no more: xorshift32, from a secret seed.
 *
 * @module
 */
export class Random {
  #bits: number;

  /** @param seed 32 bits. */
  constructor(seed: number) {
    this.#bits = seed | 1;
  }

  /** A number from 0 to `bound` - 1. Hot path: no allocation. */
  below(bound: number): number {
    let bits = this.#bits;
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    this.#bits = bits;
    return (bits >>> 0) % bound;
  }
}
