/**
 * The worker threads: started, watched, told what to do through shared words, and joined.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import { createCaptureRing } from "../dataplane/capture_ring.ts";
import { createCapturePlans } from "../dataplane/capture_tap.ts";
import type { WaitMode } from "../dataplane/idle.ts";
import type { EndPlace } from "../dataplane/end_table.ts";
import { handBytes } from "../dataplane/hand.ts";
import type { WorkerFailure, WorkerOptions, WorkerResumed } from "../dataplane/worker.ts";
import { COMMAND, ControlWords, type Table, WORKER_STATE } from "../dataplane/control_words.ts";
import { countersBytes, countersShape, type LoopCounter, WorkerCounters } from "../dataplane/counters.ts";
import { NOBODY, Ownership, OWNERSHIP_SHAPE, ownershipBytes } from "../dataplane/ownership.ts";
import { type MemoryAddress, viewPosted } from "../ffi/memory.ts";
import { SharedMemory, type SharedMemoryOptions } from "../ffi/shared_memory.ts";
import { messageOf, SteerError } from "../errors.ts";
import { logger } from "../log.ts";
import type { Readers } from "../steering/published.ts";
import { type BackendCounts, readBackendCounts } from "../steering/backend_counts.ts";
import type { Homes } from "../steering/rehome.ts";
import { pause } from "../ffi/async_poll.ts";
import { threadCpuMs } from "../ffi/clock.ts";
import { closeFd, keepThreadOff, monotonicMicroseconds, openWakeFd, wake } from "../ffi/libc.ts";
import { stopThread } from "../ffi/thread_stop.ts";
import { standsStill, stateOf, waitedForCpuMs, whyNotRunning } from "../host/threads.ts";
import { secondsText } from "../text.ts";
import { unlockQueue } from "../xsk/chunks.ts";
import { type FormerShape, type Given, Inheritance } from "./inheritance.ts";
import { WorkerProgress } from "./progress.ts";
import { eachPart, sessionMemory, type SessionPart } from "./session_memory.ts";

export interface WorkerPoolOptions {
  readonly count: number;
  readonly cpus: readonly number[];
  readonly wait: WaitMode;
  /** The module of the process, main.ts or its bundle; the worker's is beside it. */
  readonly entry: URL;
  /** Of another process, whose workers these take over from. */
  readonly handed?: HandedWorkers | undefined;
  /** True where that process has certainly ended. */
  readonly inherited?: boolean;
  /** Where these are others than those: how those are. They begin when all of those have given up. */
  readonly former?: FormerShape | undefined;
  /** Of workers that take over from those. */
  readonly niceness?: number;
}

/** What a process gives to the one that takes over from it, of its workers: descriptors, by worker. */
export interface HandedWorkers {
  /** Number of the process that gives. */
  readonly process: number;
  readonly ownership: number;
  readonly counters: readonly number[];
  readonly sessions: readonly Readonly<Record<SessionPart, number>>[];
  /** What its workers sleep on: they may get their ends back. */
  readonly wakeFds: readonly number[];
}

/** What the workers are to work on, known once the sockets are open. */
export interface WorkerTask {
  readonly ruleSlots: number;
  /** From createWorkerTables(). */
  readonly tables: SharedArrayBuffer;
  /** From createForwardTables(). */
  readonly forwardTables: SharedArrayBuffer;
  readonly sessions: (worker: number) => WorkerOptions["sessions"];
  /** The workers' queue ends: queues in order, interface after interface. */
  readonly places: readonly EndPlace[];
  /** Where their sockets are, from createEndTables(). */
  readonly endTables: SharedArrayBuffer;
  /** Where a worker says that its loop turns. */
  readonly heartbeat: (worker: number) => MemoryAddress;
}

/** New forwarding sessions that were refused, by what they ran out of. */
export interface RefusedSessions {
  readonly rows: number;
  readonly ports: number;
  readonly backends: number;
}

