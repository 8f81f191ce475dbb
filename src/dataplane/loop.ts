/**
 * The data path: one loop per worker over its queue ports.
 *
 * A turn takes a batch from each rx ring, processes it, sends or gives back its chunks, and keeps the chunks moving.
 * When nothing comes, the worker waits in the way the operator chose.
 *
 * @module
 */
import type { ForwardTable } from "../steering/forward_table.ts";
import type { SessionTableOptions } from "../steering/sessions.ts";
import { NO_RULE } from "../steering/slots.ts";
import type { WorkerTable } from "../steering/worker_table.ts";
import { Batch } from "./batch.ts";
import type { CaptureTap } from "./capture_tap.ts";
import { CopyingEgress } from "./egress.ts";
import { Forwarder } from "./forward.ts";
import { Parking } from "./parking.ts";
import { PassMark } from "./pass_mark.ts";
import { countBatch, processBatch, processParked } from "./process.ts";
import { Idle, SHORT_SLEEP_MS, type Waiter, type WaitMode } from "./idle.ts";
import { fillNeedsWakeup, type QueuePort, REST, restOf } from "./queue_port.ts";
import { COMMAND, type ControlWords, TABLE } from "./control_words.ts";
import {
  BATCHES_AT,
  EVICTIONS_AT,
  LOCK_MISSES_AT,
  SESSIONS_AT,
  TURNS_AT,
  TX_WAKEUPS_AT,
  type WorkerCounters,
} from "./counters.ts";

export interface LoopContext {
  readonly worker: number;
  readonly ports: readonly QueuePort[];
  readonly tables: readonly WorkerTable[];
  readonly forwardTables: readonly ForwardTable[];
  /** Made when the first rule forwards. */
  readonly sessions: SessionTableOptions;
  /** Number of each port's interface, in the order of the configuration. */
  readonly interfaceOfPort: readonly number[];
  readonly control: ControlWords;
  readonly counters: WorkerCounters;
  /** Called when the first rule is captured. */
  readonly openTap: () => CaptureTap;
  /** Waits for the worker's eventfd and for its sockets. */
  readonly waiter: Waiter;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly wait: WaitMode;
  /** Bytes in use on this thread's heap. */
  readonly heapUsed: () => number;
}

/** How often a worker that wakes up looks for sessions that have expired. */
const EXPIRE_MS = 10;
const EXPIRE_LOOKS = 1024;
/** Turns a draining worker tries to get its last packets sent, 1 ms apart. */
const DRAIN_TURNS_MAX = 200;

/** Runs until told to stop, or to drain and everything is drained. */
export function runLoop(context: LoopContext): void {
  new Loop(context).run();
}

class Loop {
  readonly #context: LoopContext;
  readonly #batch = new Batch();
  /** By port. */
  readonly #receivedAt: readonly number[];
  /** As last read from the control words. */
  #changes = 0;
  #command: number = COMMAND.run;
  #table: WorkerTable;
  /** The rule that all packets belong to, and that only counts them. */
  #soleRule: number = NO_RULE;
  readonly #passMark = new PassMark();
  /** Version of the forward table. */
  #forwardVersion = 0;
  #forwarder: Forwarder | undefined;
  #egress: CopyingEgress | undefined;
  readonly #parking = new Parking();
  readonly #parkedBatch = new Batch();
  /** While a rule is captured. */
  #tap: CaptureTap | undefined;
  /** The same, once there was one, and the version of its plan. */
  #openedTap: CaptureTap | undefined;
  #captureVersion = 0;
  readonly #idle: Idle;
  #expiredAtMs = 0;

  constructor(context: LoopContext) {
    this.#context = context;
    this.#receivedAt = context.ports.map((_, index) => context.counters.receivedAt(index));
    this.#table = context.tables[0]!;
    const { ports, waiter } = context;
    const idlers = { rest: () => restOf(ports), fillNeedsWakeup: () => fillNeedsWakeup(ports) };
    this.#idle = new Idle(context.wait, waiter, idlers, context.counters.values);
    this.#idle.looksUp = ports.some(({ zeroCopy }) => zeroCopy);
    this.#noteChanges();
  }

