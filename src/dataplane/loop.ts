/**
 * The data path: one loop per worker over its queue ends.
 *
 * A turn takes a batch from each rx ring, processes it, sends or gives back its chunks, and keeps the chunks moving.
 * When nothing comes, the worker waits in the way the operator chose.
 *
 * @module
 */
import type { ForwardTable } from "../steering/forward_table.ts";
import { TICK_MS } from "../steering/session_row.ts";
import { REFUSED } from "../steering/sessions.ts";
import { NO_RULE } from "../steering/slots.ts";
import type { WorkerTable } from "../steering/worker_table.ts";
import { Batch, BATCH_SIZE, DISPOSAL } from "./batch.ts";
import type { CaptureTap } from "./capture_tap.ts";
import { CopyingEgress } from "./egress.ts";
import type { Hand } from "./hand.ts";
import type { EndSource } from "./ends.ts";
import type { Tenure } from "./ownership.ts";
import { Expiry } from "./expiry.ts";
import { Forwarder, type ForwarderOptions, type ViewMemory } from "./forward.ts";
import { PARK_MAX, Parking } from "./parking.ts";
import { PassMark } from "./pass_mark.ts";
import { countBatch, countFailed, countLost, processBatch, processParked } from "./process.ts";
import { Idle, SHORT_SLEEP_MS, type Waiter, type WaitMode } from "./idle.ts";
import { fillNeedsWakeup, type QueueEnd, REST, restOf } from "./queue_end.ts";
import { COMMAND, type ControlWords, TABLE } from "./control_words.ts";
import {
  BATCHES_AT,
  EVICTIONS_AT,
  LOCK_MISSES_AT,
  REFUSED_BACKENDS_AT,
  REFUSED_PORTS_AT,
  REFUSED_ROWS_AT,
  SESSIONS_AT,
  TURNS_AT,
  TX_WAKEUPS_AT,
  type WorkerCounters,
} from "./counters.ts";

/** What the loop needs of a {@linkcode CaptureTap}. */
export type Tap = Pick<CaptureTap, "note" | "tap">;

export interface LoopContext {
  readonly worker: number;
  /** By place; those whose sockets were opened or closed are replaced by {@linkcode LoopContext.endSource}. */
  readonly ends: readonly QueueEnd[];
  readonly endSource: EndSource;
  readonly tables: readonly WorkerTable[];
  readonly forwardTables: readonly ForwardTable[];
  /** Made when the first rule forwards. */
  readonly sessions: ForwarderOptions;
  readonly viewMemory: ViewMemory;
  /** Number of each end's interface, in the order of the configuration. */
  readonly interfaceOfEnd: readonly number[];
  readonly control: ControlWords;
  /** What is in hand, where others see it. */
  readonly hand: Hand;
  /** Is told when a thread before this one has left something in hand: so many packets of it are lost. */
  readonly onResumed: (lost: number) => void;
  /** Whether the ends are this worker's: another process may have them, or want them. */
  readonly tenure: Pick<Tenure, "holds" | "isDue" | "isLast" | "release" | "take" | "taken">;
  readonly counters: WorkerCounters;
  /** Its first word changes with each turn. */
  readonly heartbeat: Int32Array;
  /** Called when the first rule is captured. */
  readonly openTap: () => Tap;
  /** Waits for what wakes the worker, and for its sockets. */
  readonly waiter: Waiter;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly wait: WaitMode;
  /** Bytes in use on this thread's heap. */
  readonly heapUsed: () => number;
}

/** Turns a draining worker tries to get its last packets sent, 1 ms apart. */
const DRAIN_TURNS_MAX = 200;
/** Longest sleep while another process has the ends. */
const STAND_BY_MS = 100;
/** Packets that a worker has in hand at most: a batch, parked ones that it decides on, and all others parked. */
const IN_HAND_MAX = 2 * BATCH_SIZE + PARK_MAX;
/** Turns that empty the largest rx ring. */
const LEAVE_TURNS_MAX = 1024;

