/**
 * What a worker needs to know about ports and rules: two tables in shared memory, one in force. The control thread writes the
 * idle one, then stores its index; workers load the index once per batch.
 *
 * @module
 */
import { WORKER_ACTIONS, type WorkerAction } from "./action.ts";
import { PORT_COUNT } from "./port_map.ts";

/** What a worker does with a packet of a rule: the number of each action, 0 where there is none. */
export const WORKER_ACTION = Object.fromEntries(WORKER_ACTIONS.map((kind, index) => [kind, index + 1])) as Readonly<
  Record<WorkerAction, number>
>;

export interface WorkerTable {
  /** Rule slot by port. A port keeps its last rule after it is unlisted: packets steered before may still arrive. */
  readonly ruleOfPort: Uint16Array;
  /** One of {@linkcode WORKER_ACTION} by rule slot. */
  readonly actionOfRule: Uint8Array;
}

const TABLES = 2;

export function createWorkerTables(ruleSlots: number): SharedArrayBuffer {
  return new SharedArrayBuffer(TABLES * (PORT_COUNT * 2 + ruleSlots));
}

/** Views of both tables over the memory of {@linkcode createWorkerTables}. */
export function viewWorkerTables(memory: SharedArrayBuffer): readonly WorkerTable[] {
  const bytes = memory.byteLength / TABLES;
  return Array.from({ length: TABLES }, (_, index) => ({
    ruleOfPort: new Uint16Array(memory, index * bytes, PORT_COUNT),
    actionOfRule: new Uint8Array(memory, index * bytes + PORT_COUNT * 2, bytes - PORT_COUNT * 2),
  }));
}
