/**
 * All translation ports of a worker: a pool for each backend and each translation address, made when a session first
 * needs it.
 *
 * @module
 */
import { MAX_SOURCES } from "./forward_table.ts";
import { PortPool } from "./port_pool.ts";
import type { Random } from "./random.ts";
import { SESSION } from "./session_row.ts";

const NONE = -1;
const { backend: BACKEND_ROW, address: ADDRESS } = SESSION;

export class PortPools {
  /** By backend row and place of the address. */
  readonly #pools: (PortPool | undefined)[] = [];

  /** @param portCount Ports of each pool, from `firstPort` on. */
  constructor(
    private readonly firstPort: number,
    private readonly portCount: number,
    private readonly random: Random,
  ) {}

  /** Whether a translation port is one of the pools', and not another worker's. */
  has(port: number): boolean {
    return port >= this.firstPort && port < this.firstPort + this.portCount;
  }

  /** Where a pool is found. Hot path: no allocation. */
  numberOf(backendRow: number, place: number): number {
    return backendRow * MAX_SOURCES + place;
  }

  /** The place of a pool's address. Hot path: no allocation. */
  placeOf(number: number): number {
    return number % MAX_SOURCES;
  }

  /** Forgets which ports are taken; see {@linkcode PortPool.clear}. */
  clear(): void {
    this.#pools.forEach((pool) => pool?.clear());
  }

  /** Makes a pool where there is none. */
  prepare(number: number): PortPool {
    return this.#pools[number] ??= new PortPool(this.portCount, this.random);
  }

  /** A session has a port already: the pool is made where there is none. */
  own(number: number, port: number, session: number, rank: number): void {
    this.prepare(number).own(port, session, rank);
  }

  settle(): void {
    this.#pools.forEach((pool) => pool?.settle());
  }

  /** A pool that no session has needed yet is undefined. Hot path: no allocation. */
  at(number: number): PortPool | undefined {
    return this.#pools[number];
  }

  /** The pool that a session's port is of. Hot path: no allocation. */
  of(words: Int32Array, at: number): PortPool {
    return this.#pools[this.numberOf(words[at + BACKEND_ROW]!, words[at + ADDRESS]!)]!;
  }

  /**
   * The number of a pool with a free port, or -1. One that is short of them is the last choice.
   *
   * @param places A bit for each address that may be used.
   */
  withFree(backendRow: number, places: number): number {
    let short = NONE;
    const first = places === 1 ? 0 : this.random.below(MAX_SOURCES);
    for (let index = 0; index < MAX_SOURCES; index++) {
      const place = (first + index) % MAX_SOURCES;
      if (((places >> place) & 1) === 0) continue;
      const number = this.numberOf(backendRow, place);
      const pool = this.prepare(number);
      if (pool.free === 0) continue;
      if (!pool.isShort) return number;
      short = number;
    }
    return short;
  }
}