/** The workers as those who read what is published, for what has nothing else to do with them. */
export interface ReadingWorkers {
  readonly count: number;
  /** Who reads a table. */
  readers(table: Table): Readers;
  /** Resolves when the workers have decided on every packet that they have now, the parked ones too. */
  passed(): Promise<void>;
  /** Forwarding sessions there are. */
  readonly sessions: number;
  /** New forwarding sessions that were refused so far, by what they ran out of. */
  readonly refused: RefusedSessions;
  /** Forwarding sessions there are with the backend in a row of the forward table. */
  sessionsWith(row: number): number;
  /** What was counted so far of the backends in a row of the forward table, one after another. */
  countsOf(row: number): BackendCounts;
}

const START_MS = 5000;
const DRAIN_MS = 1000;
const STOP_MS = 500;
const ACKNOWLEDGE_MS = 2000;
/** Longer than a packet is parked. */
const PASS_MS = 6000;
const STEP_MS = 1;
/** More than any worker needs: tables, rings and sessions are not on its heap. */
const HEAP_MAX_MB = 512;
/** So many failures of workers in this time end the process. */
const FAILURES_MAX = 3;
const FAILURES_MS = 60_000;

const log = logger("workers");

const REPORT_HINT = "its sessions stay, and others were not touched; a worker must not fail: please report it";

const STATE_NAMES = ["starting", "running", "stopped", "failed"] as const;

export class WorkerPool implements ReadingWorkers {
  readonly count: number;
  readonly control: ControlWords;
  readonly cpus: readonly number[];
  /** By worker; empty before {@linkcode begin}. */
  readonly counters: WorkerCounters[] = [];
  /** What is captured, and each worker's ring of captured packets. Costs no memory before the first one. */
  capture: { readonly plans: SharedArrayBuffer; readonly rings: readonly SharedArrayBuffer[] } | undefined;
  /** Rejects when a worker ends that was not told to, or does not run for long. */
  readonly failure: Promise<never>;
  /** Whose the queue ends are. */
  readonly ownership: Ownership;
  /** Number of this process there. */
  readonly process: number;
  /** By worker: how often another thread had to go on. */
  readonly replacements: number[] = [];
  readonly #entry: URL;
  /** By worker: what its thread is started with. */
  readonly #orders: WorkerOptions[] = [];
  /** When workers have failed lately. */
  #failedMs: readonly number[] = [];
  /** Called when something has been put in force that workers read. */
  onPublish: () => void = () => {};
  readonly #fail: (error: unknown) => void;
  /** Whose memory is gone on with. */
  readonly #handed: HandedWorkers | undefined;
  /** True where another process has the ends at first. */
  readonly #isHanded: boolean;
  /** What is copied instead, where workers are others than before. */
  readonly #inheritance: Inheritance | undefined;
  readonly #niceness: number;
  /** Queue ends of each worker. */
  #ends = 0;
  readonly #ownershipMemory: SharedMemory;
  readonly #countersMemory: SharedMemory[] = [];
  #sessionMemory: readonly Readonly<Record<SessionPart, SharedMemory>>[] = [];
  readonly #wait: WaitMode;
  readonly #threads: Worker[] = [];
  readonly #wakeFds: number[] = [];
  /** By worker: its sessions with each backend, by row. */
  readonly #liveOfBackend: Int32Array[] = [];
  /** By worker: what it counts of backends. */
  readonly #backendCounts: Float64Array[] = [];
  readonly #startedMs = performance.now();
  #running: Promise<void> = Promise.resolve();
  /** By worker: what was spun in the process before. */
  readonly #spunBeforeMs: number[] = [];
  /** By worker, as last told: this may never go down. */
  readonly #idleMs: number[] = [];
  #progress: WorkerProgress | undefined;
  /** Workers whose threads are being stopped. */
  readonly #stopping = new Set<number>();
  /** By worker: since when the one before the last replacement did not turn. */
  readonly #hungMs: number[] = [];
  #ended = false;

