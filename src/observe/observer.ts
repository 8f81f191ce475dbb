/**
 * Takes snapshots of a running appliance.
 *
 * @module
 */
import type { NameStatus } from "../backends/names/names.ts";
import type { BackendStatus } from "../backends/status.ts";
import type { CaptureStatus } from "../capture/captures.ts";
import type { Repair } from "../engine/reconciler.ts";
import type { Bans } from "../guard/bans.ts";
import { roundMs } from "../text.ts";
import type { ObservedAppliance } from "./observed.ts";
import {
  type InterfaceStatus,
  interfaceStatus,
  type ListStatus,
  listStatus,
  loopNumbers,
  receivedBy,
  type RuleStatus,
  ruleStatus,
  type Totals,
  totals,
  type WorkerStatus,
} from "./snapshot.ts";

export interface Snapshot {
  readonly generation: number;
  readonly uptimeMs: number;
  readonly interfaces: readonly InterfaceStatus[];
  readonly workers: readonly WorkerStatus[];
  readonly rules: readonly RuleStatus[];
  readonly totals: Totals;
  /** Of all rules that forward, those in force first named. */
  readonly backends: readonly BackendStatus[];
  /** How many there are, by who set them. */
  readonly bans: Bans["counts"];
  /** By rule: those captured now, and those captured before. */
  readonly captures: readonly CaptureStatus[];
  /** Of sources, by name. */
  readonly lists: readonly ListStatus[];
  /** What the names of backends mean. */
  readonly names: readonly NameStatus[];
  /** Times that something in the kernel was put right which somebody else had changed. */
  readonly repairs: readonly Pick<Repair, "what" | "count">[];
  /** Time in which the process did not run though it should have, milliseconds. */
  readonly pausedMs: number;
  /** While no worker runs, everything passes to the kernel stack. */
  readonly deadman: DeadmanStatus;
}

export interface DeadmanStatus {
  /** The kernel looks at the workers' heartbeats. */
  readonly armed: boolean;
  /** Everything passes now. */
  readonly on: boolean;
  /** How often it did so far, with now. */
  readonly times: number;
  /** For how long in all. */
  readonly seconds: number;
}

/** Ratios of busy time are taken over at least so long. */
const BUSY_MS = 1000;

export class Observer {
  #lastBusy: { readonly atMs: number; readonly idleMs: readonly number[]; readonly ratios: readonly number[] };

  /** @param now Milliseconds, monotonic. */
  constructor(
    private readonly appliance: ObservedAppliance,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#lastBusy = {
      atMs: now(),
      idleMs: this.#idleMs(),
      ratios: appliance.workers.counters.map(() => 0),
    };
  }

  /** Reads all counters: one system call per interface and one per socket. */
  snapshot(): Snapshot {
    const { appliance } = this;
    const { steering, counts } = appliance;
    const rules = new Map(steering.rules.map((rule) => [rule.name, rule]));
    const ruleStatuses = counts.read().map((count) => ruleStatus(count, rules, appliance.interfaces));
    const interfaces = appliance.interfaces.map((steered) => interfaceStatus(steered, counts.slotsUsed));
    return {
      generation: steering.generation,
      uptimeMs: appliance.uptimeMs,
      interfaces,
      workers: this.#workerStatus(ruleStatuses),
      rules: ruleStatuses,
      totals: totals(interfaces, ruleStatuses, counts.departed),
      backends: steering.forwarding.status(),
      bans: appliance.bans.counts,
      captures: appliance.captureStatus(),
      lists: steering.lists.map(listStatus),
      names: steering.forwarding.names(),
      repairs: appliance.repairs().map(({ what, count }) => ({ what, count })),
      pausedMs: roundMs(appliance.pauses.totalMs),
      deadman: this.#deadman(),
    };
  }

  #deadman(): DeadmanStatus {
    const { isOn, times, seconds, why } = this.appliance.deadman();
    return { armed: why === "", on: isOn, times, seconds };
  }

  #idleMs(): number[] {
    const { workers } = this.appliance;
    return workers.counters.map((_, worker) => workers.idleMs(worker));
  }

  #workerStatus(rules: readonly RuleStatus[]): WorkerStatus[] {
    const { workers } = this.appliance;
    const busy = this.#busyRatios();
    return workers.counters.map((counters, worker) => ({
      worker,
      state: workers.stateName(worker),
      thread: workers.thread(worker),
      cpu: workers.cpus[worker] ?? null,
      received: rules.reduce((sum, rule) => sum + receivedBy(rule, worker), 0),
      busyRatio: busy[worker]!,
      idleMs: roundMs(workers.idleMs(worker)),
      stillMs: roundMs(workers.stillMs(worker)),
      replacements: workers.replacements[worker] ?? 0,
      cpuWaitMs: roundMs(workers.waitedForCpuMs(worker)),
      loop: loopNumbers((counter) => counters.loop(counter)),
    }));
  }

  /** Share of the time since about a second ago in which each worker had packets in hand. */
  #busyRatios(): readonly number[] {
    const atMs = this.now();
    const elapsedMs = atMs - this.#lastBusy.atMs;
    if (elapsedMs < BUSY_MS) return this.#lastBusy.ratios;
    const idleMs = this.#idleMs();
    const ratios = idleMs.map((idle, worker) =>
      Math.min(1, Math.max(0, 1 - (idle - this.#lastBusy.idleMs[worker]!) / elapsedMs))
    );
    this.#lastBusy = { atMs, idleMs, ratios };
    return ratios;
  }
}
