/**
 * Health checks: asks each backend every now and then whether it works, and says when that changes. All checks share
 * one thread that waits for their sockets; the control thread is busy only when something has come or is due.
 *
 * A backend is healthy until checks say otherwise, so that a start refuses nobody. A check that this machine cannot
 * carry out (no right to send ICMP, a packet filter, no port left) says nothing about the backend: it keeps its state,
 * and the log says why.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { messageOf, SteerError } from "../../errors.ts";
import { AsyncPoll } from "../../ffi/async_poll.ts";
import { logger } from "../../log.ts";
import type { HealthCheck } from "../../steering/forward.ts";
import type { Change } from "../../steering/published.ts";
import type { PortRange } from "../../steering/rule.ts";
import type { Outcome, Probe } from "./probe.ts";
import { openProbe } from "./probes.ts";
import { RiseAndFall } from "./rise_and_fall.ts";
import { SourcePorts } from "./source_ports.ts";

export interface Backend {
  /** `10.0.0.11:9000`; what it is known by here. */
  readonly name: string;
  /** 4 or 16 bytes, in network byte order. */
  readonly address: Uint8Array;
  readonly port: number;
}

export interface CheckedBackend {
  /** Names this check of this backend: a backend may be checked in several ways, for several rules. */
  readonly key: string;
  readonly backend: Backend;
  readonly check: HealthCheck;
}

export interface BackendHealth {
  readonly healthy: boolean;
  /** Milliseconds until the last check had succeeded; null where it failed, or there was none. */
  readonly lastMs: number | null;
  /** How the last check ended. */
  readonly reason: string;
  /** When it became as healthy as it is, or was first heard of: ISO 8601, UTC. */
  readonly since: string;
  /** Checks that ended. */
  readonly checks: number;
  /** How many of them failed. */
  readonly failures: number;
  /** Why this machine cannot check it; null where it can. */
  readonly hindered: string | null;
  /** Clients' packets speak against it, and not a check. */
  readonly passive?: true;
  /** Why the last check that failed did; null where none has. Of one that is unhealthy, why. */
  readonly failure: string | null;
}

/** Backends new at the same time are first checked over this time, so that they are not checked all at one moment. */
const SPREAD_MS = 1000;
/** Part of the interval by which the next check may be early or late, so that checks do not fall into step. */
const JITTER = 0.05;
/** Checks begin at so many moments of an interval: the thread wakes up that often, however many backends there are. */
const SLOTS = 50;

const log = logger("health");

/** A backend, its state, and the check that goes on. */
interface Entry {
  readonly key: string;
  readonly backend: Backend;
  readonly check: HealthCheck;
  readonly probe: Probe;
  readonly state: RiseAndFall;
  readonly health: { -readonly [Key in keyof BackendHealth]: BackendHealth[Key] };
  /** When the next check begins. */
  dueMs: number;
  /** When the check that goes on began. */
  startedMs: number | undefined;
}

/** Whether backends are healthy: what {@linkcode HealthChecks} knows, and what tests make up. */
export interface HealthSource extends AsyncDisposable {
  /**
   * Says, as part of a change, what is to be checked from then on.
   *
   * @param steered Ports that no check may be sent from. Default: as before.
   */
  change(backends: readonly CheckedBackend[], steered?: readonly PortRange[]): Change;
  /** Every check, by its key. */
  status(): ReadonlyMap<string, BackendHealth>;
}

export class HealthChecks implements HealthSource {
  #entries: ReadonlyMap<string, Entry> = new Map();
  /** Probes whose sockets may still be waited for. */
  #retired: Probe[] = [];
  #poll: AsyncPoll | undefined;
  #running: Promise<void> | undefined;
  readonly #ports = new SourcePorts();

  /**
   * @param onChange Called once for each change of a backend's health by a check, after it is in {@linkcode status}.
   * @param found What {@linkcode status} was in the process before: with it the same checks begin.
   */
  constructor(
    private readonly onChange: (key: string, healthy: boolean, reason: string) => void,
    private readonly found: ReadonlyMap<string, BackendHealth> = new Map(),
  ) {}

