/**
 * What a worker needs to know about ports and rules: two tables in shared memory, one in force. The control thread writes the
 * idle one, then stores its index; workers load the index once per batch.
 *
 * @module
 */
import { PORT_COUNT } from "./port_map.ts";

/** What a worker does with a packet of a rule. */
export const WORKER_ACTION = {
  none: 0,
  count: 1,
  echo: 2,
  /** To a backend of the rule's. */
  forward: 3,
  /** From a backend back to its client: the action of the translation ports. */
  answer: 4,
} as const;

export interface WorkerTable {
  /** Rule slot by port. A port keeps its last rule after it is unlisted: packets steered before may still arrive. */
  readonly ruleOfPort: Uint16Array;
  /** 1 by port where a packet sent there may be answered, and so must not be echoed to it; else 0. */
  readonly answersOnPort: Uint8Array;
  /** One of {@linkcode WORKER_ACTION} by rule slot. */
  readonly actionOfRule: Uint8Array;
}

const TABLES = 2;
const ACTIONS_AT = PORT_COUNT * 3;

export function createWorkerTables(ruleSlots: number): SharedArrayBuffer {
  return new SharedArrayBuffer(TABLES * (ACTIONS_AT + ruleSlots));
}

/** Views of both tables over the memory of {@linkcode createWorkerTables}. */
export function viewWorkerTables(memory: SharedArrayBuffer): readonly WorkerTable[] {
  const bytes = memory.byteLength / TABLES;
  return Array.from({ length: TABLES }, (_, index) => ({
    ruleOfPort: new Uint16Array(memory, index * bytes, PORT_COUNT),
    answersOnPort: new Uint8Array(memory, index * bytes + PORT_COUNT * 2, PORT_COUNT),
    actionOfRule: new Uint8Array(memory, index * bytes + ACTIONS_AT, bytes - ACTIONS_AT),
  }));
}
