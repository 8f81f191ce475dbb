/**
 * Which process a worker's sockets belong to: words in memory that a process shares with the one that takes over from
 * it. A ring has one user at any time, whoever dies or is late: the old process's worker gives its ends up between two
 * turns, and only then the new one's takes them.
 *
 * Processes are numbered: the first is 1, the one that takes over from it is 2. The control thread of whoever decides
 * writes who is wanted; the workers do the rest without a control thread in between.
 *
 * @module
 */

/** A cache line for each worker. */
const LINE_WORDS = 16;
const OWNER = 0; // 0: nobody
const WANTED = 1;
/** Doubles, in milliseconds of CLOCK_MONOTONIC: when the ends were given up last, and when taken. */
const RELEASED_MS = 2;
const TAKEN_MS = 3;

export const NOBODY = 0;

/** Decides the layout of what processes share, in words. */
export const OWNERSHIP_SHAPE = `owner ${OWNER} wanted ${WANTED} times ${RELEASED_MS} ${TAKEN_MS}`;

export function ownershipBytes(workers: number): number {
  return workers * LINE_WORDS * Int32Array.BYTES_PER_ELEMENT;
}

export class Ownership {
  readonly #words: Int32Array;
  readonly #times: Float64Array;

  /** @param memory Of {@linkcode ownershipBytes}. */
  constructor(memory: ArrayBufferLike) {
    this.#words = new Int32Array(memory);
    this.#times = new Float64Array(memory);
  }

  /** The process whose worker has its ends, or {@linkcode NOBODY}. */
  owner(worker: number): number {
    return Atomics.load(this.#words, worker * LINE_WORDS + OWNER);
  }

  /** The process whose worker is to have them. */
  wanted(worker: number): number {
    return Atomics.load(this.#words, worker * LINE_WORDS + WANTED);
  }

  want(worker: number, process: number): void {
    Atomics.store(this.#words, worker * LINE_WORDS + WANTED, process);
  }

  /** Nobody is to have them: whoever has them is to finish all that is there, and give them up. */
  wantNobody(worker: number): void {
    this.want(worker, NOBODY);
  }

  /** When a worker's ends were given up last, milliseconds of CLOCK_MONOTONIC; and when they were taken. */
  releasedMs(worker: number): number {
    return this.#times[worker * LINE_WORDS / 2 + RELEASED_MS]!;
  }

  takenMs(worker: number): number {
    return this.#times[worker * LINE_WORDS / 2 + TAKEN_MS]!;
  }

  /** Gives a worker's ends up: whoever is wanted may take them. */
  release(worker: number, nowMs: number): void {
    this.#times[worker * LINE_WORDS / 2 + RELEASED_MS] = nowMs;
    Atomics.store(this.#words, worker * LINE_WORDS + OWNER, NOBODY);
  }

  /**
   * Takes a worker's ends, where this process is wanted and nobody has them.
   *
   * @returns False where it cannot have them yet, or any more.
   */
  take(worker: number, process: number): boolean {
    if (this.wanted(worker) !== process) return false;
    return Atomics.compareExchange(this.#words, worker * LINE_WORDS + OWNER, NOBODY, process) === NOBODY;
  }

  /** Notes when the first packet could be received after {@linkcode take}. */
  noteTaken(worker: number, nowMs: number): void {
    this.#times[worker * LINE_WORDS / 2 + TAKEN_MS] = nowMs;
  }

  /** Whether whoever has a worker's ends has begun to receive: what it takes over may be much. */
  hasBegun(worker: number): boolean {
    return this.gapMs(worker) >= 0;
  }

  /** For how long nobody looked at a worker's rings when they changed hands last, milliseconds. */
  gapMs(worker: number): number {
    return this.takenMs(worker) - this.releasedMs(worker);
  }

  /** All workers of a process that has ended have nothing any more. Only once that is certain. */
  bury(workers: number, process: number): void {
    for (let worker = 0; worker < workers; worker++) {
      Atomics.compareExchange(this.#words, worker * LINE_WORDS + OWNER, process, NOBODY);
    }
  }
}

/** One worker's part of it. */
export class Tenure {
  /** Whether the ends are this worker's. */
  holds = false;

  constructor(
    private readonly ownership: Ownership,
    private readonly worker: number,
    private readonly process: number,
    /** Milliseconds of CLOCK_MONOTONIC. */
    private readonly now: () => number,
    /** Wakes the same worker of the other process. */
    private readonly wake: () => void,
    /** Called as soon as the ends are its own. */
    private readonly begin: () => void = () => {},
  ) {}

  /** Whether something is to be done: to be given up, or to be taken as soon as that can be. */
  get isDue(): boolean {
    return (this.ownership.wanted(this.worker) === this.process) !== this.holds;
  }

  /** Whether nobody is to have them: what is in the rings is this worker's, and nothing else comes. */
  get isLast(): boolean {
    return this.ownership.wanted(this.worker) === NOBODY;
  }

  /** @returns Whether the ends are this worker's from now on. */
  take(): boolean {
    this.holds = this.ownership.take(this.worker, this.process);
    if (this.holds) this.begin();
    return this.holds;
  }

  /** The ends are in use again. */
  taken(): void {
    this.ownership.noteTaken(this.worker, this.now());
  }

  /** Gives the ends up. Nothing of them may be in hand. */
  release(): void {
    this.holds = false;
    this.ownership.release(this.worker, this.now());
    this.wake();
  }
}
