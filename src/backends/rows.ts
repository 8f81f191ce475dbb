/**
 * Which row of the workers' forward table a backend has. Sessions hold rows, so a row outlives its backend's name in the
 * configuration: it is kept while sessions use it, for as long as they may drain, and is given away only when no worker has a
 * session of it. Each use of a row has a generation of its own.
 *
 * @module
 */

/** A backend's row. */
export interface BackendRow {
  readonly row: number;
  readonly name: string;
  /** Never the same for two backends, of this row or another; never 0. */
  readonly generation: number;
}

interface Row extends BackendRow {
  /** When the rules stopped naming it; undefined while they do. */
  leftMs: number | undefined;
}

export class BackendRows {
  readonly #rows: (Row | undefined)[];
  readonly #byName = new Map<string, Row>();
  #generation = 0;

  /** @param capacity How many rows there are. */
  constructor(capacity: number) {
    this.#rows = Array.from({ length: capacity }, () => undefined);
  }

  /**
   * Takes the backends that the rules name now. One that was named before keeps its row, also if it was leaving.
   *
   * @param nowMs Of any clock that only goes forward.
   * @returns False when there are not enough rows; then nothing has changed. {@linkcode release} makes room.
   */
  name(names: ReadonlySet<string>, nowMs: number): boolean {
    const added = [...names].filter((name) => !this.#byName.has(name));
    const free = this.#rows.flatMap((row, index) => row === undefined ? [index] : []);
    if (added.length > free.length) return false;
    for (const row of this.#byName.values()) {
      if (names.has(row.name)) row.leftMs = undefined;
      else row.leftMs ??= nowMs;
    }
    added.forEach((name, index) => {
      const row: Row = { row: free[index]!, name, generation: ++this.#generation, leftMs: undefined };
      this.#rows[row.row] = row;
      this.#byName.set(name, row);
    });
    return true;
  }

  /** The row of a backend that is named, or leaving. */
  of(name: string): BackendRow | undefined {
    return this.#byName.get(name);
  }

  /** All rows in use, those of leaving backends too. */
  all(): readonly BackendRow[] {
    return this.#rows.filter((row) => row !== undefined);
  }

  isLeaving({ row }: BackendRow): boolean {
    return this.#rows[row]?.leftMs !== undefined;
  }

  /** How long a backend has been leaving, ms; 0 for one that is named. */
  leavingMs({ row }: BackendRow, nowMs: number): number {
    return nowMs - (this.#rows[row]?.leftMs ?? nowMs);
  }

  /**
   * Frees the rows of leaving backends that no session uses.
   *
   * @param isUsed Whether a worker has sessions with a row.
   * @returns The rows freed.
   */
  release(isUsed: (row: number) => boolean): readonly BackendRow[] {
    const freed = [...this.#byName.values()].filter(({ row, leftMs }) => leftMs !== undefined && !isUsed(row));
    for (const { row, name } of freed) {
      this.#rows[row] = undefined;
      this.#byName.delete(name);
    }
    return freed;
  }
}
