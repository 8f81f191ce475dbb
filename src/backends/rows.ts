/**
 * Which row of the workers' forward table a backend has. Sessions hold rows, so a row outlives its backend's name in
 * the configuration: it is kept while sessions use it, and given away only when no worker has a session of it. Each use
 * of a row has a generation of its own.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import type { Change } from "../steering/published.ts";
import { plural } from "../text.ts";

/** A backend's row. */
export interface BackendRow {
  readonly row: number;
  /** Never the same for two backends, of this row or another; never 0. */
  readonly generation: number;
  /** When the rules stopped naming it; undefined while they do. */
  readonly leftMs: number | undefined;
}

/** Rows for the backends of changed rules, not in force yet. */
export interface RowPlan extends Change {
  /** By backend's name: those named, and those that leave. */
  readonly rows: ReadonlyMap<string, BackendRow>;
}

export interface RowsStanding {
  readonly rows: readonly (readonly [name: string, row: BackendRow])[];
  readonly generation: number;
}

export class BackendRows {
  #rows: ReadonlyMap<string, BackendRow> = new Map();
  /** Of the last row that was given. */
  #generation = 0;

  /**
   * @param capacity How many rows there are; row 0 is given to nobody.
   * @param before What {@linkcode standing} was in the process before.
   */
  constructor(private readonly capacity: number, before?: RowsStanding) {
    if (before === undefined) return;
    this.#rows = new Map(before.rows);
    this.#generation = before.generation;
  }

  /** Who has which row, for a process that comes after this one and has the same clock. */
  get standing(): RowsStanding {
    return { rows: [...this.#rows], generation: this.#generation };
  }

  /** By backend's name: those named, and those that leave. */
  get all(): ReadonlyMap<string, BackendRow> {
    return this.#rows;
  }

  /** Rows that could be given to backends now. */
  get free(): number {
    return this.capacity - 1 - this.#rows.size;
  }

  /**
   * Finds a row for every backend that the rules are to name. One that has a row keeps it, also if it was leaving.
   * Nothing changes before the plan flips; one plan at a time.
   *
   * @param nowMs Of any clock that only goes forward.
   * @throws {SteerError} when there are not enough rows, since sessions of earlier backends still use them.
   */
  plan(names: ReadonlySet<string>, nowMs: number): RowPlan {
    const rows = new Map<string, BackendRow>();
    for (const [name, row] of this.#rows) {
      rows.set(name, { ...row, leftMs: names.has(name) ? undefined : row.leftMs ?? nowMs });
    }
    const taken = new Set([...rows.values()].map(({ row }) => row));
    let row = 0;
    let generation = this.#generation;
    for (const name of names) {
      if (rows.has(name)) continue;
      do row++; while (taken.has(row));
      if (row >= this.capacity) throw this.#noRoom(names);
      rows.set(name, { row, generation: ++generation, leftMs: undefined });
    }
    const before = { rows: this.#rows, generation: this.#generation };
    const set = (to: typeof before): void => {
      this.#rows = to.rows;
      this.#generation = to.generation;
    };
    return { rows, flip: () => set({ rows, generation }), back: () => set(before) };
  }

  /** Whether {@linkcode plan} would find a row for each. */
  hasRoomFor(names: ReadonlySet<string>): boolean {
    return [...names].filter((name) => !this.#rows.has(name)).length <= this.free;
  }

  #noRoom(names: ReadonlySet<string>): SteerError {
    const others = [...this.#rows].filter(([name]) => !names.has(name));
    const inForce = others.filter(([, { leftMs }]) => leftMs === undefined).length;
    const left = plural(others.length - inForce, "backend");
    return new SteerError(
      `There is no room for ${names.size} backends beside ${inForce} others in force: sessions still use ${left} of ` +
        "before",
      { hint: "wait until they have drained, or set drain_timeout lower" },
    );
  }

  /** Gives the rows of backends back. No session may use them, and no packet be on its way that could make one. */
  release(names: Iterable<string>): void {
    const rows = new Map(this.#rows);
    for (const name of names) rows.delete(name);
    this.#rows = rows;
  }
}