/** The loop, which tests take a turn at a time. */
export class Loop {
  readonly #context: LoopContext;
  readonly #batch: Batch;
  /** By end. */
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
  readonly #parking: Parking;
  readonly #parkedBatch: Batch;
  /** While a rule is captured. */
  #tap: Tap | undefined;
  /** The same, once there was one, and the version of its plan. */
  #openedTap: Tap | undefined;
  #captureVersion = 0;
  readonly #idle: Idle;
  #endsVersion = 0;
  /** True while sockets were opened, are to be closed, or change hands, that it has not looked at. Hot path. */
  #endsDue = false;
  /** Whether it has had the ends: whoever has just given them up must not take the CPU from the next one. */
  #hasHeld = false;
  readonly #expiry = new Expiry();
  /** Place of the end whose batch is in hand; -1: none is. */
  #inHand = -1;
  /** The same of parked packets that are being decided on. */
  #parkedInHand = -1;
  /** By place: the end that these are of; what was taken from it by then, less what was counted. */
  readonly #accounts: { end: QueueEnd | undefined; ahead: number }[];
  /** Empty turns since it was told to drain. */
  #drainTurns = 0;

  constructor(context: LoopContext) {
    this.#context = context;
    const { batch, parkedBatch, parking } = context.hand;
    this.#batch = batch;
    this.#parkedBatch = parkedBatch;
    this.#parking = parking;
    this.#receivedAt = context.ends.map((_, index) => context.counters.receivedAt(index));
    this.#accounts = context.ends.map(() => ({ end: undefined, ahead: 0 }));
    this.#table = context.tables[0]!;
    const { ends, waiter } = context;
    const idlers = { rest: () => restOf(ends), fillNeedsWakeup: () => fillNeedsWakeup(ends) };
    this.#idle = new Idle(context.wait, waiter, idlers, context.counters.values);
    this.#openAccounts();
    this.#noteChanges();
    if (this.#endsDue) this.#noteEnds();
  }

  /** Runs until told to stop, or to drain and everything is drained. */
  run(): void {
    while (this.step());
  }

  /**
   * One turn: a batch of each queue end, or what a turn without packets is for. Hot path: no allocation.
   *
   * @returns False when the loop is at its end.
   */
  step(): boolean {
    if (this.#command === COMMAND.stop) return false;
    if (this.#endsDue) {
      this.#noteEnds();
      if (!this.#context.tenure.holds) return this.#standBy();
    }
    const { ends, counters: { values }, heartbeat } = this.#context;
    const idle = this.#idle;
    let received = 0;
    for (let index = 0; index < ends.length; index++) received += this.#turn(index);
    if (this.#parking.count > 0) this.#unpark(Parking.overSince(this.#context.now()), false);
    values[TURNS_AT] = values[TURNS_AT]! + 1;
    heartbeat[0] = (heartbeat[0]! + 1) | 0;

    if (received > 0) {
      idle.received(received);
      this.#expiry.turn();
      if (this.#expiry.due) this.#expire();
      return true;
    }
    idle.empty();
    if (this.#command === COMMAND.drain) return this.#drain();
    if (this.#expiry.due) this.#expire();
    // A turn comes before the look: packets do not wait for it.
    if (idle.pass(this.#parking.count > 0)) this.#expiry.passed();
    return true;
  }

  /**
   * A turn while another process has the ends, and counts: it only follows what changes. @returns False when it is to
   * end.
   */
  #standBy(): boolean {
    const { control, heartbeat, waiter } = this.#context;
    // By whichever process's program packets are decided: their workers are there.
    heartbeat[0] = (heartbeat[0]! + 1) | 0;
    if (control.changesHint !== this.#changes) this.#noteChanges();
    if (this.#command !== COMMAND.run) return false;
    const isDue = this.#context.tenure.isDue;
    if (!isDue && !this.#hasHeld) this.#prepare();
    if (this.#passMark.pending) this.#lookAtMark();
    waiter.wait(isDue ? SHORT_SLEEP_MS : STAND_BY_MS); // woken at once, if all is well
    return true;
  }

  /**
   * A turn without packets after the command to drain. @returns False when nothing is left to do, or it takes too long.
   */
  #drain(): boolean {
    const { ends, waiter } = this.#context;
    if (this.#parking.count > 0) this.#unpark(Infinity, false);
    if (restOf(ends) > REST.short || this.#drainTurns++ === DRAIN_TURNS_MAX) return false;
    waiter.wait(SHORT_SLEEP_MS);
    return true;
  }

  /** One batch of one queue end. Hot path: no allocation. */
  #turn(index: number): number {
    const { control, counters: { values }, ends } = this.#context;
    const end = ends[index]!;
    const batch = this.#batch;
    const received = end.receive(batch);
    this.#inHand = index; // until a failure can lose nothing of it
    if (received > 0) batch.hold(index);
    // Loaded after the rx ring: a packet steered by a new port table finds the worker table that was put in force
    // before it.
    if (control.changesHint !== this.#changes) this.#noteChanges();
    if (received > 0) {
      const tap = this.#tap;
      if (tap !== undefined) tap.tap(end.umem, batch, this.#table, index);
      const forwarder = this.#forwarder;
      if (this.#soleRule !== NO_RULE) this.#count(index, end, batch);
      else if (forwarder === undefined) this.#process(index, end, batch);
      else this.#forward(index, end, forwarder);
      values[BATCHES_AT] = values[BATCHES_AT]! + 1;
    }
    this.#inHand = -1;
    if (received > 0) batch.letGo();
    if (this.#passMark.pending) this.#lookAtMark();
    if (end.unsent) values[TX_WAKEUPS_AT] = values[TX_WAKEUPS_AT]! + end.flushTx();
    if (end.exchange.due && !end.exchange.exchange()) values[LOCK_MISSES_AT] = values[LOCK_MISSES_AT]! + 1;
    return received;
  }

  #lookAtMark(): void {
    const { control, ends, worker } = this.#context;
    const mark = this.#passMark;
    if (mark.look(ends, this.#parking, this.#context.now())) control.setPassed(worker, mark.asked);
  }

  #process(index: number, end: QueueEnd, batch: Batch): void {
    const { counters: { values }, interfaceOfEnd } = this.#context;
    const txRoom = end.txRoom(batch.count);
    const receivedAt = this.#receivedAt[index]!;
    const from = interfaceOfEnd[index]!;
    const transmitted = processBatch(
      end.umem,
      batch,
      this.#table,
      values,
      receivedAt,
      txRoom,
      this.#forwarder,
      from,
    );
    end.dispose(batch, transmitted);
  }

  /** As {@linkcode #process}, where all packets are of one rule that only counts them. */
  #count(index: number, end: QueueEnd, batch: Batch): void {
    countBatch(batch, this.#soleRule, this.#context.counters.values, this.#receivedAt[index]!);
    end.dispose(batch, 0);
  }

  /** As {@linkcode #process}, while there are rules that forward. */
  #forward(index: number, end: QueueEnd, forwarder: Forwarder): void {
    const nowMs = this.#context.now();
    const mayPark = this.#parking.hasRoom(this.#batch.count);
    this.#beginForwarding(forwarder, nowMs, mayPark);
    this.#process(index, end, this.#batch);
    this.#endForwarding(forwarder);
    if (mayPark) this.#parking.keep(this.#batch, index, nowMs);
  }

  #beginForwarding(forwarder: Forwarder, nowMs: number, mayPark: boolean): void {
    forwarder.now = Math.trunc(nowMs / TICK_MS);
    forwarder.nowMs = nowMs;
    forwarder.mayPark = mayPark;
  }

  #endForwarding({ sessions }: Forwarder): void {
    const { values } = this.#context.counters;
    this.#egress!.submit();
    values[SESSIONS_AT] = sessions.live;
    values[EVICTIONS_AT] = sessions.evicted;
    values[REFUSED_ROWS_AT] = sessions.refused[REFUSED.rows]!;
    values[REFUSED_PORTS_AT] = sessions.refused[REFUSED.ports]!;
    values[REFUSED_BACKENDS_AT] = sessions.refused[REFUSED.backends]!;
  }

  /**
   * Decides once more on parked packets that have waited since `sinceMs` or longer.
   *
   * @param mayPark False for those that are not to wait any longer.
   */
  #unpark(sinceMs: number, mayPark: boolean): void {
    const { ends } = this.#context;
    for (let index = 0; index < ends.length && this.#parking.count > 0; index++) {
      this.#unparkEnd(index, sinceMs, mayPark);
    }
  }

  /** The same of one end. */
  #unparkEnd(index: number, sinceMs: number, mayPark: boolean): void {
    const batch = this.#parkedBatch;
    this.#parking.takeInto(batch, index, sinceMs);
    if (batch.count === 0) return;
    this.#parkedInHand = index;
    batch.hold(index);
    const forwarder = this.#forwarder!;
    this.#beginForwarding(forwarder, this.#context.now(), mayPark);
    this.#processParked(index, this.#context.ends[index]!, forwarder);
    this.#endForwarding(forwarder);
    if (mayPark) this.#parking.keepOn(batch, index);
    this.#parkedInHand = -1;
    batch.letGo();
  }

  /**
   * Lets go of sockets that are to be closed, and takes those over that were opened. Not within a turn, which has
   * packets of one in hand.
   */
  #noteEnds(): void {
    const { control, endSource, tenure, worker } = this.#context;
    if (tenure.isDue) {
      if (tenure.holds) this.#release();
      else if (tenure.take()) return this.#take();
    }
    this.#endsDue = !tenure.holds; // whoever gives them up only wakes this thread
    if (!tenure.holds) return;
    const version = control.version(TABLE.ends);
    for (const index of endSource.leaving(version)) this.#leave(index);
    this.#follow(version);
    control.setSeen(worker, TABLE.ends, version);
  }

  /** Takes the sockets of a version over. */
  #follow(version: number): void {
    const { ends, endSource } = this.#context;
    endSource.follow(version);
    this.#openAccounts();
    this.#egress?.follow();
    if (ends.some(({ zeroCopy }) => zeroCopy)) this.#idle.looksUp = true;
    this.#endsVersion = version;
  }

  /** Notes how what was taken from ends and what was counted of it differ, of those that are new. */
  #openAccounts(): void {
    const { counters, ends, tenure } = this.#context;
    this.#accounts.forEach((account, index) => {
      const end = ends[index]!;
      if (account.end === end) return;
      account.end = end;
      account.ahead = (end.taken - counters.receivedFrom(index)) | 0;
      if (tenure.holds) counters.values[counters.aheadAt(index)] = account.ahead;
    });
  }

  /**
   * After a failure: gives all that is in hand back, and the ends up, so that another thread may go on. Packets whose
   * fate was not counted are lost, and counted.
   *
   * @returns How many these are.
   */
  abandon(): number {
    if (!this.#context.tenure.holds) return 0;
    const lost = this.#giveAllUp(this.#accounts.map(({ ahead }) => ahead));
    this.#egress?.submit();
    this.#release();
    return lost;
  }

  /**
   * Gives back what another thread of this worker has left in its hands, which never goes on.
   *
   * @param isThere Whether the socket at a place is the one of before.
   */
  #resume(isThere: (place: number) => boolean): void {
    const { counters, ends } = this.#context;
    this.#inHand = this.#batch.resume();
    this.#parkedInHand = this.#parkedBatch.resume();
    this.#parking.resume();
    for (const [place, batch] of [[this.#inHand, this.#batch], [this.#parkedInHand, this.#parkedBatch]] as const) {
      if (place < 0) continue;
      if (!isThere(place)) batch.count = 0;
      const { exchange } = ends[place]!;
      for (let at = 0; at < batch.count; at++) {
        if (exchange.hasReturned(batch.addr[at]!)) batch.disposal[at] = DISPOSAL.gone;
      }
    }
    const aheadOf = ends.map((_, place) => isThere(place) ? counters.values[counters.aheadAt(place)]! : undefined);
    this.#context.onResumed(this.#giveAllUp(aheadOf));
  }

  /**
   * @param aheadOf By place: what was taken from the end before it was this worker's, less what was counted; undefined
   * where nothing of it can be given back.
   */
  #giveAllUp(aheadOf: readonly (number | undefined)[]): number {
    const { counters, ends } = this.#context;
    let lost = 0;
    for (const [index, ahead] of aheadOf.entries()) {
      if (ahead === undefined) continue;
      const uncounted = (ends[index]!.taken - counters.receivedFrom(index) - ahead) | 0;
      lost += this.#giveUp(index, uncounted - this.#parking.countOf(index));
    }
    for (const [index, ahead] of aheadOf.entries()) lost += this.#giveUpParked(index, ahead !== undefined);
    this.#inHand = this.#parkedInHand = -1;
    this.#batch.letGo();
    this.#parkedBatch.letGo();
    return lost;
  }

  /** Drops what is in hand of an end. @param uncounted Packets in hand that have no fate yet. */
  #giveUp(index: number, uncounted: number): number {
    const { counters: { values }, ends } = this.#context;
    const receivedAt = this.#receivedAt[index]!;
    const end = ends[index]!;
    let lost = 0;
    let left = Math.max(0, uncounted);
    const hands = [[this.#parkedInHand, this.#parkedBatch], [this.#inHand, this.#batch]] as const;
    for (const [place, batch] of hands) {
      if (place !== index) continue;
      const count = Math.min(left, batch.count);
      const first = batch.count - count;
      countFailed(batch, first, values, receivedAt);
      // What was decided and counted is sent.
      let transmitted = 0;
      for (let at = 0; at < batch.count; at++) {
        if (batch.disposal[at] === DISPOSAL.gone) continue;
        if (at < first && batch.disposal[at] === DISPOSAL.transmit) transmitted++;
        else batch.disposal[at] = DISPOSAL.recycle;
      }
      end.dispose(batch, transmitted);
      left -= count;
      lost += count;
    }
    return lost;
  }

  /** The same of packets that wait. @param hasChunks False where their socket is there no more. */
  #giveUpParked(index: number, hasChunks: boolean): number {
    const { counters: { values }, ends } = this.#context;
    const waiting = this.#parkedBatch;
    this.#parking.takeInto(waiting, index, Infinity);
    if (!hasChunks) return 0;
    countFailed(waiting, 0, values, this.#receivedAt[index]!);
    waiting.disposal.fill(DISPOSAL.recycle);
    ends[index]!.dispose(waiting, 0);
    return waiting.count;
  }

  /**
   * Gives all ends up to the worker of another process. What is in the rx rings is for that one, unless it has rings of
   * its own; what is in hand here is sent or given back.
   */
  #release(): void {
    const { ends, endSource, tenure } = this.#context;
    if (tenure.isLast) this.#finish();
    if (this.#parking.count > 0) this.#unpark(Infinity, false);
    for (let index = 0; index < ends.length; index++) {
      const end = ends[index]!;
      end.flushTx();
      while (!end.exchange.letGo()); // whoever has the lock has it for some microseconds
    }
    endSource.letGo();
    this.#egress?.follow();
    this.#context.hand.isHeld = false;
    tenure.release();
  }

  /** Does what can be done ahead: from when the ends are given up until they are taken, nobody looks at packets. */
  #prepare(): void {
    const { control, endSource } = this.#context;
    endSource.prepare(control.version(TABLE.ends));
    this.#forwarder?.prepareSessions();
  }

  /** Finishes all that is in the rings, of sockets that nobody looks at any more. */
  #finish(): void {
    const { ends, waiter } = this.#context;
    for (let index = 0; index < ends.length; index++) this.#leave(index);
    for (let turns = 0; turns < DRAIN_TURNS_MAX && ends.some(({ unsent }) => unsent); turns++) {
      waiter.wait(SHORT_SLEEP_MS);
      for (const end of ends) end.flushTx();
    }
  }

  /** Goes on with ends that the worker of another process has given up. */
  #take(): void {
    const { control, ends, hand, tenure, worker } = this.#context;
    const version = control.version(TABLE.ends);
    const resumes = hand.isHeld;
    const opened = hand.ends.map(({ opened }) => opened);
    this.#context.endSource.follow(version, resumes);
    if (resumes) this.#resume((index) => ends[index]!.isOpen && hand.ends[index]!.opened === opened[index]);
    this.#countLost();
    this.#follow(version);
    hand.isHeld = true;
    for (const end of ends) end.unsent = end.isOpen; // it may have left some in the tx ring
    this.#takeSessions();
    this.#endsDue = false;
    this.#hasHeld = true;
    tenure.taken();
    control.setSeen(worker, TABLE.ends, version);
  }

  /** Counts what a worker had in hand whose process was killed. */
  #countLost(): void {
    const { counters, ends } = this.#context;
    ends.forEach((end, index) => {
      const lost = (end.taken - counters.receivedFrom(index) - counters.values[counters.aheadAt(index)]!) | 0;
      // Never more than a worker has room for: an end that was opened anew meanwhile begins at 0.
      if (lost > 0 && lost <= IN_HAND_MAX) countLost(lost, counters.values, this.#receivedAt[index]!);
    });
  }

  /** Finishes what came by an end. Nothing new will come. */
  #leave(index: number): void {
    for (let turns = 0; turns < LEAVE_TURNS_MAX && this.#turn(index) > 0; turns++);
    this.#unparkEnd(index, Infinity, false);
    this.#context.ends[index]!.flushTx();
  }

  #processParked(index: number, end: QueueEnd, forwarder: Forwarder): void {
    const { counters: { values }, interfaceOfEnd } = this.#context;
    const batch = this.#parkedBatch;
    const txRoom = end.txRoom(batch.count);
    const receivedAt = this.#receivedAt[index]!;
    const from = interfaceOfEnd[index]!;
    end.dispose(batch, processParked(end.umem, batch, values, receivedAt, txRoom, forwarder, from));
  }

  /** Ends sessions also while no packets come, or none that are forwarded. */
  #expire(): void {
    const { counters: { values }, now } = this.#context;
    const sessions = this.#forwarder?.sessions;
    if (sessions !== undefined && this.#expiry.look(sessions, now())) values[SESSIONS_AT] = sessions.live;
  }

  /** Goes on with the sessions that the worker of another process has left. */
  #takeSessions(): void {
    const { counters: { values } } = this.#context;
    const refused = [REFUSED_ROWS_AT, REFUSED_PORTS_AT, REFUSED_BACKENDS_AT].map((at) => values[at]!);
    this.#forwarder?.takeSessions({ evicted: values[EVICTIONS_AT]!, refused });
  }

  /** Takes the forward table in force. The first one brings the memory for sessions with it. */
  #noteForwarding(version: number): void {
    const { control, forwardTables, interfaceOfEnd, ends, sessions, viewMemory, worker } = this.#context;
    const table = forwardTables[version & 1]!;
    if (this.#forwarder === undefined) {
      this.#egress = new CopyingEgress(ends, interfaceOfEnd, worker);
      this.#forwarder = new Forwarder(table, this.#egress, { ...sessions, worker }, viewMemory);
      this.#idle.looksUp = true;
      if (this.#context.tenure.holds) this.#takeSessions();
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
    const { control, heapUsed, ends, tables, tenure, worker } = this.#context;
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
    this.#endsDue = control.version(TABLE.ends) !== this.#endsVersion || !tenure.holds || tenure.isDue;
    const asked = control.passAsked;
    if (asked !== this.#passMark.asked) this.#passMark.note(asked, ends);
    if (control.heapAsked(worker)) control.answerHeap(worker, heapUsed() >> 10);
  }
}
