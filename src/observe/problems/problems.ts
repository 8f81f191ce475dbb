/**
 * The one list of problems: looked for in one place, twice a second and whenever somebody asks. The status, `/readyz`,
 * the metrics, the log, `top` and the dashboard tell this list. Those that have ended lately are kept beside it, for
 * whoever looks too late to see a short one.
 *
 * @module
 */
import type { FileState } from "../../appliance/reload_types.ts";
import { messageOf } from "../../errors.ts";
import { type Listener, udpListeners } from "../../host/listeners.ts";
import { interfaceIsUp } from "../../host/process_stats.ts";
import { SYSTEM_TIMERS, type Timers } from "../../host/timers.ts";
import { logger } from "../../log.ts";
import { outputState } from "../../stderr.ts";
import type { ObservedAppliance } from "../observed.ts";
import { EndedProblems } from "./ended.ts";
import { listProblems } from "./find_lists.ts";
import { addressProblems, backendProblems, nameProblems, ruleProblems } from "./find_forwarding.ts";
import { Growth, type LossCounts, lossProblems } from "./find_losses.ts";
import {
  captureProblems,
  deadmanProblems,
  deliveryProblems,
  fileProblems,
  interfaceProblems,
  listenerProblems,
  logProblems,
  pauseProblems,
  repairProblems,
  workerProblems,
  workerStates,
} from "./find_rest.ts";
import { type EndedProblem, entryOf, type FoundProblem, type Problem, PROBLEM_KINDS } from "./kinds.ts";
import { ProblemLog } from "./problem_log.ts";

export interface ProblemSources {
  readonly appliance: ObservedAppliance;
  readonly reloader: { readonly file: FileState };
  readonly history: { losses(): LossCounts };
  /** Path of the configuration. */
  readonly configFile: string;
  readonly listeners?: () => Listener[];
  /** What keeps clients from the control socket or the TCP address, once there are such. */
  readonly unreachable?: () => readonly FoundProblem[];
}

/** Who only reads the list. */
export type ProblemList = Pick<Problems, "ended" | "list">;

const LOOK_MS = 500;
/** A list so old is as good as new. */
const FRESH_MS = 100;
/** Looking at the box's sockets, which is not cheap with thousands of them, takes at most this share of the time. */
const LISTENERS_SHARE = 0.01;
/** A socket with a port of the kernel's choice, as clients have it, comes and goes: it counts when it is so old. */
const LASTING_MS = 5000;

const log = logger("problems");

interface Known {
  readonly sinceMs: number;
  readonly since: string;
  problem: Problem;
}

export class Problems implements Disposable {
  readonly #timers: Timers;
  readonly #timer: Disposable;
  readonly #log: ProblemLog;
  readonly #growth = new Growth();
  /** By kind and subject, those too that have not lasted long enough to be listed. */
  #known = new Map<string, Known>();
  #listed: readonly Problem[] = [];
  #lookedMs = -Infinity;
  readonly #ended = new EndedProblems();
  #listeners: readonly Listener[] = [];
  /** By port of the kernel's choice: when it was first seen. */
  #ephemeral: ReadonlyMap<number, number> = new Map();
  #listenersAgainMs = -Infinity;
  #isLooking = false;
  /** What cannot be looked at; the log says so once. */
  readonly #blind = new Set<string>();

  /** @param onChange Told when problems have begun or ended. */
  constructor(
    private readonly sources: ProblemSources,
    private readonly onChange: (problems: readonly Problem[]) => void = () => {},
    timers: Timers = SYSTEM_TIMERS,
  ) {
    this.#timers = timers;
    this.#log = new ProblemLog(timers);
    this.#timer = timers.every(LOOK_MS, () => this.look());
    sources.appliance.onInterfaces(() => this.look());
    this.look();
  }

