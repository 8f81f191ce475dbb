/**
 * What each worker counts of each backend: packets in both directions, and how long answers take. Doubles in shared
 * memory with one writer, never reset: whoever reads takes off what a row's earlier backends have counted.
 *
 * The time of an answer is measured of one packet at a time per backend, from a client's packet to the next answer of
 * its session, so that it costs a packet one comparison.
 *
 * @module
 */
import { BACKEND_ROWS } from "./forward_table.ts";

/** Doubles of a backend. */
const COUNT = {
  /** Packets sent to it, and packets of it that were sent back to clients. */
  to: 0,
  from: 1,
  /** Answers that were timed, and their times together in milliseconds. */
  timed: 2,
  timedMs: 3,
  /** Sessions that have asked since the backend's last answer, of rules that want it counted. */
  asked: 4,
  /** ICMP errors that say that packets do not get to it. */
  unreachable: 5,
  /** Answers by time: up to each of {@linkcode ANSWER_BUCKETS}, and longer. */
  buckets: 8,
} as const;
const SHIFT = 5;

/** Upper ends of the buckets of answer times, seconds; the largest has all that is longer beside it. */
export const ANSWER_BUCKETS: readonly number[] = Array.from({ length: 15 }, (_, index) => 0.0001 * 2 ** index);
const FIRST_MS = 0.1;
const LAST_BUCKET = ANSWER_BUCKETS.length;

/** A packet that has had no answer for so long is not waited for any more, milliseconds. */
const WAIT_MS = 1000;
const NOBODY = -1;
const {
  to: TO,
  from: FROM,
  timed: TIMED,
  timedMs: TIMED_MS,
  asked: ASKED,
  unreachable: UNREACHABLE,
  buckets: BUCKETS,
} = COUNT;

/** The sums of one backend over all workers. */
export interface BackendCounts {
  readonly to: number;
  readonly from: number;
  readonly timed: number;
  readonly timedMs: number;
  readonly asked: number;
  readonly unreachable: number;
  /** By bucket, the last one: longer than all of {@linkcode ANSWER_BUCKETS}. */
  readonly buckets: readonly number[];
}

export const NO_COUNTS: BackendCounts = {
  to: 0,
  from: 0,
  timed: 0,
  timedMs: 0,
  asked: 0,
  unreachable: 0,
  buckets: new Array(LAST_BUCKET + 1).fill(0),
};

/** Bytes for the counts of one worker; pages of rows that no backend has cost nothing. */
export const BACKEND_COUNTS_BYTES = (BACKEND_ROWS << SHIFT) * Float64Array.BYTES_PER_ELEMENT;
/** Everything that decides where a count is, in words. */
export const BACKEND_COUNTS_SHAPE = `${JSON.stringify(COUNT)} ${SHIFT} ${LAST_BUCKET}`;

/** What all workers together have counted of a row. */
export function readBackendCounts(workers: readonly Float64Array[], row: number): BackendCounts {
  const sum = (offset: number): number =>
    workers.reduce((total, counts) => total + counts[(row << SHIFT) + offset]!, 0);
  return {
    to: sum(TO),
    from: sum(FROM),
    timed: sum(TIMED),
    timedMs: sum(TIMED_MS),
    asked: sum(ASKED),
    unreachable: sum(UNREACHABLE),
    buckets: Array.from({ length: LAST_BUCKET + 1 }, (_, bucket) => sum(BUCKETS + bucket)),
  };
}

/** What was counted since `base` was read. */
export function countsSince(now: BackendCounts, base: BackendCounts): BackendCounts {
  return {
    to: now.to - base.to,
    from: now.from - base.from,
    timed: now.timed - base.timed,
    timedMs: now.timedMs - base.timedMs,
    asked: now.asked - base.asked,
    unreachable: now.unreachable - base.unreachable,
    buckets: now.buckets.map((count, bucket) => count - base.buckets[bucket]!),
  };
}

/** The counts of one worker, which writes them. */
export class BackendCounter {
  readonly #counts: Float64Array;
  /** By row: the session whose answer is waited for, and since when. */
  readonly #waiting = new Int32Array(BACKEND_ROWS).fill(NOBODY);
  readonly #sinceMs = new Float64Array(BACKEND_ROWS);

  /** @param memory Of {@linkcode BACKEND_COUNTS_BYTES}. Default: memory of its own. */
  constructor(memory: ArrayBufferLike = new SharedArrayBuffer(BACKEND_COUNTS_BYTES)) {
    this.#counts = new Float64Array(memory);
  }

  /** A packet was sent to a backend. Hot path: no allocation. @param nowMs Of any clock that only goes forward. */
  sent(row: number, session: number, nowMs: number): void {
    const counts = this.#counts;
    const at = row << SHIFT;
    counts[at] = counts[at]! + 1;
    if (this.#waiting[row] === NOBODY || nowMs - this.#sinceMs[row]! > WAIT_MS) {
      this.#waiting[row] = session;
      this.#sinceMs[row] = nowMs;
    }
  }

  /** A backend's packet was sent back to its client. Hot path: no allocation. */
  answered(row: number, session: number, nowMs: number): void {
    const counts = this.#counts;
    const at = (row << SHIFT) + FROM;
    counts[at] = counts[at]! + 1;
    if (this.#waiting[row] === session) this.#time(row, nowMs - this.#sinceMs[row]!);
  }

  /**
   * A session's packet was sent to a backend that is watched: each session counts once until the backend answers
   * anybody. Hot path: no allocation.
   *
   * @param mark What the session was given last, or 0.
   * @returns What it is to be given now.
   */
  asked(row: number, mark: number): number {
    const counts = this.#counts;
    const at = row << SHIFT;
    const now = (counts[at + FROM]! + 1) | 0;
    if (mark !== now) counts[at + ASKED] = counts[at + ASKED]! + 1;
    return now;
  }

  /** An ICMP error says that packets do not get to a backend. Hot path: no allocation. */
  failed(row: number): void {
    const counts = this.#counts;
    const at = (row << SHIFT) + UNREACHABLE;
    counts[at] = counts[at]! + 1;
  }

  #time(row: number, elapsedMs: number): void {
    const counts = this.#counts;
    const at = row << SHIFT;
    this.#waiting[row] = NOBODY;
    counts[at + TIMED] = counts[at + TIMED]! + 1;
    counts[at + TIMED_MS] = counts[at + TIMED_MS]! + elapsedMs;
    let bucket = 0;
    for (let end = FIRST_MS; elapsedMs > end && bucket < LAST_BUCKET; end *= 2) bucket++;
    counts[at + BUCKETS + bucket] = counts[at + BUCKETS + bucket]! + 1;
  }
}
