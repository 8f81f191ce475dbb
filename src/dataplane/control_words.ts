/**
 * The words through which the control thread and the workers talk, each with one writer. One definition serves both
 * sides.
 *
 * @module
 */

/** What the control thread wants of all workers. */
export const COMMAND = {
  /** Take packets. */
  run: 0,
  /** Nothing new will come: finish what is in the rings, then stop. */
  drain: 1,
  /** Stop at the end of this turn. */
  stop: 2,
} as const;

/** Where a worker is in its life. */
export const WORKER_STATE = { starting: 0, running: 1, stopped: 2, failed: 3 } as const;

/** What is published to the workers, each with a version of its own; see steering/published.ts. */
export const TABLE = { rules: 0, forward: 1, capture: 2, ends: 3 } as const;
export type Table = typeof TABLE[keyof typeof TABLE];

/** A cache line, so that no two writers share one. */
const LINE_WORDS = 16;

/** Words of the control thread. */
const CHANGES_WORD = 0; // counts up after each change of what workers have to read
const COMMAND_WORD = 1;
const PASS_ASKED_WORD = 2;
const VERSION_WORDS = 8; // by TABLE
/** Words of a worker, from the start of its line. */
const STATE_WORD = 0;
const THREAD_WORD = 1;
const HEAP_ASKED_WORD = 2; // written by the control thread, cleared by the worker
const HEAP_KIB_WORD = 3;
const PASSED_WORD = 4;
const PEER_WORD = 5; // written by the control thread
const SEEN_WORDS = 8; // by TABLE

/** The control block: a line for the control thread, then one per worker. */
export class ControlWords {
  readonly #words: Int32Array;

  constructor(readonly memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  static create(workers: number): ControlWords {
    return new ControlWords(new SharedArrayBuffer((1 + workers) * LINE_WORDS * Int32Array.BYTES_PER_ELEMENT));
  }

  /** Differs from what it was while something below changed that a worker has to read: to be read before that. */
  get changes(): number {
    return Atomics.load(this.#words, CHANGES_WORD);
  }

  /** The same as a hint, a plain load for each batch: what is below may be read once {@linkcode changes} was. */
  get changesHint(): number {
    return this.#words[CHANGES_WORD]!;
  }

  get command(): number {
    return Atomics.load(this.#words, COMMAND_WORD);
  }

  set command(command: number) {
    Atomics.store(this.#words, COMMAND_WORD, command);
    this.#announce();
  }

  /** Number of the version in force; 0 before the first. */
  version(table: Table): number {
    return Atomics.load(this.#words, VERSION_WORDS + table);
  }

  publish(table: Table, version: number): void {
    Atomics.store(this.#words, VERSION_WORDS + table, version);
    this.#announce();
  }

  /** The version a worker uses since its last turn; it will not read an older one again. */
  seen(worker: number, table: Table): number {
    return Atomics.load(this.#words, line(worker) + SEEN_WORDS + table);
  }

  setSeen(worker: number, table: Table, version: number): void {
    Atomics.store(this.#words, line(worker) + SEEN_WORDS + table, version);
  }

  /** Number of times that workers were asked to say when they are done with all that is in their hands. */
  get passAsked(): number {
    return Atomics.load(this.#words, PASS_ASKED_WORD);
  }

  /** @returns The number that {@linkcode passed} reaches when the worker is done with all that it has now. */
  askPass(): number {
    const asked = Atomics.add(this.#words, PASS_ASKED_WORD, 1) + 1;
    this.#announce();
    return asked;
  }

  /**
   * The last {@linkcode askPass} after which a worker has decided on all packets that were in its rings, or parked, by
   * then.
   */
  passed(worker: number): number {
    return Atomics.load(this.#words, line(worker) + PASSED_WORD);
  }

  setPassed(worker: number, asked: number): void {
    Atomics.store(this.#words, line(worker) + PASSED_WORD, asked);
  }

  state(worker: number): number {
    return Atomics.load(this.#words, line(worker) + STATE_WORD);
  }

  setState(worker: number, state: number): void {
    Atomics.store(this.#words, line(worker) + STATE_WORD, state);
  }

  /** The kernel's number of a worker's thread; 0 before it runs. */
  thread(worker: number): number {
    return Atomics.load(this.#words, line(worker) + THREAD_WORD);
  }

  setThread(worker: number, thread: number): void {
    Atomics.store(this.#words, line(worker) + THREAD_WORD, thread);
  }

  /** The eventfd that the same worker of another process sleeps on, which is told when ends are given up; -1: none. */
  peer(worker: number): number {
    return Atomics.load(this.#words, line(worker) + PEER_WORD) - 1;
  }

  setPeer(worker: number, eventFd: number): void {
    Atomics.store(this.#words, line(worker) + PEER_WORD, eventFd + 1);
  }

  /** Has the workers look whether their ends are to change hands. */
  lookAgain(): void {
    this.#announce();
  }

  /** Asks a worker for the size of its heap; it answers at its next turn. */
  askHeap(worker: number): void {
    Atomics.store(this.#words, line(worker) + HEAP_ASKED_WORD, 1);
    this.#announce();
  }

  heapAsked(worker: number): boolean {
    return Atomics.load(this.#words, line(worker) + HEAP_ASKED_WORD) !== 0;
  }

  answerHeap(worker: number, kib: number): void {
    Atomics.store(this.#words, line(worker) + HEAP_KIB_WORD, kib);
    Atomics.store(this.#words, line(worker) + HEAP_ASKED_WORD, 0);
  }

  heapKib(worker: number): number {
    return Atomics.load(this.#words, line(worker) + HEAP_KIB_WORD);
  }

  #announce(): void {
    Atomics.add(this.#words, CHANGES_WORD, 1);
  }
}

function line(worker: number): number {
  return (1 + worker) * LINE_WORDS;
}
