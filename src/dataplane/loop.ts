/**
 * The data path: one loop per worker over its queue ports.
 *
 * A turn takes a batch from each rx ring, processes it, sends or gives back its chunks, and keeps the chunks moving. When
 * nothing comes, the worker waits in the way the operator chose.
 *
 * @module
 */
import type { PollSet } from "../ffi/libc.ts";
import type { WorkerTable } from "../steering/worker_table.ts";
import { Batch } from "./batch.ts";
import { processBatch } from "./process.ts";
import type { QueuePort } from "./queue_port.ts";
import {
  BATCHES_AT,
  COMMAND,
  type ControlWords,
  IDLE_MS_AT,
  LOCK_MISSES_AT,
  SLEEPS_AT,
  TURNS_AT,
  TX_WAKEUPS_AT,
  type WorkerCounters,
} from "./words.ts";

export type WaitMode = "adaptive" | "poll" | "busy";

export interface LoopContext {
  readonly worker: number;
  readonly ports: readonly QueuePort[];
  readonly tables: readonly WorkerTable[];
  readonly control: ControlWords;
  readonly counters: WorkerCounters;
  /** Waits for the worker's eventfd, which is its first member, and for its sockets. */
  readonly pollSet: PollSet;
  readonly wait: WaitMode;
  /** Bytes in use on this thread's heap. */
  readonly heapUsed: () => number;
}

/** Empty turns before an adaptive worker goes to sleep: some microseconds, enough for a client that answers at once. */
const ADAPTIVE_SPIN_TURNS = 50;
/** Empty turns between looks at the clock while spinning. */
const CLOCK_TURNS = 4096;
/** Longest sleep: completions that nobody waits for are collected at least this often. */
const SLEEP_MS = 100;
/** Longest sleep while packets wait to be sent, or the fill ring runs low. */
const SHORT_SLEEP_MS = 1;
/** Turns a draining worker tries to get its last packets sent, 1 ms apart. */
const DRAIN_TURNS_MAX = 200;

/** Runs until told to stop, or to drain and everything is drained. */
export function runLoop(context: LoopContext): void {
  const { control, counters, pollSet, worker, ports } = context;
  const batch = new Batch();
  const receivedAt = ports.map((_, index) => counters.receivedAt(index));
  const spinTurns = context.wait === "poll" ? 1 : context.wait === "adaptive" ? ADAPTIVE_SPIN_TURNS : Infinity;
  const values = counters.values;
  let emptyTurns = 0;
  let drainTurns = 0;
  pollSet.mark();

  for (;;) {
    const command = control.command;
    if (command === COMMAND.stop) return;
    if (control.heapAsked(worker)) control.answerHeap(worker, context.heapUsed() >> 10);

    let received = 0;
    for (let index = 0; index < ports.length; index++) {
      received += turn(context, ports[index]!, batch, receivedAt[index]!);
    }
    values[TURNS_AT] = values[TURNS_AT]! + 1;

    if (received > 0) {
      if (emptyTurns > 0) {
        pollSet.addElapsed(values, IDLE_MS_AT);
        emptyTurns = 0;
      }
      continue;
    }
    if (emptyTurns++ === 0) pollSet.mark();

    if (command === COMMAND.drain) {
      if (!unfinished(ports) || drainTurns++ === DRAIN_TURNS_MAX) return;
      pollSet.wait(SHORT_SLEEP_MS);
    } else if (emptyTurns >= spinTurns && !chunksDue(ports)) {
      values[SLEEPS_AT] = values[SLEEPS_AT]! + 1;
      pollSet.wait(unfinished(ports) ? SHORT_SLEEP_MS : SLEEP_MS);
      pollSet.drainFirst();
    } else if (fillNeedsWakeup(ports)) {
      pollSet.wait(0); // poll(2) is also how a zero-copy driver is told to look at its fill ring
    } else if (emptyTurns % CLOCK_TURNS !== 0) {
      continue;
    }
    pollSet.addElapsed(values, IDLE_MS_AT);
  }
}

/** One batch of one queue port. Hot path: no allocation. */
function turn(context: LoopContext, port: QueuePort, batch: Batch, receivedAt: number): number {
  const { control, counters, worker } = context;
  const values = counters.values;
  const received = port.receive(batch);
  // Loaded after the rx ring: a packet steered by a new port table finds the worker table that was put in force before it.
  const active = control.activeTable;
  if (active !== control.tableSeen(worker)) control.setTableSeen(worker, active);
  if (received > 0) {
    const reserved = port.reserveTx(received);
    const transmitted = processBatch(port.umem, batch, context.tables[active]!, values, receivedAt, reserved);
    port.dispose(batch, reserved, transmitted);
    values[BATCHES_AT] = values[BATCHES_AT]! + 1;
  }
  if (port.unsent) values[TX_WAKEUPS_AT] = values[TX_WAKEUPS_AT]! + port.flushTx();
  if (port.exchange.due && !port.exchange.exchange()) values[LOCK_MISSES_AT] = values[LOCK_MISSES_AT]! + 1;
  return received;
}

/** True while a port's chunks still have to go to the fill ring: the lock was taken by another worker. */
function chunksDue(ports: readonly QueuePort[]): boolean {
  for (let index = 0; index < ports.length; index++) {
    if (ports[index]!.exchange.due) return true;
  }
  return false;
}

/** True while a port has packets to send, or chunks on their way that its fill ring will miss soon. */
function unfinished(ports: readonly QueuePort[]): boolean {
  for (let index = 0; index < ports.length; index++) {
    const port = ports[index]!;
    if (port.unsent || port.exchange.returnedCount > 0 || port.exchange.low) return true;
  }
  return false;
}

function fillNeedsWakeup(ports: readonly QueuePort[]): boolean {
  for (let index = 0; index < ports.length; index++) {
    if (ports[index]!.exchange.needsWakeup()) return true;
  }
  return false;
}
