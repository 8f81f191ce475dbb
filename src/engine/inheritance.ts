/**
 * What the workers of another process leave to those of this one, where these are others: more, fewer, or with queues
 * in another order. Counters and sessions are copied once all of the others have given up; nothing of theirs changes,
 * so they can go on with it where this process fails.
 *
 * @module
 */
import {
  answerRow,
  countersBytes,
  countersShape,
  fateAt,
  LOOP_COUNTERS,
  SESSIONS_AT,
  WorkerCounters,
} from "../dataplane/counters.ts";
import { Ownership, OWNERSHIP_SHAPE, ownershipBytes } from "../dataplane/ownership.ts";
import { SharedMemory } from "../ffi/shared_memory.ts";
import { FATES } from "../steering/fate.ts";
import { type Homes, rehome, type Rehomed } from "../steering/rehome.ts";
import type { TwinRows } from "../steering/twins.ts";
import { eachPart, sessionMemory, type SessionPart } from "./session_memory.ts";
import type { HandedWorkers } from "./workers.ts";

/** How the other process has its workers. */
export interface FormerShape {
  readonly ruleSlots: number;
  /** By queue end there: which it is here; -1: none. */
  readonly ends: readonly number[];
  /** Sessions of each worker. */
  readonly sessions: number;
}

/** What it is given to. */
export interface Heirs {
  /** Queue ends that there are. */
  readonly ends: number;
  readonly counters: readonly WorkerCounters[];
  readonly sessions: readonly Readonly<Record<SessionPart, SharedMemory>>[];
}

/** What was given. */
export interface Given extends Rehomed {
  /** By slot, then worker: what came by queues that are no more; first what came in, then what came back. */
  readonly received: readonly (readonly [number[], number[]])[];
}

export class Inheritance {
  readonly ownership: Ownership;
  readonly #counters: readonly WorkerCounters[];
  readonly #sessions: readonly Readonly<Record<SessionPart, SharedMemory>>[];
  readonly #files: readonly SharedMemory[];

  /** Looks whether all is there, and of this version's layout. @throws {SteerError} where it is not. */
  constructor(private readonly handed: HandedWorkers, private readonly shape: FormerShape) {
    const { ruleSlots, ends } = shape;
    const ownership = SharedMemory.adopt(handed.ownership, {
      name: "xdpsteer owners",
      shape: OWNERSHIP_SHAPE,
      bytes: ownershipBytes(handed.counters.length),
    });
    const counters = handed.counters.map((fd) =>
      SharedMemory.adopt(fd, {
        name: "xdpsteer counters",
        shape: countersShape(ruleSlots, ends.length),
        bytes: countersBytes(ruleSlots, ends.length),
      })
    );
    this.ownership = new Ownership(ownership.view());
    this.#counters = counters.map((memory) => new WorkerCounters(memory.view(), ruleSlots));
    this.#sessions = handed.sessions.map((fds) =>
      eachPart((part) => SharedMemory.adopt(fds[part], sessionMemory(part, shape.sessions)))
    );
    this.#files = [ownership, ...counters, ...this.#sessions.flatMap((parts) => Object.values(parts))];
  }

  /** Process that gives. */
  get process(): number {
    return this.handed.process;
  }

  /**
   * Gives everything on. All workers of the other process must have given up, and none of this one may have begun.
   *
   * @param slots Rule slots in use.
   */
  give({ counters, sessions, ends }: Heirs, slots: number, homes: Homes): Given {
    const received: Given["received"] = Array.from(
      { length: slots },
      () => [counters.map(() => 0), counters.map(() => 0)],
    );
    this.#counters.forEach((former, worker) => this.#addCounters(counters, worker % counters.length, former, received));
    // Sockets are new: nothing was taken from their rings.
    for (const each of counters) {
      for (let end = 0; end < ends; end++) each.values[each.aheadAt(end)] = -each.receivedFrom(end) | 0;
    }
    this.#sessions.forEach(({ backendCounts }, worker) => {
      const to = new Float64Array(sessions[worker % sessions.length]!.backendCounts.view());
      new Float64Array(backendCounts.view()).forEach((count, at) => {
        if (count !== 0) to[at] = to[at]! + count;
      });
    });
    return { ...rehome(this.#sessions.map(rowsOf), sessions.map(rowsOf), homes), received };
  }

  /** Closes the descriptors: all is given, or never will be. */
  close(): void {
    for (const memory of this.#files) memory.closeFile();
  }

  #addCounters(
    counters: readonly WorkerCounters[],
    worker: number,
    from: WorkerCounters,
    received: Given["received"],
  ): void {
    const { ruleSlots, ends } = this.shape;
    const to = counters[worker]!;
    const slots = received.length;
    const add = (at: number, fromAt: number, count: number): void => {
      for (let index = 0; index < count; index++) {
        to.values[at + index] = to.values[at + index]! + from.values[fromAt + index]!;
      }
    };
    const before = to.values[SESSIONS_AT]!;
    add(0, 0, LOOP_COUNTERS.length);
    to.values[SESSIONS_AT] = before; // what there is of these, the workers find themselves
    for (const [half, row] of [0, answerRow(0, ruleSlots)].entries()) {
      add(fateAt(row, 0), fateAt(row, 0), slots * 2 * FATES.length);
      ends.forEach((end, former) => {
        const at = from.receivedAt(former) + row;
        if (end >= 0) add(to.receivedAt(end) + row, at, slots);
        else received.forEach((halves, slot) => halves[half]![worker]! += from.values[at + slot]!);
      });
    }
  }
}

/** Those of one worker. */
export function rowsOf({ rows, twins }: Readonly<Record<"rows" | "twins", SharedMemory>>): TwinRows {
  return { rows: new Int32Array(rows.view()), twins: new Int32Array(twins.view()) };
}
