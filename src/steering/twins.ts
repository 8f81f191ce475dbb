/**
 * Sessions in two halves. Where workers are others than before, a session's client may be steered to one of them, and
 * its translation port, which it keeps, to another. Then both have a row of it: the client's half sends to the backend,
 * the answer's half has the port and sends back. Each says where the other is; no hot path asks.
 *
 * A half that ends tells the other: a client's half without the other has no port any more, and so is over too; an
 * answer's half goes on alone until it is silent.
 *
 * @module
 */
import { SESSION, SESSION_SHIFT } from "./session_row.ts";

const NONE = 0;
/** Of a word: a row takes 20 bits, the worker is above it; and all of it plus one. */
const WORKER_SHIFT = 20;
const ROW_MASK = (1 << WORKER_SHIFT) - 1;
const PLACE_MASK = (1 << 27) - 1;
/** Of an answer's half. It is not counted as a session: the client's half is, or was. */
const ANSWERS = 1 << 28;

const { arrival: ARRIVAL, backendGeneration: BACKEND_GENERATION, lastSeen: LAST_SEEN, link: LINK, linkBytes } = SESSION;

/** Everything that decides what a word means, in words. */
export const TWINS_SHAPE = `row, worker from ${WORKER_SHIFT}, plus 1, answers ${ANSWERS}`;

/** Bytes for the other halves of so many sessions. */
export function twinsBytes(capacity: number): number {
  return capacity * Int32Array.BYTES_PER_ELEMENT;
}

/** A worker's rows, and the words about their other halves. */
export interface TwinRows {
  readonly rows: Int32Array;
  readonly twins: Int32Array;
}

/** Notes of two rows that they are halves of one session. */
export function pair(tables: readonly TwinRows[], client: TwinPlace, answers: TwinPlace): void {
  tables[client.worker]!.twins[client.row] = wordOf(answers.worker, answers.row);
  tables[answers.worker]!.twins[answers.row] = wordOf(client.worker, client.row) | ANSWERS;
}

export interface TwinPlace {
  readonly worker: number;
  readonly row: number;
}

/** Where a row's other half is; undefined: it has none. */
export function twinOf({ twins }: TwinRows, row: number): TwinPlace | undefined {
  const place = twins[row]! & PLACE_MASK;
  return place === NONE ? undefined : { worker: (place - 1) >> WORKER_SHIFT, row: (place - 1) & ROW_MASK };
}

/** Whether a row is, or was, only the half of a session that has its port. */
export function isAnswersHalf({ twins }: TwinRows, row: number): boolean {
  return (twins[row]! & ANSWERS) !== 0;
}

function wordOf(worker: number, row: number): number {
  return (worker << WORKER_SHIFT | row) + 1;
}

/** One worker's view of them. */
export class Twins {
  readonly #mine: TwinRows;

  /** @param tables Of all workers. */
  constructor(private readonly tables: readonly TwinRows[], private readonly worker: number) {
    this.#mine = tables[worker]!;
  }

  /** Whether any of the first rows is a half. */
  hasAny(rows: number): boolean {
    const { twins } = this.#mine;
    for (let row = 0; row < rows; row++) if (twins[row] !== NONE) return true;
    return false;
  }

  /** False for a half that is not counted as a session. */
  counts(row: number): boolean {
    return !isAnswersHalf(this.#mine, row);
  }

  /** When the other half was heard of last; -1: there is none. */
  lastSeen(row: number): number {
    const twin = twinOf(this.#mine, row);
    return twin === undefined ? -1 : this.tables[twin.worker]!.rows[(twin.row << SESSION_SHIFT) + LAST_SEEN]!;
  }

  /** The client has been heard of, by another way perhaps: that is the way for answers too. */
  tell(row: number): void {
    const word = this.#mine.twins[row]!;
    if (word === NONE || (word & ANSWERS) !== 0) return;
    const twin = twinOf(this.#mine, row)!;
    const { rows } = this.#mine;
    const other = this.tables[twin.worker]!.rows;
    const from = row << SESSION_SHIFT;
    const to = twin.row << SESSION_SHIFT;
    for (let offset: number = LINK; offset <= linkBytes; offset++) {
      if (other[to + offset] !== rows[from + offset]) other[to + offset] = rows[from + offset]!;
    }
    if (other[to + ARRIVAL] !== rows[from + ARRIVAL]) other[to + ARRIVAL] = rows[from + ARRIVAL]!;
  }

  /** A half ends, or becomes a session of its own. Afterwards it counts. */
  part(row: number): void {
    const { twins } = this.#mine;
    const word = twins[row]!;
    if (word === NONE) return;
    const twin = twinOf(this.#mine, row);
    twins[row] = NONE;
    if (twin === undefined) return;
    const isAnswers = (word & ANSWERS) !== 0;
    const { rows, twins: others } = this.tables[twin.worker]!;
    const expected = wordOf(this.worker, row) | (isAnswers ? 0 : ANSWERS);
    const isMine = Atomics.compareExchange(others, twin.row, expected, expected & ANSWERS) === expected;
    // The port may go to another session.
    if (isMine && isAnswers) rows[(twin.row << SESSION_SHIFT) + BACKEND_GENERATION] = 0;
  }
}