  /**
   * Says what is to be checked from now on. A backend that stays keeps its health, also where its check changes; one
   * that comes is healthy. Of two with one key the later counts.
   *
   * @throws {SyscallError} where the process has no file descriptor or memory left to begin with; nothing has changed
   * then.
   */
  set(backends: readonly CheckedBackend[], steered?: readonly PortRange[]): void {
    this.change(backends, steered).flip();
  }

  /** {@linkcode set} as part of a change. */
  change(backends: readonly CheckedBackend[], steered?: readonly PortRange[]): Change {
    let before: ReadonlyMap<string, Entry> = this.#entries;
    let steeredBefore = this.#ports.steered;
    return {
      flip: () => {
        before = this.#entries;
        steeredBefore = this.#ports.steered;
        const next = new Map(backends.map((checked) => {
          const { key, backend, check } = checked;
          const known = before.get(key) ?? [...before.values()].find((entry) => entry.backend.name === backend.name);
          const stays = known !== undefined && isSame(known.backend, backend);
          if (stays && known.key === key && isDeepStrictEqual(known.check, check)) return [key, known];
          const health = stays ? known.health : this.found.get(key);
          return [key, newEntry(checked, health, this.#ports)];
        }));
        const poll = next.size > 0 && this.#running === undefined ? new AsyncPoll() : undefined; // may fail
        this.#ports.steered = steered ?? steeredBefore;
        this.#replace(next);
        if (poll !== undefined) this.#running = this.#run(poll);
      },
      back: () => {
        this.#ports.steered = steeredBefore;
        this.#replace(before);
      },
    };
  }

  #replace(next: ReadonlyMap<string, Entry>): void {
    const before = this.#entries;
    this.#entries = next;
    const kept = new Set([...next.values()].map(({ probe }) => probe));
    const gone = [...before.values()].map(({ probe }) => probe).filter((probe) => !kept.has(probe));
    this.#retired = [...this.#retired.filter((probe) => !kept.has(probe)), ...gone];
    this.#poll?.wake();
  }

  /** Every check, by its key. */
  status(): ReadonlyMap<string, BackendHealth> {
    return new Map([...this.#entries].map(([key, { health }]) => [key, { ...health }]));
  }

  /** Ends all checks. Nothing is called, and no socket is open, afterwards. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.set([]);
    await this.#running;
  }

  /** Goes on for as long as there is something to check. */
  async #run(opened: AsyncPoll): Promise<void> {
    using poll = opened;
    this.#poll = poll;
    while (this.#entries.size > 0) {
      const entries = [...this.#entries.values()];
      for (const entry of entries) {
        if (entry.startedMs === undefined && entry.dueMs <= performance.now()) this.#start(entry);
      }
      const underWay = entries.filter(({ startedMs }) => startedMs !== undefined);
      const wakeMs = Math.min(...entries.map(nextMs));
      const isReady = await poll.wait(underWay.map(({ probe }) => probe), wakeMs - performance.now());
      for (const [index, entry] of underWay.entries()) this.#look(entry, isReady[index]!);
      this.#closeRetired();
    }
    this.#poll = undefined;
    this.#running = undefined;
  }

  #start(entry: Entry): void {
    if (!this.#isChecked(entry)) return;
    const { probe } = entry;
    const intervalMs = milliseconds(entry.check.interval);
    const now = performance.now();
    entry.startedMs = now;
    const next = entry.dueMs + intervalMs * (1 + JITTER * (2 * Math.random() - 1));
    const slotMs = intervalMs / SLOTS;
    entry.dueMs = Math.max(now, Math.round(next / slotMs) * slotMs);
    try {
      const outcome = probe.start();
      if (outcome !== undefined) this.#end(entry, outcome);
    } catch (error) {
      this.#hinder(entry, error);
    }
  }

  /** Ends a check that counts for nothing. */
  #hinder(entry: Entry, error: unknown): void {
    const { backend, health, probe } = entry;
    entry.startedMs = undefined;
    probe.reset();
    const reason = messageOf(error);
    health.lastMs = null;
    health.reason = reason;
    if (health.hindered === reason) return;
    health.hindered = reason;
    const hint = error instanceof SteerError && error.hint !== undefined ? `: ${error.hint}` : "";
    log.warn("Backend {backend} cannot be checked and stays {state}. {reason}{hint}", {
      backend: backend.name,
      state: health.healthy ? "healthy" : "unhealthy",
      reason,
      hint,
    });
  }

  #look(entry: Entry, isReady: boolean): void {
    const { probe } = entry;
    const timeoutMs = milliseconds(entry.check.timeout);
    const isLate = performance.now() >= entry.startedMs! + timeoutMs;
    if (!this.#isChecked(entry) || !(isReady || isLate)) return;
    // A last look at a late one too: the delay may have been this thread's.
    try {
      const outcome = probe.look() ??
        (isLate ? { succeeded: false, reason: `${probe.silence} in ${timeoutMs} ms` } : undefined);
      if (outcome !== undefined) this.#end(entry, outcome);
    } catch (error) {
      this.#hinder(entry, error);
    }
  }

  #end(entry: Entry, { succeeded, reason }: Outcome): void {
    const { key, backend: { name }, check: { rise, fall }, health, probe, state } = entry;
    const elapsedMs = performance.now() - entry.startedMs!;
    entry.startedMs = undefined;
    if (health.hindered !== null) log.info("Backend {backend} can be checked again", { backend: name });
    health.hindered = null;
    if (!succeeded) probe.reset();
    health.checks++;
    if (!succeeded) {
      health.failures++;
      health.failure = reason;
    }
    health.lastMs = succeeded ? Math.round(elapsedMs * 1000) / 1000 : null;
    health.reason = reason;
    if (!state.record(succeeded)) return;
    health.healthy = succeeded;
    health.since = new Date().toISOString();
    if (succeeded) {
      log.info("Backend {backend} is healthy again: {reason}, {rise} in a row", { backend: name, reason, rise });
    } else log.warn("Backend {backend} is unhealthy: {reason}, {fall} in a row", { backend: name, reason, fall });
    try {
      this.onChange(key, succeeded, reason);
    } catch (error) {
      // The checks of the others go on.
      log.error("The change of backend {backend} could not be followed: {error}", {
        backend: name,
        error: messageOf(error),
      });
    }
  }

  /** False once it has been replaced, by whoever heard of a change for example. */
  #isChecked(entry: Entry): boolean {
    return this.#entries.get(entry.key) === entry;
  }

