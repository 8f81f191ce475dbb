/**
 * What the kernel side has to say, brought into the log: the XDP program's events, and the kernel's own tracepoints.
 *
 * @module
 */
import { EventAccount } from "../bpf/event_account.ts";
import { openEvents } from "../bpf/events.ts";
import { EVENT_KINDS, type EventKind } from "../bpf/reasons.ts";
import type { KernelTrace, TraceEvent, Watched } from "../bpf/trace.ts";
import { messageOf } from "../errors.ts";
import type { BpfRingBuffer } from "../ffi/libbpf.ts";
import { SYSTEM_TIMERS } from "../host/timers.ts";
import { logger } from "../log.ts";
import type { SteeredInterface } from "./interface.ts";
import { MORE, reportRest, reportTrace, type WatchedInterface } from "./trace_report.ts";
import { nounFor } from "../text.ts";
import type { WorkerPool } from "./workers.ts";

/** How often events are looked for. What they are limited to in the kernel fits its buffers for much longer. */
const LOOK_MS = 1000;
/** When the kernel's tracepoints are opened. */
const TRACE_AFTER_MS = 200;

const log = logger("kernel");

interface Source {
  readonly name: string;
  readonly limitsFd: number;
  readonly account: EventAccount;
  readonly ring: BpfRingBuffer;
}

export class KernelEvents implements Disposable {
  readonly #sources: readonly Source[];
  readonly #timer: Disposable;
  readonly #traceTimer: ReturnType<typeof setTimeout>;
  #trace: KernelTrace | undefined;
  #mapIds: readonly number[] = [];
  /** What the trace watches. */
  #told: readonly Watched[] = [];
  #reported: readonly WatchedInterface[] = [];
  /** Told one look later, when it is known whether a worker whose ring was full has run. */
  #held: TraceEvent[] = [];
  #closed = false;

  constructor(
    private readonly interfaces: readonly SteeredInterface[],
    private readonly workers: Pick<WorkerPool, "stoodStill">,
  ) {
    this.#sources = interfaces.map(({ name, program }) => {
      const account = new EventAccount();
      const ring = openEvents(program.eventsFd, (event) => {
        log.warn(eventWords(event.kind) + MORE, { interface: name, ...event });
      }, account);
      return { name, limitsFd: program.eventLimitsFd, account, ring };
    });
    this.#timer = SYSTEM_TIMERS.every(LOOK_MS, () => this.#look());
    // Packets are steered by now, and whoever waits for that is told before a CPU is busy with the kernel's types.
    this.#traceTimer = setTimeout(() => void this.#openTrace(), TRACE_AFTER_MS);
  }

  async #openTrace(): Promise<void> {
    try {
      const { KernelTrace, mapIdOf } = await import("../bpf/trace.ts");
      if (this.#closed) return;
      const startedMs = performance.now();
      const reported = this.#reported = this.interfaces.map(({ name, program }) => ({
        name,
        workers: program.workerCount,
        xskMapId: mapIdOf(program.xskMapFd),
      }));
      this.#mapIds = reported.map(({ xskMapId }) => xskMapId);
      const watched = this.#watched;
      const trace = await KernelTrace.open(watched, (event) => void this.#held.push(event));
      if (this.#closed) return trace[Symbol.dispose]();
      this.#trace = trace;
      this.#told = watched;
      this.interfaces.forEach((steered, place) => steered.redirectErrors = () => trace.redirectErrors(place));
      log.debug("The kernel's tracepoints are watched after {elapsedMs} ms", {
        elapsedMs: Number((performance.now() - startedMs).toFixed(1)),
      });
    } catch (error) {
      log.info(
        "The kernel's tracepoints xdp_redirect_err and xdp_exception are not watched: {reason}. " +
          "Everything else works, and /metrics counts every packet that is dropped",
        { reason: messageOf(error).split("\n")[0] },
      );
    }
  }

  get #watched(): Watched[] {
    return this.interfaces.map(({ ifindex = 0 }, place) => ({ ifindex, mapId: this.#mapIds[place]! }));
  }

  #look(): void {
    this.#consume(false);
    const watched = this.#watched;
    if (this.#trace === undefined || watched.every(({ ifindex }, at) => ifindex === this.#told[at]!.ifindex)) return;
    this.#trace.follow(watched);
    this.#told = watched;
  }

  /** @param last Nothing will be reported any more: says also what was held back of floods that go on. */
  #consume(last: boolean): void {
    for (const { name, limitsFd, account, ring } of this.#sources) {
      ring.consume();
      for (const { slot, suppressed } of account.settle(limitsFd, last)) {
        const events = `more ${nounFor(suppressed, "event")}`;
        log.warn(`Not reported since the last one: {suppressed} ${events} ({kind}) on {interface}`, {
          interface: name,
          kind: EVENT_KINDS[slot] ?? `kind ${slot}`,
          suppressed,
        });
      }
    }
    this.#tellHeld();
    this.#trace?.consume();
    if (last) this.#tellHeld();
    for (const { interface: place, what, suppressed } of this.#trace?.rest(last) ?? []) {
      reportRest(this.interfaces[place]!.name, what, suppressed);
    }
  }

  #tellHeld(): void {
    for (const event of this.#held.splice(0)) {
      reportTrace(this.#reported[event.interface]!, event, (worker) => this.workers.stoodStill(worker));
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer[Symbol.dispose]();
    clearTimeout(this.#traceTimer);
    this.#consume(true);
    for (const { ring } of this.#sources) ring[Symbol.dispose]();
    const trace = this.#trace;
    if (trace === undefined) return;
    for (const [place, steered] of this.interfaces.entries()) {
      const last = trace.redirectErrors(place);
      steered.redirectErrors = () => last;
    }
    trace[Symbol.dispose]();
    this.#trace = undefined;
  }
}

/** What an event means, and what to do about it. Names in braces are those of the event. */
const EVENT_WORDS: Readonly<Record<EventKind, string>> = {
  malformed: "A malformed packet ({reason}, {length} bytes) on queue {queue} of {interface} went to the kernel stack",
  uncovered_queue:
    "Packets for port {port} arrive on queue {queue} of {interface}, which has no sockets; the kernel stack gets " +
    "them. Restart xdpsteer to cover it",
};

const UNKNOWN_WORDS =
  "The XDP program on {interface} reports an event that this version of xdpsteer does not know ({reason}, {length} " +
  "bytes, queue {queue})";

/** The sentence for an event of a kind. */
export function eventWords(kind: EventKind | undefined): string {
  return kind === undefined ? UNKNOWN_WORDS : EVENT_WORDS[kind];
}
