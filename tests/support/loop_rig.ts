/**
 * A worker's loop over plain memory, a turn at a time: the test is the kernel, the control thread and the clock.
 *
 * @module
 */
import assert from "node:assert/strict";
import { ControlWords, TABLE } from "../../src/dataplane/control_words.ts";
import { answerRow, WorkerCounters } from "../../src/dataplane/counters.ts";
import { closedEnd } from "../../src/dataplane/ends.ts";
import type { WaitMode } from "../../src/dataplane/idle.ts";
import { Hand } from "../../src/dataplane/hand.ts";
import { Loop, type LoopContext, type Tap } from "../../src/dataplane/loop.ts";
import type { QueueEnd } from "../../src/dataplane/queue_end.ts";
import type { Action, ActionKind } from "../../src/steering/action.ts";
import { compileWorkerTable } from "../../src/steering/compile.ts";
import { createForwardTables, type ForwardTable, viewForwardTables } from "../../src/steering/forward_table.ts";
import type { Rule } from "../../src/steering/rule.ts";
import { NO_RULE } from "../../src/steering/slots.ts";
import {
  copyWorkerTable,
  createWorkerTables,
  viewWorkerTables,
  type WorkerTable,
} from "../../src/steering/worker_table.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import { FakeQueue } from "./fake_queue.ts";
import { packetsByFate } from "./fates.ts";

export const RULE_SLOTS = 16;

export const CLIENT = { mac: "02:00:00:00:00:01", address: "10.1.2.3" };
export const BOX = { mac: "02:00:00:00:00:02", address: "10.1.2.4" };

/** A rule with one port. Of its action a worker needs to know the kind only. */
export function portRule(name: string, port: number, kind: ActionKind): Rule {
  return {
    name,
    ports: [{ first: port, last: port }],
    worker: 0,
    action: { kind } as Action,
    addresses: "own",
    fragments: "drop",
  };
}

/** What most tests have in force, and their slots. */
export const RULES = [
  portRule("count", 8080, "count"),
  portRule("echo", 7777, "echo"),
  portRule("forward", 53, "forward"),
];
export const [COUNT, ECHO, FORWARD] = [1, 2, 3] as const;

/** A client's packet; its source port and its payload tell it from others. */
export function packetTo(port: number, index = 0): Uint8Array {
  return buildFrame({
    source: { ...CLIENT, port: 40_000 + index },
    destination: { ...BOX, port },
    payload: Uint8Array.of(index >> 8, index & 0xff, ...new Array(20)),
  }).bytes;
}

export function packetsTo(port: number, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => packetTo(port, index));
}

/** Which packet of {@linkcode packetTo} a frame is. */
export function indexOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint16(42);
}

/** Sees that no chunk is lost or there twice. Nothing works after it. */
export function assertAllChunks(queue: FakeQueue): void {
  assert.deepEqual(queue.takeAllChunks(), Array.from({ length: queue.chunks }, (_, chunk) => chunk));
}

/** Time that passes between two looks at the clock. A power of two, so that sums are exact. */
const LOOK_MS = 2 ** -10;

export interface LoopRigOptions {
  /** One per queue end; the same for all workers. */
  readonly queues?: readonly FakeQueue[];
  /** Number of each queue's interface. */
  readonly interfaces?: readonly number[];
  readonly worker?: number;
  readonly workers?: number;
  readonly wait?: WaitMode;
  readonly openTap?: () => Tap;
  /** How large sessions and what belongs to them are. */
  readonly sessions?: Partial<LoopContext["sessions"]>;
  /** Of another worker of the same queues. */
  readonly control?: ControlWords;
  /** Whether the ends are the worker's only once it has taken them. Default: they are from the start. */
  readonly takes?: boolean;
  /** Another thread of the same worker. */
  readonly before?: LoopRig;
}