  /** Starts the threads, which load their code while the control thread goes on; {@linkcode begin} gives them work. */
  constructor(options: WorkerPoolOptions) {
    this.count = options.count;
    this.cpus = options.cpus;
    this.#wait = options.wait;
    this.control = ControlWords.create(options.count);
    const { former } = options;
    const handed = former === undefined ? options.handed : undefined;
    this.#handed = handed;
    this.#isHanded = options.handed !== undefined;
    this.#inheritance = former === undefined ? undefined : new Inheritance(options.handed!, former);
    this.#niceness = options.niceness ?? 0;
    this.process = (options.handed?.process ?? 0) + 1;
    this.#ownershipMemory = memoryOf(handed?.ownership, {
      name: "xdpsteer owners",
      shape: OWNERSHIP_SHAPE,
      bytes: ownershipBytes(options.count),
    });
    this.ownership = new Ownership(this.#ownershipMemory.view());
    if (options.handed !== undefined && options.inherited === true) {
      // It may have been killed while another one took over from it, which has ended too.
      const { process } = options.handed;
      for (const ended of [process, process + 1]) this.ownership.bury(options.count, ended);
    }
    if (!this.#isHanded) this.#wantAll();
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.#fail = reject;
    this.failure.catch(() => {}); // whoever cares awaits it; nobody else is to crash on it
    this.#entry = new URL(options.entry.pathname.endsWith(".ts") ? "worker.ts" : "worker.js", options.entry);
    for (let worker = 0; worker < options.count; worker++) {
      this.replacements.push(0);
      this.#threads.push(this.#startThread(worker));
    }
  }

  #startThread(worker: number): Worker {
    const thread = new Worker(this.#entry, {
      name: `worker ${worker}`,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MB },
    });
    const fail = (message: string): void => {
      this.control.setState(worker, WORKER_STATE.failed);
      this.#fail(new SteerError(`Worker ${worker} failed: ${message}`));
    };
    thread.on("message", (data: WorkerFailure | WorkerResumed) => {
      if ("resumed" in data) return this.#tellResumed(worker, data.resumed);
      const { message, lost } = data;
      if (lost === undefined || !this.#mayReplace()) return fail(message);
      log.error("Worker {worker} has failed, and is replaced: {reason}; {lost} packets in its hands are lost", {
        ...{ worker, reason: message, lost, hint: REPORT_HINT },
      });
      this.#replace(worker);
    });
    thread.on("error", (error: Error & { readonly code?: string }) => {
      const hasNoHeap = error.code === "ERR_WORKER_OUT_OF_MEMORY" && this.#orders[worker] !== undefined;
      if (!hasNoHeap || !this.#mayReplace()) return fail(messageOf(error));
      log.error("Worker {worker} has used up {megabytes} MiB of heap, and is replaced", {
        ...{ worker, megabytes: HEAP_MAX_MB, hint: REPORT_HINT },
      });
      void this.#replaceEnded(worker);
    });
    return thread;
  }

  /** False where workers have failed so often that a new process is the better try, or none is wanted. */
  #mayReplace(): boolean {
    const now = performance.now();
    this.#failedMs = [...this.#failedMs, now].filter((ms) => now - ms < FAILURES_MS);
    return !this.#ended && this.control.command === COMMAND.run && this.#failedMs.length < FAILURES_MAX;
  }

  /**
   * Replaces a worker whose loop does not turn. Its thread is stopped for good first: it may have anything in hand.
   *
   * @throws nothing; where it cannot be done, it is tried again at the next look.
   */
  async #replaceHanging(worker: number): Promise<void> {
    if (this.#stopping.has(worker)) return;
    this.#stopping.add(worker);
    try {
      const thread = this.control.thread(worker);
      const reason = whyNotRunning(thread);
      const stillMs = this.#progress!.stillMsNow(worker);
      if (!stopThread(thread)) return;
      // A debugger may hold it: it stops when that lets it go.
      while (!standsStill(thread)) {
        if (this.#ended || stateOf(thread) === "") return;
        await pause(STEP_MS);
      }
      if (this.control.command !== COMMAND.run) return;
      if (!this.#mayReplace()) {
        this.control.setState(worker, WORKER_STATE.failed);
        this.#fail(new SteerError(`Worker ${worker} has not turned for ${secondsText(stillMs)}: ${reason}`));
        return;
      }
      log.error("Worker {worker} has not turned for {still}, and is replaced: {reason}", {
        ...{ worker, still: secondsText(stillMs), reason, hint: REPORT_HINT },
      });
      this.#hungMs[worker] = performance.now() - stillMs;
      this.#bury(worker);
      this.#replace(worker);
    } finally {
      this.#stopping.delete(worker);
    }
  }

  /** Replaces a worker whose thread the runtime has ended, once it has certainly done so. */
  async #replaceEnded(worker: number): Promise<void> {
    this.#stopping.add(worker);
    this.#hungMs[worker] = performance.now();
    const thread = this.control.thread(worker);
    while (stateOf(thread) !== "" && !this.#ended) await pause(STEP_MS);
    this.#stopping.delete(worker);
    if (this.#ended) return;
    this.#bury(worker);
    this.#replace(worker);
  }

  /** Takes from a worker what it has, whose thread never goes on. */
  #bury(worker: number): void {
    for (const { state } of this.#orders[worker]!.places) unlockQueue(viewPosted(state), this.process, worker);
    this.ownership.release(worker, Number(monotonicMicroseconds()) / 1000);
  }

  #tellResumed(worker: number, lost: number): void {
    log.info("Worker {worker} goes on after {gap}; {lost} packets in its hands are lost", {
      ...{ worker, lost, gap: secondsText(performance.now() - (this.#hungMs[worker] ?? performance.now())) },
    });
  }

  /** Has another thread go on with all that a worker had, whose own never touches it again. */
  #replace(worker: number): void {
    this.replacements[worker]!++;
    this.control.setState(worker, WORKER_STATE.starting);
    void this.#threads[worker]!.terminate();
    const thread = this.#threads[worker] = this.#startThread(worker);
    thread.postMessage(this.#orders[worker]!);
  }

  /** Gives the workers their sockets. Resolves when every loop runs. */
  begin(task: WorkerTask): Promise<void> {
    return this.#running = this.#begin(task);
  }

  async #begin(
    { ruleSlots, tables, forwardTables, sessions, places, endTables, heartbeat }: WorkerTask,
  ): Promise<void> {
    this.#ends = places.length;
    const plans = createCapturePlans(ruleSlots);
    const rings: SharedArrayBuffer[] = [];
    this.capture = { plans, rings };
    const memoryOfSessions = this.#sessionMemory = this.#threads.map((_, worker) => {
      const handed = this.#handed?.sessions[worker];
      const { capacity } = sessions(worker);
      return eachPart((part) => memoryOf(handed?.[part], sessionMemory(part, capacity)));
    });
    // All of it before the first thread gets anything to do, for it may not fit.
    const memoryOfCounters = this.#threads.map((_, worker) =>
      memoryOf(this.#handed?.counters[worker], {
        name: "xdpsteer counters",
        shape: countersShape(ruleSlots, places.length),
        bytes: countersBytes(ruleSlots, places.length),
      })
    );
    this.#threads.forEach((thread, worker) => {
      const ring = createCaptureRing(places.length);
      rings.push(ring);
      const memory = memoryOfCounters[worker]!;
      this.#countersMemory.push(memory);
      const counters = new WorkerCounters(memory.view(), ruleSlots);
      this.#spunBeforeMs.push(counters.loop("spun_ms"));
      const peer = this.#handed?.wakeFds[worker];
      if (peer !== undefined) this.control.setPeer(worker, peer);
      const mine = memoryOfSessions[worker]!;
      this.#liveOfBackend.push(new Int32Array(mine.liveOfBackend.view()));
      this.#backendCounts.push(new Float64Array(mine.backendCounts.view()));
      const wakeFd = openWakeFd();
      const cpu = this.cpus[worker];
      this.counters.push(counters);
      this.#wakeFds.push(wakeFd);
      const order: WorkerOptions = {
        worker,
        places,
        endTables,
        control: this.control.memory,
        tables,
        forwardTables,
        sessions: sessions(worker),
        sessionMemory: eachPart((part) => mine[part].address),
        halves: memoryOfSessions.map(({ rows, twins }) => ({ rows: rows.address, twins: twins.address })),
        liveElsewhere: memoryOfSessions.filter((memory) => memory !== mine).map((memory) =>
          memory.liveOfBackend.address
        ),
        counters: memory.address,
        ownership: this.#ownershipMemory.address,
        process: this.process,
        hand: new SharedArrayBuffer(handBytes(places.map(({ chunks }) => chunks))),
        ruleSlots,
        capture: { plans, ring, ends: places.length },
        wakeFd,
        heartbeat: heartbeat(worker),
        wait: this.#wait,
        ...(this.#isHanded ? { niceness: this.#niceness } : {}),
        ...(cpu === undefined ? {} : { cpu }),
      };
      this.#orders.push(order);
      thread.postMessage(order);
    });
    const started = this.#until(START_MS, (worker) => this.#isRunning(worker));
    if (!(await Promise.race([started, this.failure]))) {
      throw new SteerError(`The workers did not start within ${START_MS} ms`);
    }
  }

  /**
   * Keeps all other threads of the process, and those they start from now on, off the CPUs of pinned workers, where
   * there are others.
   */
  keepOthersOff(): void {
    if (this.cpus.length === 0) return;
    const mine = new Set(this.#threads.map((_, worker) => this.control.thread(worker)));
    for (const { name } of Deno.readDirSync("/proc/self/task")) {
      if (!mine.has(Number(name))) keepThreadOff(this.cpus, Number(name));
    }
  }

  /** Watches from now on whether the loops turn. */
  watch(): void {
    this.#progress = new WorkerProgress({
      count: this.count,
      turns: (worker) => this.counters[worker]!.loop("turns"),
      wake: (worker) => wake(this.#wakeFds[worker]!),
      isExpected: (worker) =>
        this.#isRunning(worker) && this.ownership.owner(worker) === this.process && this.ownership.hasBegun(worker),
      cpuMs: (worker) => threadCpuMs(this.control.thread(worker)) ?? 0,
      waits: (worker) => stateOf(this.control.thread(worker)) === "S",
      onHang: (worker) => void this.#replaceHanging(worker),
      reason: (worker) => whyNotRunning(this.control.thread(worker)),
    });
    this.#progress.failure.catch(this.#fail);
  }

  /** `running`, or how its loop is instead: `stalled` where it stands still. */
  stateName(worker: number): string {
    if (this.#progress?.isStalled(worker) && this.#isRunning(worker)) return "stalled";
    return STATE_NAMES[this.control.state(worker)] ?? "unknown";
  }

  /** Why a worker whose loop stands still does not run, in words. */
  whyStalled(worker: number): string {
    return this.#progress?.reason(worker) ?? "";
  }

  /** Whether a worker's loop stands still, or did in the last seconds: what was lost then is no matter of rings. */
  stoodStill(worker: number): boolean {
    return this.#progress?.stoodStill(worker) ?? false;
  }

  /** Time in which a worker's loop stood still though it was woken, in milliseconds. */
  stillMs(worker: number): number {
    return this.#progress?.stillMs(worker) ?? 0;
  }

  /** Time in which a worker was ready to run and had no CPU, in milliseconds; 0 where the kernel does not count it. */
  waitedForCpuMs(worker: number): number {
    return waitedForCpuMs(this.control.thread(worker)) ?? 0;
  }

  /** The kernel's number of a worker's thread; 0 before it runs. */
  thread(worker: number): number {
    return this.control.thread(worker);
  }

  /**
   * Time in which a worker had no packets in hand, in milliseconds: it slept, or it spun. It measures the latter only;
   * a look at the clock at every sleep would cost as much as some packets.
   */
  idleMs(worker: number): number {
    const livedMs = performance.now() - this.#startedMs;
    const cpuMs = threadCpuMs(this.control.thread(worker));
    const before = this.#idleMs[worker] ?? 0;
    if (cpuMs === undefined) return before;
    const spunMs = this.counters[worker]!.loop("spun_ms") - this.#spunBeforeMs[worker]!;
    return this.#idleMs[worker] = Math.max(before, livedMs - cpuMs + spunMs);
  }

  /** True while all loops turn. */
  get allRunning(): boolean {
    return this.#every((worker) => this.stateName(worker) === "running");
  }

  readers(table: Table): Readers {
    const { control } = this;
    return {
      get version(): number {
        return control.version(table);
      },
      publish: (version) => {
        control.publish(table, version);
        this.onPublish();
      },
      caughtUp: () => this.#caughtUp(table),
    };
  }

  async #caughtUp(table: Table): Promise<void> {
    const version = this.control.version(table);
    if (version === 0) return; // nothing is in force yet
    await this.#running;
    await this.#answered(ACKNOWLEDGE_MS, (worker) => this.control.seen(worker, table) === version);
  }

  async passed(): Promise<void> {
    await this.#running;
    const asked = this.control.askPass();
    await this.#answered(PASS_MS, (worker) => ((this.control.passed(worker) - asked) | 0) >= 0);
  }

  async #answered(limitMs: number, condition: (worker: number) => boolean): Promise<void> {
    if (await this.#until(limitMs, condition)) return;
    throw new SteerError(`A worker has not answered for ${limitMs} ms: the change was not made`);
  }

  get sessions(): number {
    return this.counters.reduce((sum, counters) => sum + counters.loop("sessions"), 0);
  }

  get refused(): RefusedSessions {
    const sumOf = (name: LoopCounter): number => this.counters.reduce((sum, counters) => sum + counters.loop(name), 0);
    return {
      rows: sumOf("refused_rows"),
      ports: sumOf("refused_ports"),
      backends: sumOf("refused_backends"),
    };
  }

  sessionsWith(row: number): number {
    return this.#liveOfBackend.reduce((sum, live) => sum + Atomics.load(live, row), 0);
  }

  countsOf(row: number): BackendCounts {
    return readBackendCounts(this.#backendCounts, row);
  }

  /** The size of each worker's heap in KiB, as it is now. */
  async heapKib(): Promise<number[]> {
    for (let worker = 0; worker < this.count; worker++) this.control.askHeap(worker);
    await this.#until(ACKNOWLEDGE_MS, (worker) => !this.control.heapAsked(worker));
    return this.#threads.map((_, worker) => this.control.heapKib(worker));
  }

  /**
   * Lets the workers finish what is in their rings, then ends them. The program must be detached already.
   *
   * @returns True when all ended in time; only then may the memory they used be unmapped.
   */
  async stop(): Promise<boolean> {
    this.#progress?.[Symbol.dispose]();
    const ended = (worker: number): boolean => this.control.state(worker) >= WORKER_STATE.stopped;
    this.control.command = COMMAND.drain;
    // Threads that were given no work have nothing to drain, and no memory that is to be unmapped.
    let joined = this.counters.length === 0 || await this.#until(DRAIN_MS, ended);
    if (!joined) {
      this.control.command = COMMAND.stop;
      joined = await this.#until(STOP_MS, ended);
    }
    this.#ended = true;
    for (const thread of this.#threads) void thread.terminate();
    if (!joined) return false;
    for (const fd of this.#wakeFds.splice(0)) closeFd(fd);
    const ofSessions = this.#sessionMemory.flatMap((parts) => Object.values(parts));
    for (const memory of [this.#ownershipMemory, ...this.#countersMemory, ...ofSessions]) memory.closeFile();
    return true;
  }

  /** What another process needs to go on. @param fd Takes a descriptor along, and returns its number there. */
  handOver(fd: (fd: number) => number): HandedWorkers {
    return {
      process: this.process,
      ownership: fd(this.#ownershipMemory.fd),
      counters: this.#countersMemory.map((memory) => fd(memory.fd)),
      sessions: this.#sessionMemory.map((memory) => eachPart((part) => fd(memory[part].fd))),
      wakeFds: this.#wakeFds.map(fd),
    };
  }

  /** What the workers sleep on: for another process, whose workers wake them. */
  get wakeFds(): readonly number[] {
    return this.#wakeFds;
  }

  /** Ends the workers' sleep. */
  wake(): void {
    for (const fd of this.#wakeFds) wake(fd);
  }

  /** The workers of a process have nothing any more. Only once it has certainly ended. */
  bury(process: number): void {
    this.ownership.bury(this.count, process);
  }

  #wantAll(): void {
    for (let worker = 0; worker < this.count; worker++) this.ownership.want(worker, this.process);
  }

  /**
   * Has all workers finish what is in their rings, which get no more, and give up.
   *
   * @returns False where one has not within `limitMs`: others may have.
   */
  async giveUp(limitMs: number): Promise<boolean> {
    for (let worker = 0; worker < this.count; worker++) this.ownership.wantNobody(worker);
    this.control.lookAgain();
    return await this.#until(limitMs, (worker) => this.ownership.owner(worker) === NOBODY);
  }

  /**
   * Has these workers begin with what those of another process have left, all of which have given up.
   *
   * @param slots Rule slots in use.
   * @returns What became of the sessions, and what came by queues that are no more.
   * @throws {SteerError} where a worker does not begin within `limitMs`.
   */
  async takeAll(slots: number, homes: Homes, limitMs: number): Promise<Given> {
    const inheritance = this.#inheritance!;
    const given = inheritance.give(
      { counters: this.counters, sessions: this.#sessionMemory, ends: this.#ends },
      slots,
      homes,
    );
    inheritance.close();
    this.counters.forEach((counters, worker) => this.#spunBeforeMs[worker] = counters.loop("spun_ms"));
    this.#wantAll();
    this.control.lookAgain();
    if (await this.#until(limitMs, (worker) => this.ownership.owner(worker) === this.process)) return given;
    throw new SteerError(`A worker has not begun within ${limitMs / 1000} s`);
  }

  /** By worker: for how long nobody looked at the rings that it has, milliseconds, since then. */
  gapsSince(monotonicMs: number): number[] {
    return Array.from({ length: this.count }, (_, worker) => this.ownership.takenMs(worker) - monotonicMs);
  }

  /**
   * Has a process's workers take the ends over from another's, one after the other.
   *
   * @param process Number of the one that is to have them.
   * @returns False where a worker has not within `limitMs`, or before it was given up: others may have.
   */
  async pass(process: number, limitMs: number, givenUp?: AbortSignal): Promise<boolean> {
    for (let worker = 0; worker < this.count; worker++) {
      this.ownership.want(worker, process);
      this.control.lookAgain();
      const end = performance.now() + limitMs;
      while (this.ownership.owner(worker) !== process) {
        if (this.#ended || givenUp?.aborted || performance.now() > end) return false;
        wake(this.#wakeFds[worker]!);
        await pause(STEP_MS);
      }
    }
    return true;
  }

  #isRunning(worker: number): boolean {
    return this.control.state(worker) === WORKER_STATE.running;
  }

  #every(condition: (worker: number) => boolean): boolean {
    return this.#threads.every((_, worker) => condition(worker));
  }

  /** Wakes the workers up and looks at them every millisecond. @returns False when the time is over. */
  async #until(limitMs: number, condition: (worker: number) => boolean): Promise<boolean> {
    const end = performance.now() + limitMs;
    while (!this.#every(condition)) {
      if (this.#ended || performance.now() > end) return false;
      this.wake();
      await pause(STEP_MS);
    }
    return true;
  }
}

function memoryOf(handed: number | undefined, options: SharedMemoryOptions): SharedMemory {
  return handed === undefined ? SharedMemory.create(options) : SharedMemory.adopt(handed, options);
}