  run(): void {
    const { waiter, ports, counters: { values }, now } = this.#context;
    const idle = this.#idle;
    let drainTurns = 0;

    while (this.#command !== COMMAND.stop) {
      let received = 0;
      for (let index = 0; index < ports.length; index++) received += this.#turn(index);
      if (this.#parking.count > 0) this.#unpark(Parking.overSince(now()), false);
      values[TURNS_AT] = values[TURNS_AT]! + 1;

      if (received > 0) {
        idle.received(received);
        continue;
      }
      idle.empty();
      if (this.#command === COMMAND.drain) {
        if (this.#parking.count > 0) this.#unpark(Infinity, false);
        if (restOf(ports) > REST.short || drainTurns++ === DRAIN_TURNS_MAX) return;
        waiter.wait(SHORT_SLEEP_MS);
      } else if (idle.pass(this.#parking.count > 0)) {
        if (this.#forwarder !== undefined) this.#expire(this.#forwarder);
      }
    }
  }

  /** One batch of one queue port. Hot path: no allocation. */
  #turn(index: number): number {
    const { control, counters: { values }, ports } = this.#context;
    const port = ports[index]!;
    const batch = this.#batch;
    const received = port.receive(batch);
    // Loaded after the rx ring: a packet steered by a new port table finds the worker table that was put in force
    // before it.
    if (control.changesHint !== this.#changes) this.#noteChanges();
    if (received > 0) {
      const tap = this.#tap;
      if (tap !== undefined) tap.tap(port.umem, batch, this.#table, index);
      const forwarder = this.#forwarder;
      if (this.#soleRule !== NO_RULE) this.#count(index, port, batch);
      else if (forwarder === undefined) this.#process(index, port, batch);
      else this.#forward(index, port, forwarder);
      values[BATCHES_AT] = values[BATCHES_AT]! + 1;
    }
    if (this.#passMark.pending) this.#lookAtMark();
    if (port.unsent) values[TX_WAKEUPS_AT] = values[TX_WAKEUPS_AT]! + port.flushTx();
    if (port.exchange.due && !port.exchange.exchange()) values[LOCK_MISSES_AT] = values[LOCK_MISSES_AT]! + 1;
    return received;
  }

  #lookAtMark(): void {
    const { control, ports, worker } = this.#context;
    const mark = this.#passMark;
    if (mark.look(ports, this.#parking, performance.now())) control.setPassed(worker, mark.asked);
  }

  #process(index: number, port: QueuePort, batch: Batch): void {
    const { counters: { values }, interfaceOfPort } = this.#context;
    const txRoom = port.txRoom(batch.count);
    const receivedAt = this.#receivedAt[index]!;
    const from = interfaceOfPort[index]!;
    const transmitted = processBatch(
      port.umem,
      batch,
      this.#table,
      values,
      receivedAt,
      txRoom,
      this.#forwarder,
      from,
    );
    port.dispose(batch, transmitted);
  }

  /** As {@linkcode #process}, where all packets are of one rule that only counts them. */
  #count(index: number, port: QueuePort, batch: Batch): void {
    countBatch(batch, this.#soleRule, this.#context.counters.values, this.#receivedAt[index]!);
    port.dispose(batch, 0);
  }

  /** As {@linkcode #process}, while there are rules that forward. */
  #forward(index: number, port: QueuePort, forwarder: Forwarder): void {
    const nowMs = this.#context.now();
    const mayPark = this.#parking.hasRoom(this.#batch.count);
    this.#beginForwarding(forwarder, nowMs, mayPark);
    this.#process(index, port, this.#batch);
    this.#endForwarding(forwarder);
    if (mayPark) this.#parking.keep(this.#batch, index, nowMs);
  }

  #beginForwarding(forwarder: Forwarder, nowMs: number, mayPark: boolean): void {
    forwarder.startBatch(Math.trunc(nowMs / 1000));
    forwarder.mayPark = mayPark;
  }

  #endForwarding({ sessions }: Forwarder): void {
    const { values } = this.#context.counters;
    this.#egress!.submit();
    values[SESSIONS_AT] = sessions.live;
    values[EVICTIONS_AT] = sessions.evicted;
  }

  /**
   * Decides once more on parked packets that have waited since `sinceMs` or longer.
   *
   * @param mayPark False for those that are not to wait any longer.
   */
  #unpark(sinceMs: number, mayPark: boolean): void {
    const { ports } = this.#context;
    const batch = this.#parkedBatch;
    for (let index = 0; index < ports.length && this.#parking.count > 0; index++) {
      this.#parking.takeInto(batch, index, sinceMs);
      if (batch.count === 0) continue;
      const forwarder = this.#forwarder!;
      this.#beginForwarding(forwarder, this.#context.now(), mayPark);
      this.#processParked(index, ports[index]!, forwarder);
      this.#endForwarding(forwarder);
      if (mayPark) this.#parking.keepOn(batch, index);
    }
  }

  #processParked(index: number, port: QueuePort, forwarder: Forwarder): void {
    const { counters: { values }, interfaceOfPort } = this.#context;
    const batch = this.#parkedBatch;
    const txRoom = port.txRoom(batch.count);
    const receivedAt = this.#receivedAt[index]!;
    const from = interfaceOfPort[index]!;
    port.dispose(batch, processParked(port.umem, batch, values, receivedAt, txRoom, forwarder, from));
  }

  /** Sessions end also where no packet comes that would make room for another. */
  #expire({ sessions }: Forwarder): void {
    const nowMs = this.#context.now();
    if (nowMs - this.#expiredAtMs < EXPIRE_MS) return;
    this.#expiredAtMs = nowMs;
    sessions.expire(Math.trunc(nowMs / 1000), EXPIRE_LOOKS);
    this.#context.counters.values[SESSIONS_AT] = sessions.live;
  }

  /** Takes the forward table in force. The first one brings the memory for sessions with it. */
  #noteForwarding(version: number): void {
    const { control, forwardTables, interfaceOfPort, ports, sessions, worker } = this.#context;
    const table = forwardTables[version & 1]!;
    if (this.#forwarder === undefined) {
      this.#egress = new CopyingEgress(ports, interfaceOfPort, worker);
      this.#forwarder = new Forwarder(table, this.#egress, sessions);
      this.#idle.looksUp = true;
    }
    this.#forwardVersion = version;
    this.#forwarder.table = table;
    control.setSeen(worker, TABLE.forward, version);
    this.#unpark(Infinity, true); // ahead of what has come since
  }

  #noteCaptures(version: number): void {
    const { control, worker } = this.#context;
    this.#captureVersion = version;
    const tap = this.#openedTap ??= this.#context.openTap();
    this.#tap = tap.note(version) ? tap : undefined;
    control.setSeen(worker, TABLE.capture, version);
  }

  #noteChanges(): void {
    const { control, heapUsed, ports, tables, worker } = this.#context;
    this.#changes = control.changes;
    this.#command = control.command;
    // Read first: what the rules need was put in force before them.
    const rules = control.version(TABLE.rules);
    this.#table = tables[rules & 1]!;
    this.#soleRule = this.#table.soleOfWorker[worker]!;
    const forward = control.version(TABLE.forward);
    // Before the table whose rules it carries out is acknowledged.
    if (forward !== this.#forwardVersion) this.#noteForwarding(forward);
    const capture = control.version(TABLE.capture);
    if (capture !== this.#captureVersion) this.#noteCaptures(capture);
    control.setSeen(worker, TABLE.rules, rules);
    const asked = control.passAsked;
    if (asked !== this.#passMark.asked) this.#passMark.note(asked, ports);
    if (control.heapAsked(worker)) control.answerHeap(worker, heapUsed() >> 10);
  }
}
