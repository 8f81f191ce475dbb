/**
 * A worker thread: rebuilds its views from what the control thread posts, then runs the loop until told to stop.
 *
 * @module
 */
import { messageOf } from "../errors.ts";
import { monotonicMicroseconds, pinThread, prepareCalls, threadId, wake } from "../ffi/libc.ts";
import { type MemoryAddress, viewMemory } from "../ffi/memory.ts";
import { Clock } from "../ffi/clock.ts";
import { PollSet } from "../ffi/poll_set.ts";
import { setNiceness } from "../ffi/process.ts";
import { viewForwardTables } from "../steering/forward_table.ts";
import { viewWorkerTables } from "../steering/worker_table.ts";
import { type CaptureMemory, CaptureTap } from "./capture_tap.ts";
import type { ForwarderOptions } from "./forward.ts";
import type { WaitMode } from "./idle.ts";
import { Hand } from "./hand.ts";
import { Loop } from "./loop.ts";
import { type EndPlace, viewEndTables } from "./end_table.ts";
import { Ends } from "./ends.ts";
import { ControlWords, WORKER_STATE } from "./control_words.ts";
import { WorkerCounters } from "./counters.ts";
import { Ownership, Tenure } from "./ownership.ts";

const LOOKS = 5;

/** What a worker is started with; can be posted. */
export interface WorkerOptions {
  readonly worker: number;
  /** Its queue ends: queues in order, interface after interface. */
  readonly places: readonly EndPlace[];
  /** Where their sockets are, from createEndTables(). */
  readonly endTables: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
  readonly tables: SharedArrayBuffer;
  readonly forwardTables: SharedArrayBuffer;
  readonly sessions: Omit<ForwarderOptions, "backendCounts" | "halves" | "liveElsewhere" | "liveOfBackend" | "rows">;
  /** Of the sessions, which outlive this process. */
  readonly sessionMemory: Readonly<Record<"backendCounts" | "liveOfBackend" | "rows", MemoryAddress>>;
  /** By worker: the rows of its sessions, and where their other halves are. */
  readonly halves: readonly Readonly<Record<"rows" | "twins", MemoryAddress>>[];
  /** Sessions of the other workers with each backend. */
  readonly liveElsewhere: readonly MemoryAddress[];
  readonly counters: MemoryAddress;
  /** Whose the queue ends are, and the number of this process there. */
  readonly ownership: MemoryAddress;
  readonly process: number;
  /** What it has in hand: of handBytes(). */
  readonly hand: SharedArrayBuffer;
  readonly ruleSlots: number;
  readonly capture: CaptureMemory;
  /** From openWakeFd(): the control thread ends a sleep by it. */
  readonly wakeFd: number;
  /** A word that the kernel looks at; see bpf/deadman.bpf.c. */
  readonly heartbeat: MemoryAddress;
  readonly wait: WaitMode;
  /** Which it has once its ends are its own; undefined: the one that it was started with. */
  readonly niceness?: number;
  /** CPU to pin the thread to. */
  readonly cpu?: number;
}

/** How a worker's thread and the control thread talk: node:worker_threads has it, with a heap of bounded size. */
export interface WorkerPort {
  once(event: "message", listener: (order: WorkerOptions) => void): unknown;
  postMessage(message: WorkerFailure | WorkerResumed): void;
}

/** What a worker posts when it cannot go on. */
export interface WorkerFailure {
  readonly message: string;
  /** Where another thread may go on: packets that were lost. */
  readonly lost?: number;
}

/** What a worker posts when it goes on where another thread has not: packets that were lost. */
export interface WorkerResumed {
  readonly resumed: number;
}

/**
 * The time of CLOCK_MONOTONIC at which performance.now() was 0. A thread may lose its CPU between the two looks: then
 * the difference is too small, and so the largest of several is right.
 */
function monotonicStartMs(): number {
  const differences = Array.from({ length: LOOKS }, () => Number(monotonicMicroseconds()) / 1000 - performance.now());
  return Math.max(...differences);
}

/** Takes the thread over: the first message starts the loop, which ends only at a command in the control words. */
export function serveAsWorker(port: WorkerPort): void {
  // All that the loop calls, while the control thread opens the sockets.
  prepareCalls("setpriority", "gettid", "mmap", "poll", "eventfd_read", "clock_gettime", "sendto", "timerfd_settime");
  port.once("message", (data: WorkerOptions) => {
    const control = new ControlWords(data.control);
    try {
      if (data.cpu !== undefined) pinThread(data.cpu);
      const { places } = data;
      const pollSet = new PollSet(data.wakeFd, places.length);
      const hand = new Hand(places.map(({ chunks }) => chunks), data.hand);
      const ends = new Ends(viewEndTables(data.endTables, places.length), places, data.worker, pollSet, hand.ends);
      // Of one clock for all processes: sessions and what is told of a handover go from one to the next.
      const startMs = monotonicStartMs();
      const now = (): number => startMs + performance.now();
      const wakePeer = (): void => {
        const peer = control.peer(data.worker);
        if (peer >= 0) wake(peer);
      };
      const { niceness, worker, process } = data;
      const begin = (): void => {
        if (niceness !== undefined) setNiceness(niceness);
      };
      const tenure = new Tenure(new Ownership(viewMemory(data.ownership)), worker, process, now, wakePeer, begin);
      control.setThread(data.worker, threadId());
      control.setState(data.worker, WORKER_STATE.running);
      const loop = new Loop({
        worker: data.worker,
        ends: ends.list,
        endSource: ends,
        tables: viewWorkerTables(data.tables),
        forwardTables: viewForwardTables(data.forwardTables, data.ruleSlots),
        sessions: {
          ...data.sessions,
          rows: viewMemory(data.sessionMemory.rows),
          liveOfBackend: viewMemory(data.sessionMemory.liveOfBackend),
          backendCounts: viewMemory(data.sessionMemory.backendCounts),
          liveElsewhere: data.liveElsewhere.map(viewMemory),
          halves: {
            worker,
            tables: data.halves.map(({ rows, twins }) => ({
              rows: new Int32Array(viewMemory(rows)),
              twins: new Int32Array(viewMemory(twins)),
            })),
          },
        },
        viewMemory,
        interfaceOfEnd: places.map(({ networkInterface }) => networkInterface),
        control,
        counters: new WorkerCounters(viewMemory(data.counters), data.ruleSlots),
        hand,
        onResumed: (resumed) => port.postMessage({ resumed } satisfies WorkerResumed),
        tenure,
        heartbeat: new Int32Array(viewMemory(data.heartbeat)),
        openTap: () => new CaptureTap(data.capture, new Clock()),
        waiter: pollSet,
        now,
        wait: data.wait,
        heapUsed: () => Deno.memoryUsage().heapUsed,
      });
      try {
        loop.run();
        control.setState(data.worker, WORKER_STATE.stopped);
      } catch (error) {
        const lost = loop.abandon();
        control.setState(data.worker, WORKER_STATE.failed);
        port.postMessage({ message: messageOf(error), lost } satisfies WorkerFailure);
      }
    } catch (error) {
      control.setState(data.worker, WORKER_STATE.failed);
      port.postMessage({ message: messageOf(error) } satisfies WorkerFailure);
    }
  });
}
