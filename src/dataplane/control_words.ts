/**
 * The words through which the control thread and the workers talk, each with one writer. One definition serves both sides.
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

/** A cache line, so that no two writers share one. */
const LINE_WORDS = 16;

/** Words of the control thread. */
const CHANGES_WORD = 0; // counts up after each change of what workers have to read
const COMMAND_WORD = 1;
const ACTIVE_TABLE_WORD = 2;
const ACTIVE_FORWARD_WORD = 3;
const CAPTURE_PLAN_WORD = 4;
/** Words of a worker, from the start of its line. */
const STATE_WORD = 0;
const TABLE_SEEN_WORD = 1;
const HEAP_ASKED_WORD = 2; // written by the control thread, cleared by the worker
const HEAP_KIB_WORD = 3;
const FORWARD_SEEN_WORD = 4;
const THREAD_WORD = 5;
const SOLE_RULE_WORD = 6; // written by the control thread

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

  /** Index of the worker table in force. */
  get activeTable(): number {
    return Atomics.load(this.#words, ACTIVE_TABLE_WORD);
  }

  set activeTable(index: number) {
    Atomics.store(this.#words, ACTIVE_TABLE_WORD, index);
    this.#announce();
  }

  /** Index of the forward table in force, plus one; 0 before the first rule forwards. */
  get activeForward(): number {
    return Atomics.load(this.#words, ACTIVE_FORWARD_WORD);
  }

  set activeForward(number: number) {
    Atomics.store(this.#words, ACTIVE_FORWARD_WORD, number);
    this.#announce();
  }

  /** Number of the capture plan in force: grows with each change of it; 0 before the first. */
  get capturePlan(): number {
    return Atomics.load(this.#words, CAPTURE_PLAN_WORD);
  }

  set capturePlan(number: number) {
    Atomics.store(this.#words, CAPTURE_PLAN_WORD, number);
    this.#announce();
  }

  /**
   * Slot of the rule that every packet of a worker belongs to and that only counts them; 0 where that is not so. What was steered under
   * an earlier generation is in the worker's rings when this is set, and may be of another rule.
   */
  soleRule(worker: number): number {
    return Atomics.load(this.#words, line(worker) + SOLE_RULE_WORD);
  }

  /** @param slots By worker. */
  setSoleRules(slots: readonly number[]): void {
    slots.forEach((slot, worker) => Atomics.store(this.#words, line(worker) + SOLE_RULE_WORD, slot));
    this.#announce();
  }

  /** The forward table a worker uses since its last turn, as {@linkcode activeForward}; it will not read the other one again. */
  forwardSeen(worker: number): number {
    return Atomics.load(this.#words, line(worker) + FORWARD_SEEN_WORD);
  }

  setForwardSeen(worker: number, number: number): void {
    Atomics.store(this.#words, line(worker) + FORWARD_SEEN_WORD, number);
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

  /** The table a worker uses since its last turn; it will not read the other one again. */
  tableSeen(worker: number): number {
    return Atomics.load(this.#words, line(worker) + TABLE_SEEN_WORD);
  }

  setTableSeen(worker: number, index: number): void {
    Atomics.store(this.#words, line(worker) + TABLE_SEEN_WORD, index);
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