export class LoopRig {
  readonly queues: readonly FakeQueue[];
  readonly worker: number;
  readonly control: ControlWords;
  readonly counters: WorkerCounters;
  readonly heartbeat = new Int32Array(1);
  readonly tables: readonly WorkerTable[];
  readonly forwardTables: readonly ForwardTable[];
  readonly loop: Loop;
  readonly hand: Hand;
  /** Packets that were lost with a thread before. */
  readonly resumed: number[] = [];
  nowMs = 0;
  /** Timeouts of all sleeps so far, milliseconds. */
  readonly sleeps: number[] = [];
  /** What happens while the worker sleeps. */
  whileAsleep: () => void = () => {};
  /** By place: what is told of and not taken over yet. */
  readonly #changedEnds = new Map<number, QueueEnd>();
  readonly #elapsed = new Float64Array(1);
  readonly #options: LoopRigOptions;
  #markMs = 0;

  constructor(options: LoopRigOptions = {}) {
    const { queues = [new FakeQueue()], interfaces = queues.map(() => 0), worker = 0, workers = 1 } = options;
    this.queues = queues;
    this.worker = worker;
    const { before, takes = false } = options;
    this.control = before?.control ?? options.control ?? ControlWords.create(workers);
    this.counters = before?.counters ?? WorkerCounters.create(RULE_SLOTS, queues.length);
    this.tables = before?.tables ?? viewWorkerTables(createWorkerTables(RULE_SLOTS));
    this.forwardTables = before?.forwardTables ?? viewForwardTables(createForwardTables(RULE_SLOTS), RULE_SLOTS);
    this.#options = options;
    const chunks = queues.map(({ chunks }) => chunks);
    this.hand = new Hand(chunks, before?.hand.memory);
    const tenure = {
      holds: !takes,
      isDue: takes,
      isLast: false,
      release: () => void (tenure.holds = false),
      taken: () => {},
    };
    let hasOpened = false;
    const take = (): boolean => {
      tenure.isDue = false;
      return tenure.holds = true;
    };
    const ends = queues.map(({ sockets }) => sockets[worker]!.port);
    this.loop = new Loop({
      worker,
      ends,
      endSource: {
        letGo: () => {},
        prepare: () => {},
        leaving: () => [...this.#changedEnds.keys()],
        follow: (_, resumes = false) => {
          if (takes && !hasOpened) {
            hasOpened = true;
            queues.forEach((queue, place) => ends[place] = queue.reopen(worker, this.hand.ends[place]!, resumes));
          }
          for (const [place, end] of this.#changedEnds) ends[place] = end;
          this.#changedEnds.clear();
        },
      },
      tables: this.tables,
      forwardTables: this.forwardTables,
      sessions: {
        ...{ capacity: 256, firstPort: 20_000, portCount: 1000, key: { low: 7, high: 8 }, ruleSlots: RULE_SLOTS },
        ...options.sessions,
      },
      viewMemory: () => {
        throw new Error("no client keeps its address");
      },
      interfaceOfEnd: interfaces,
      control: this.control,
      hand: this.hand,
      onResumed: (lost) => this.resumed.push(lost),
      tenure: Object.assign(tenure, { take }),
      counters: this.counters,
      heartbeat: this.heartbeat,
      openTap: options.openTap ?? (() => {
        throw new Error("nothing is captured");
      }),
      waiter: this.#waiter(),
      now: () => this.nowMs += LOOK_MS,
      wait: options.wait ?? "poll",
      heapUsed: () => 5 << 20,
    });
  }

  /** Another thread of the same worker, where this one is not heard of any more. */
  succeed(): LoopRig {
    return new LoopRig({ ...this.#options, takes: true, before: this });
  }

  /** The control thread tells of a queue that was opened in the place of another. Undefined: it is to be closed. */
  setQueue(place: number, queue: FakeQueue | undefined): void {
    this.#changedEnds.set(place, queue === undefined ? closedEnd() : queue.sockets[this.worker]!.port);
    this.control.publish(TABLE.ends, this.control.version(TABLE.ends) + 1);
  }

  /** Puts rules in force as the control thread does: into the idle worker table, which is then the one in force. */
  setRules(rules: readonly Rule[]): void {
    const slots = rules.map((_, index) => index + 1);
    this.#publishRules((idle, current) => compileWorkerTable(idle, current, rules, slots, new Set()));
  }

  /**
   * Tells this worker that all its packets are of one rule, which only counts them. @param slot NO_RULE: they are not.
   */
  setSoleRule(slot: number): void {
    this.#publishRules((idle, current) => {
      copyWorkerTable(current, idle);
      idle.soleOfWorker.fill(NO_RULE);
      idle.soleOfWorker[this.worker] = slot;
    });
  }

  #publishRules(write: (idle: WorkerTable, current: WorkerTable) => void): void {
    const version = this.control.version(TABLE.rules);
    write(this.tables[(version + 1) & 1]!, this.tables[version & 1]!);
    this.control.publish(TABLE.rules, version + 1);
  }

  /** The kernel receives frames on a queue. */
  deliver(frames: readonly Uint8Array[], queue = 0): void {
    for (const frame of frames) {
      if (!this.queues[queue]!.deliver(frame, this.worker)) throw new Error("a frame found no room in the fake queue");
    }
  }

  step(turns = 1): void {
    for (let turn = 0; turn < turns; turn++) {
      if (!this.loop.step()) throw new Error(`the loop ended in turn ${turn} of ${turns}`);
    }
  }

  /** Turns until the loop ends. @returns How many there were. */
  stepToEnd(limit: number): number {
    for (let turn = 1; turn <= limit; turn++) {
      if (!this.loop.step()) return turn;
    }
    throw new Error(`the loop did not end within ${limit} turns`);
  }

  /** Packets by fate; fates without packets are left out. @param slot The rule's; default: all. */
  fates(slot?: number): Record<string, number> {
    return packetsByFate(this.counters, slot === undefined ? [...Array(RULE_SLOTS).keys()] : [slot]);
  }

  /** Packets received by queue end, all rules together. */
  received(): number[] {
    return this.queues.map((_, port) => {
      let sum = 0;
      for (let slot = 0; slot < RULE_SLOTS; slot++) {
        sum += this.counters.received(port, slot) + this.counters.received(port, answerRow(slot, RULE_SLOTS));
      }
      return sum;
    });
  }

  #waiter(): LoopContext["waiter"] {
    return {
      wait: (timeoutMs) => {
        this.sleeps.push(timeoutMs);
        this.nowMs += timeoutMs < 0 ? 1000 : timeoutMs;
        this.whileAsleep();
      },
      mark: () => void (this.#markMs = this.nowMs += LOOK_MS),
      readElapsed: () => {
        this.nowMs += LOOK_MS;
        this.#elapsed[0] = this.nowMs - this.#markMs;
        this.#markMs = this.nowMs;
      },
      elapsed: this.#elapsed,
    };
  }
}

/** What a worker fails with that is told to. */
export const TOLD_TO_FAIL = new Error("told to fail");

/** A worker that fails in the middle of the batch that it is told, counted from then on. */
export function failingRig(
  queues: readonly FakeQueue[],
  options: Pick<LoopRigOptions, "takes"> = {},
): { readonly rig: LoopRig; readonly failAt: (batch: number) => void } {
  let [batches, failing] = [0, Infinity];
  const tap = {
    note: () => true,
    tap: () => {
      if (++batches === failing) throw TOLD_TO_FAIL;
    },
  };
  const interfaces = queues.map((_, index) => index);
  const rig = new LoopRig({ queues, interfaces, openTap: () => tap, ...options });
  rig.setRules(RULES);
  rig.control.publish(TABLE.capture, 1);
  return { rig, failAt: (batch) => failing = batches + batch };
}
