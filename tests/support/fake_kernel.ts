/**
 * The kernel's side of a ring over plain memory, for tests of our side: produces into rx and completion rings, consumes
 * from fill and tx rings.
 *
 * @module
 */
import {
  ADDR_SHIFT,
  ConsumerRing,
  DESC_LENGTH,
  DESC_SHIFT,
  ProducerRing,
  type RingLayout,
} from "../../src/xsk/ring.ts";

/** Where the indexes are put: not at the start, and apart, as in the kernel. */
const LAYOUT = { producer: 0, consumer: 32, flags: 49, entries: 80 } as const;

export class FakeRing {
  readonly words: Int32Array;
  readonly layout: RingLayout;
  readonly #shift: number;

  /** @param start Value of both indexes, to test their wrap. */
  constructor(readonly size: number, kind: "desc" | "addr", start = 0) {
    this.#shift = kind === "desc" ? DESC_SHIFT : ADDR_SHIFT;
    this.words = new Int32Array(LAYOUT.entries + (size << this.#shift));
    this.layout = { ...LAYOUT, size };
    this.words[LAYOUT.producer] = start;
    this.words[LAYOUT.consumer] = start;
  }

  get producer(): number {
    return this.words[LAYOUT.producer]!;
  }

  get consumer(): number {
    return this.words[LAYOUT.consumer]!;
  }

  get held(): number {
    return (this.producer - this.consumer) | 0;
  }

  asProducer(): ProducerRing {
    return new ProducerRing(this.words, this.layout);
  }

  asConsumer(): ConsumerRing {
    return new ConsumerRing(this.words, this.layout);
  }

  setNeedWakeup(on: boolean): void {
    this.words[LAYOUT.flags] = on ? 1 : 0;
  }

  /** The kernel puts an entry in. @returns False when the ring is full. */
  produce(addr: number, length = 0): boolean {
    if (this.held === this.size) return false;
    const at = this.#at(this.producer);
    this.words[at] = addr;
    this.words[at + 1] = 0;
    if (this.#shift === DESC_SHIFT) this.words[at + DESC_LENGTH] = length;
    this.words[LAYOUT.producer] = (this.producer + 1) | 0;
    return true;
  }

  /** The kernel takes an entry out. @returns Its address and length, or undefined when the ring is empty. */
  consume(): { addr: number; length: number } | undefined {
    if (this.held === 0) return undefined;
    const at = this.#at(this.consumer);
    this.words[LAYOUT.consumer] = (this.consumer + 1) | 0;
    return { addr: this.words[at]!, length: this.#shift === DESC_SHIFT ? this.words[at + DESC_LENGTH]! : 0 };
  }

  #at(index: number): number {
    return LAYOUT.entries + ((index & (this.size - 1)) << this.#shift);
  }
}