  /** Most urgent first. */
  list(): readonly Problem[] {
    if (this.#timers.now() - this.#lookedMs >= FRESH_MS) this.look();
    return this.#listed;
  }

  /** Those that have ended lately, the last one first. */
  ended(): readonly EndedProblem[] {
    return this.#ended.list(this.#timers.date());
  }

  look(): void {
    if (this.#isLooking) return; // what is compared tells that something has changed
    this.#isLooking = true;
    try {
      this.sources.appliance.compare();
      this.#look();
    } finally {
      this.#isLooking = false;
    }
  }

  #look(): void {
    const now = this.#timers.now();
    this.#lookedMs = now;
    const known = new Map<string, Known>();
    for (const found of this.#find(now)) {
      const key = `${found.kind} ${found.subject}`;
      const { sinceMs, since } = this.#known.get(key) ?? { sinceMs: now, since: this.#timers.date().toISOString() };
      known.set(key, { sinceMs, since, problem: problemOf(found, since) });
    }
    this.#known = known;
    const before = this.#listed;
    const lasting = [...known.values()].filter(({ sinceMs, problem: { kind } }) =>
      now - sinceMs >= (entryOf(kind).afterMs ?? 0)
    );
    this.#listed = lasting.map(({ problem }) => problem).sort((one, other) =>
      PROBLEM_KINDS.indexOf(one.kind) - PROBLEM_KINDS.indexOf(other.kind) || (one.since < other.since ? -1 : 1)
    );
    const over = this.#log.tell(before, this.#listed);
    if (over === undefined) return;
    this.#ended.add(over, this.#timers.date());
    this.onChange(this.#listed);
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #find(now: number): FoundProblem[] {
    const { appliance, reloader, history, configFile } = this.sources;
    const { interfaces, steering, workers } = appliance;
    const finders: Readonly<Record<string, () => FoundProblem[]>> = {
      workers: () => workerProblems(workerStates(workers)),
      deadman: () => deadmanProblems(appliance.deadman()),
      interfaces: () =>
        interfaceProblems(interfaces.map((steered) => ({
          name: steered.name,
          condition: steered.condition,
          mtu: steered.mtu,
          newQueues: steered.newQueues,
          up: steered.ifindex !== undefined && interfaceIsUp(steered.currentName, steered.ifindex),
        }))),
      repairs: () => repairProblems(appliance.repairs()),
      pauses: () => pauseProblems(appliance.pauses.last),
      rules: () => ruleProblems(steering.forwarding.rules()),
      backends: () => backendProblems(steering.forwarding.status()),
      losses: () => lossProblems(history.losses(), this.#growth, now, (worker) => workers.stoodStill(worker)),
      captures: () => captureProblems(appliance.captureStatus()),
      addresses: () => addressProblems(steering.forwarding.foreignAddresses(), interfaces.at(-1)?.name ?? "DEVICE"),
      names: () => nameProblems(steering.forwarding.names()),
      lists: () => listProblems(steering.lists),
      log: () => logProblems(outputState()),
      connections: () => [...this.sources.unreachable?.() ?? []],
      file: () => fileProblems(configFile, reloader.file),
      listeners: () => listenerProblems(steering.rules, this.#listenersAt(now)),
      deliveries: () => deliveryProblems(steering.rules, this.#listenersAt(now)),
    };
    return Object.entries(finders).flatMap(([what, find]) => {
      try {
        const found = find();
        this.#blind.delete(what);
        return found;
      } catch (error) {
        if (!this.#blind.has(what)) {
          log.error("Problems of {what} cannot be seen: {reason}", { what, reason: messageOf(error) });
        }
        this.#blind.add(what);
        return [];
      }
    });
  }

  #listenersAt(now: number): readonly Listener[] {
    if (now >= this.#listenersAgainMs) {
      const startedMs = this.#timers.now();
      const found = (this.sources.listeners ?? udpListeners)();
      const ephemeral = found.filter(({ ephemeral }) => ephemeral);
      this.#ephemeral = new Map(ephemeral.map(({ port }) => [port, this.#ephemeral.get(port) ?? now]));
      this.#listeners = found.filter(({ port }) => now - (this.#ephemeral.get(port) ?? -Infinity) >= LASTING_MS);
      const endedMs = this.#timers.now();
      this.#listenersAgainMs = endedMs + (endedMs - startedMs) / LISTENERS_SHARE;
    }
    return this.#listeners;
  }
}

function problemOf(found: FoundProblem, since: string): Problem {
  const { kind, subject, message, fix = "", detail = "", stopsNothing } = found;
  const { severity, subject: subjectKind, stops = null } = entryOf(kind);
  return {
    kind,
    severity,
    subject: { kind: subjectKind, name: subject },
    since,
    message,
    fix: fix === "" ? null : fix,
    detail: detail === "" ? null : detail,
    stops: stopsNothing ? null : stops,
  };
}
