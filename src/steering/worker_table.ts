/**
 * What a worker needs to know about ports and rules: two tables in shared memory, of which one is in force
 * (published.ts). Workers look once per batch which it is.
 *
 * @module
 */
import { MAX_ADDRESS_LISTS, MAX_LISTED_ADDRESSES } from "./addresses.ts";
import { WORKER_ACTIONS, type WorkerAction } from "./action.ts";
import { PORT_COUNT } from "./port_map.ts";

/** What a worker does with a packet of a rule: the number of each action, 0 where there is none. */
export const WORKER_ACTION = Object.fromEntries(WORKER_ACTIONS.map((kind, index) => [kind, index + 1])) as Readonly<
  Record<WorkerAction, number>
>;

export interface WorkerTable {
  /**
   * Rule slot by port, or a number from {@linkcode CHAINED} on where the destination address decides among several
   * rules (rule_chains.ts). A port keeps its last rule after it is unlisted: packets steered before may still arrive.
   */
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
  /** Rules of ports that have several: pairs of a slot and the number of its list, which is 0 with the last one. */
  readonly chains: Uint16Array;
  /** Where each list begins in {@linkcode listed}, and where the last one ends; all 0 where there is none. */
  readonly lists: Uint16Array;
  /** Addresses of lists, {@linkcode LISTED_WORDS} words each: see {@linkcode LISTED_WORDS}. */
  readonly listed: Int32Array;
}

/** From this number on, a port's rule is the chain with this number less that one. */
export const CHAINED = 0x8000;
/** Most pairs in all chains of a table. */
export const MAX_CHAINED = 0x4000;
/** Four words of an address, of which IPv4 has the last, four of mask, and 1 for IPv6. */
export const LISTED_WORDS = 9;

const TABLES = 2;
/** Workers there can be. */
const MAX_WORKERS = 64;
const PORTS_BYTES = PORT_COUNT * 2;
const SOLE_BYTES = MAX_WORKERS * 2;
const ANSWERS_AT = PORTS_BYTES + SOLE_BYTES;
const CHAINS_AT = ANSWERS_AT + PORT_COUNT;
const CHAIN_WORDS = 2 * MAX_CHAINED;
const LISTS_AT = CHAINS_AT + CHAIN_WORDS * 2;
const LIST_STARTS = 64;
const LISTED_AT = LISTS_AT + LIST_STARTS * 2;
const ALL_LISTED_WORDS = MAX_ADDRESS_LISTS * MAX_LISTED_ADDRESSES * LISTED_WORDS;
const ACTIONS_AT = LISTED_AT + ALL_LISTED_WORDS * 4;

export function createWorkerTables(ruleSlots: number): SharedArrayBuffer {
  const padded = (ruleSlots + 3) & ~3;
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
      chains: new Uint16Array(memory, at + CHAINS_AT, CHAIN_WORDS),
      lists: new Uint16Array(memory, at + LISTS_AT, LIST_STARTS),
      listed: new Int32Array(memory, at + LISTED_AT, ALL_LISTED_WORDS),
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
  to.lists.set(from.lists);
  if (from.lists[1] === 0) return; // no list, so no chain either: their memory stays untouched
  to.chains.set(from.chains);
  to.listed.set(from.listed);
}
