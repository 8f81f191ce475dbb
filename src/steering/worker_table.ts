/**
 * What a worker needs to know about ports and rules: two tables in shared memory, of which one is in force
 * (published.ts). Workers look once per batch which it is.
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
  /** 1 by port where a packet sent there may be answered, and so must not be echoed to it; else 0. */
  readonly answersOnPort: Uint8Array;
  /** One of {@linkcode WORKER_ACTION} by rule slot. */
  readonly actionOfRule: Uint8Array;
  /**
   * By worker: slot of the rule that all packets in its rings belong to, and that only counts them; 0 where there is
   * none.
   */
  readonly soleOfWorker: Uint16Array;
}

const TABLES = 2;
/** Workers there can be. */
const MAX_WORKERS = 64;
const PORTS_BYTES = PORT_COUNT * 2;
const SOLE_BYTES = MAX_WORKERS * 2;
const ANSWERS_AT = PORTS_BYTES + SOLE_BYTES;
const ACTIONS_AT = ANSWERS_AT + PORT_COUNT;

export function createWorkerTables(ruleSlots: number): SharedArrayBuffer {
  const padded = (ruleSlots + 1) & ~1;
  return new SharedArrayBuffer(TABLES * (ACTIONS_AT + padded));
}

/** Views of both tables over the memory of {@linkcode createWorkerTables}. */
export function viewWorkerTables(memory: SharedArrayBuffer): readonly WorkerTable[] {
  const bytes = memory.byteLength / TABLES;
  return Array.from({ length: TABLES }, (_, index) => {
    const at = index * bytes;
    return {
      ruleOfPort: new Uint16Array(memory, at, PORT_COUNT),
      soleOfWorker: new Uint16Array(memory, at + PORTS_BYTES, MAX_WORKERS),
      answersOnPort: new Uint8Array(memory, at + ANSWERS_AT, PORT_COUNT),
      actionOfRule: new Uint8Array(memory, at + ACTIONS_AT, bytes - ACTIONS_AT),
    };
  });
}

/** Copies a whole table. */
export function copyWorkerTable(from: WorkerTable, to: WorkerTable): void {
  to.ruleOfPort.set(from.ruleOfPort);
  to.answersOnPort.set(from.answersOnPort);
  to.actionOfRule.set(from.actionOfRule);
  to.soleOfWorker.set(from.soleOfWorker);
}