  #closeRetired(): void {
    for (const probe of this.#retired.splice(0)) probe[Symbol.dispose]();
  }
}

function newEntry(
  { key, backend, check }: CheckedBackend,
  before: BackendHealth | undefined,
  ports: SourcePorts,
): Entry {
  const healthy = before?.healthy ?? true;
  const health = before === undefined
    ? {
      healthy,
      lastMs: null,
      reason: "not checked yet",
      failure: null,
      since: new Date().toISOString(),
      checks: 0,
      failures: 0,
      hindered: null,
    }
    : { ...before };
  return {
    key,
    backend,
    check,
    probe: openProbe({ address: backend.address, port: check.port ?? backend.port }, check, ports),
    state: new RiseAndFall(check.rise, check.fall, healthy),
    health,
    dueMs: performance.now() + Math.random() * Math.min(milliseconds(check.interval), SPREAD_MS),
    startedMs: undefined,
  };
}

/** When there is something to do for it though nothing has come. */
function nextMs({ startedMs, dueMs, check: { timeout } }: Entry): number {
  return startedMs === undefined ? dueMs : startedMs + milliseconds(timeout);
}

/** Whether two backends are one. */
function isSame(one: Backend, other: Backend): boolean {
  return one.port === other.port && String(one.address) === String(other.address);
}

/** Whole ones: they are shown. */
function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000);
}
