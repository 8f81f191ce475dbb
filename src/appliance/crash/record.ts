/**
 * What a process writes down for the one after a crash: a text in memory that the service manager keeps, and how often
 * somebody has begun to go on with it. A process that is killed while it writes leaves the text of before.
 *
 * @module
 */
import { hashOf, SharedMemory, type SharedMemoryOptions } from "../../ffi/shared_memory.ts";

/** Words at the start: how many have begun. */
const BEGUN = 0;
const HEAD_BYTES = 64;
/** Words at the start of a place: its number, 0 while it is written; the text's bytes, and their hash. */
const NUMBER = 0;
const LENGTH = 1;
const HASH = 2;
const PLACE_HEAD_BYTES = 16;
/** Pages that nothing was written to cost nothing. */
const PLACE_BYTES = 16 << 20;
const PLACES = 2;

const MAX_RECORD_BYTES = PLACE_BYTES - PLACE_HEAD_BYTES;

const MEMORY: SharedMemoryOptions = {
  name: "xdpsteer record",
  shape: `begun ${BEGUN} of ${HEAD_BYTES}, places ${PLACES} of ${PLACE_BYTES}: ${NUMBER} ${LENGTH} ${HASH}`,
  bytes: HEAD_BYTES + PLACES * PLACE_BYTES,
};

/** Owned by the object. */
export class CrashRecord implements Disposable {
  readonly #memory: SharedMemory;
  readonly #head: Int32Array;
  readonly #places: readonly Place[];
  #number = 0;

  private constructor(memory: SharedMemory) {
    this.#memory = memory;
    const view = memory.view();
    this.#head = new Int32Array(view, 0, HEAD_BYTES >> 2);
    this.#places = Array.from({ length: PLACES }, (_, index) => new Place(view, HEAD_BYTES + index * PLACE_BYTES));
  }

  static create(): CrashRecord {
    return new CrashRecord(SharedMemory.create(MEMORY));
  }

  /** Takes one of another process. @param fd Closed where this throws. @throws {SteerError} where it is none. */
  static adopt(fd: number): CrashRecord {
    return new CrashRecord(SharedMemory.adopt(fd, MEMORY));
  }

  get fd(): number {
    return this.#memory.fd;
  }

  /** @returns False where it is too long: what was there before stays. */
  write(text: string): boolean {
    const bytes = new TextEncoder().encode(text);
    if (bytes.byteLength > MAX_RECORD_BYTES) return false;
    this.#number++;
    this.#places[this.#number % PLACES]!.write(bytes, this.#number);
    return true;
  }

  /** From now on there is nothing to go on with. */
  clear(): void {
    for (const place of this.#places) place.clear();
  }

  /** What was written last and is whole; undefined where nothing is. */
  read(): string | undefined {
    const whole = this.#places.filter((place) => place.isWhole).sort((one, other) => other.number - one.number);
    return whole[0]?.text;
  }

  /** Notes that a process begins to go on with it. @returns how many have before. */
  begin(): number {
    return Atomics.add(this.#head, BEGUN, 1);
  }

  [Symbol.dispose](): void {
    this.#memory.close();
  }
}

class Place {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(memory: ArrayBuffer, at: number) {
    this.#words = new Int32Array(memory, at, PLACE_HEAD_BYTES >> 2);
    this.#bytes = new Uint8Array(memory, at + PLACE_HEAD_BYTES, MAX_RECORD_BYTES);
  }

  get number(): number {
    return Atomics.load(this.#words, NUMBER);
  }

  get isWhole(): boolean {
    const length = this.#words[LENGTH]!;
    if (this.number === 0 || length < 0 || length > MAX_RECORD_BYTES) return false;
    return (hashOf(this.#bytes.subarray(0, length)) | 0) === this.#words[HASH];
  }

  get text(): string {
    return new TextDecoder().decode(this.#bytes.slice(0, this.#words[LENGTH]));
  }

  write(bytes: Uint8Array, number: number): void {
    this.clear();
    this.#bytes.set(bytes);
    this.#words[LENGTH] = bytes.byteLength;
    this.#words[HASH] = hashOf(bytes);
    Atomics.store(this.#words, NUMBER, number);
  }

  clear(): void {
    Atomics.store(this.#words, NUMBER, 0);
  }
}
