/**
 * The way of captured packets from one worker to the thread that writes them: a ring of bytes in shared memory with one
 * writer and one reader. The worker never waits: where there is no room, the packet is counted as dropped.
 *
 * Each worker has one. Its memory is reserved at the start and costs nothing before the first packet is put in.
 *
 * @module
 */

/** Bytes of packets and their heads that a ring holds: a power of two. */
export const CAPTURE_RING_BYTES = 4 * 1024 * 1024;
/** Numbers a capture can have: 1 to this less one. */
export const CAPTURE_IDS = 256;

/** The worker's line, then the reader's, so that they do not share one. In words. */
const HEAD_WORD = 0; // words put in since the start, modulo 2^32
const PLAN_SEEN_WORD = 1;
const TAIL_WORD = 16; // words taken out
const DROPPED_AT = 32;

/** The head of a record, in words; the packet follows it. */
const RECORD = { captured: 0, length: 1, id: 2, port: 3, seconds: 4, nanoseconds: 5 } as const;
const RECORD_WORDS = 6;

/** A ring's memory. `ports`: how many queue ends the worker has; drops are counted for each. */
export function createCaptureRing(ports: number, bytes: number = CAPTURE_RING_BYTES): SharedArrayBuffer {
  return new SharedArrayBuffer(headBytes(ports) + bytes);
}

function headBytes(ports: number): number {
  return DROPPED_AT * 4 + CAPTURE_IDS * ports * Float64Array.BYTES_PER_ELEMENT;
}

/** What both ends see. */
class Ring {
  protected readonly control: Int32Array;
  protected readonly words: Int32Array;
  protected readonly mask: number;
  /** Packets that found no room, by capture, then by queue end. Written by the worker. */
  protected readonly drops: Float64Array;

  constructor(memory: SharedArrayBuffer, protected readonly ports: number) {
    const head = headBytes(ports);
    this.control = new Int32Array(memory, 0, DROPPED_AT);
    this.drops = new Float64Array(memory, DROPPED_AT * 4, CAPTURE_IDS * ports);
    this.words = new Int32Array(memory, head);
    this.mask = this.words.length - 1;
    if ((this.words.length & this.mask) !== 0) throw new RangeError("A capture ring's size is a power of two");
  }
}

/** The worker's end. */
export class CaptureRingWriter extends Ring {
  #head: number;
  /** What the reader has taken out, as last looked at. */
  #tail: number;

  constructor(memory: SharedArrayBuffer, ports: number) {
    super(memory, ports);
    this.#head = Atomics.load(this.control, HEAD_WORD);
    this.#tail = Atomics.load(this.control, TAIL_WORD);
  }

  /**
   * Puts the first `captured` bytes of a packet in, for {@linkcode publish} to show. Hot path: no allocation.
   *
   * @param id Of the capture.
   * @param port The worker's queue end it came by.
   * @param time Of CLOCK_MONOTONIC, as {@linkcode Clock.time} has it.
   * @returns False when there is no room: it is counted.
   */
  put(
    view: DataView,
    addr: number,
    length: number,
    captured: number,
    id: number,
    port: number,
    time: Int32Array,
  ): boolean {
    const { words, mask } = this;
    const needed = RECORD_WORDS + ((captured + 3) >> 2);
    let at = this.#head;
    if (mask + 1 - ((at - this.#tail) | 0) < needed) {
      this.#tail = Atomics.load(this.control, TAIL_WORD);
      if (mask + 1 - ((at - this.#tail) | 0) < needed) {
        const counter = id * this.ports + port;
        this.drops[counter] = this.drops[counter]! + 1;
        return false;
      }
    }
    words[(at + RECORD.captured) & mask] = captured;
    words[(at + RECORD.length) & mask] = length;
    words[(at + RECORD.id) & mask] = id;
    words[(at + RECORD.port) & mask] = port;
    words[(at + RECORD.seconds) & mask] = time[0]!;
    words[(at + RECORD.nanoseconds) & mask] = time[2]!;
    at += RECORD_WORDS;
    const whole = addr + (captured & ~3);
    let from = addr;
    for (; from < whole; from += 4) words[at++ & mask] = view.getInt32(from, true);
    // The last bytes one by one: a word could reach beyond the packet memory.
    const end = addr + captured;
    if (from < end) {
      let last = 0;
      for (let shift = 0; from < end; shift += 8) last |= view.getUint8(from++) << shift;
      words[at++ & mask] = last;
    }
    this.#head = at | 0;
    return true;
  }

  /** Shows the reader what was put in. Once per batch. */
  publish(): void {
    Atomics.store(this.control, HEAD_WORD, this.#head);
  }

  /** Says that from now on packets are put in by this plan, and none before it. */
  setPlanSeen(version: number): void {
    Atomics.store(this.control, PLAN_SEEN_WORD, version);
  }
}

/** The end of the thread that writes files. */
export class CaptureRingReader extends Ring {
  /** Of the record last taken. */
  captured = 0;
  length = 0;
  id = 0;
  port = 0;
  seconds = 0;
  nanoseconds = 0;
  #dataAt = 0;
  #tail: number;
  #head: number;

  constructor(memory: SharedArrayBuffer, ports: number) {
    super(memory, ports);
    this.#head = this.#tail = Atomics.load(this.control, TAIL_WORD);
  }

  /** Sees what was put in until now. */
  look(): void {
    this.#head = Atomics.load(this.control, HEAD_WORD);
  }

  /** Takes the next record there was at the last {@linkcode look}. @returns False when there is none. */
  next(): boolean {
    const { words, mask } = this;
    const at = this.#tail;
    if (at === this.#head) return false;
    this.captured = words[(at + RECORD.captured) & mask]!;
    this.length = words[(at + RECORD.length) & mask]!;
    this.id = words[(at + RECORD.id) & mask]!;
    this.port = words[(at + RECORD.port) & mask]!;
    this.seconds = words[(at + RECORD.seconds) & mask]!;
    this.nanoseconds = words[(at + RECORD.nanoseconds) & mask]!;
    this.#dataAt = (at + RECORD_WORDS) & mask;
    this.#tail = (at + RECORD_WORDS + ((this.captured + 3) >> 2)) | 0;
    return true;
  }

  /** Copies the packet of the record last taken, filled up with zeros to a whole word. `at` is in words. */
  copyTo(target: Int32Array, at: number): void {
    const count = (this.captured + 3) >> 2;
    const first = Math.min(count, this.mask + 1 - this.#dataAt);
    target.set(this.words.subarray(this.#dataAt, this.#dataAt + first), at);
    if (first < count) target.set(this.words.subarray(0, count - first), at + first);
  }

  /** Gives the room of all records taken back. */
  release(): void {
    Atomics.store(this.control, TAIL_WORD, this.#tail);
  }

  /** The plan that the worker goes by. */
  get planSeen(): number {
    return Atomics.load(this.control, PLAN_SEEN_WORD);
  }

  /** Packets of a capture that found no room, by one queue end. */
  dropped(id: number, port: number): number {
    return this.drops[id * this.ports + port]!;
  }
}
