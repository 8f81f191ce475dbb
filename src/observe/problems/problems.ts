/**
 * The one list of problems: looked for in one place, twice a second and whenever somebody asks. The status, `/readyz`,
 * the metrics, the log, `top` and the dashboard tell this list.
 *
 * @module
 */
import type { FileState } from "../../appliance/reload.ts";
import { messageOf } from "../../errors.ts";
import { type Listener, udpListeners } from "../../host/listeners.ts";
import { interfaceIsUp } from "../../host/process_stats.ts";
import { SYSTEM_TIMERS, type Timers } from "../../host/timers.ts";
import { logger } from "../../log.ts";
import { outputState } from "../../stderr.ts";
import type { ObservedAppliance } from "../observed.ts";
import { backendProblems, ruleProblems } from "./find_forwarding.ts";
import { Growth, type LossCounts, lossProblems } from "./find_losses.ts";
import {
  captureProblems,
  fileProblems,
  interfaceProblems,
  listenerProblems,
  logProblems,
  repairProblems,
  workerProblems,
} from "./find_rest.ts";
import { entryOf, type FoundProblem, type Problem, PROBLEM_KINDS } from "./kinds.ts";
import { ProblemLog } from "./problem_log.ts";

export interface ProblemSources {
  readonly appliance: ObservedAppliance;
  readonly reloader: { readonly file: FileState };
  readonly history: { losses(): LossCounts };
  /** Path of the configuration. */
  readonly configFile: string;
  readonly listeners?: () => Listener[];
}

/** Who only reads the list. */
export type ProblemList = Pick<Problems, "list">;

const LOOK_MS = 500;
/** A list so old is as good as new. */
const FRESH_MS = 100;
/** Between two looks at the box's sockets: with thousands of them it is not cheap. */
const LISTENERS_MS = 5000;

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
  #listeners: { readonly atMs: number; readonly found: readonly Listener[]; readonly told: readonly Listener[] } = {
    atMs: -Infinity,
    found: [],
    told: [],
  };
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
    this.look();
  }

  /** Most urgent first. */
  list(): readonly Problem[] {
    if (this.#timers.now() - this.#lookedMs >= FRESH_MS) this.look();
    return this.#listed;
  }

  look(): void {
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
    if (this.#log.tell(before, this.#listed)) this.onChange(this.#listed);
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #find(now: number): FoundProblem[] {
    const { appliance, reloader, history, configFile } = this.sources;
    const { interfaces, steering, workers } = appliance;
    const finders: Readonly<Record<string, () => FoundProblem[]>> = {
      workers: () =>
        workerProblems(workers.counters.map((_, worker) => {
          const state = workers.stateName(worker);
          return { state, why: state === "stalled" ? workers.whyStalled(worker) : "" };
        })),
      interfaces: () =>
        interfaceProblems(interfaces.map((steered) => ({
          name: steered.name,
          condition: steered.condition,
          mtu: steered.mtu,
          newQueues: steered.newQueues,
          up: steered.ifindex !== undefined && interfaceIsUp(steered.currentName, steered.ifindex),
        }))),
      repairs: () => repairProblems(appliance.repairs()),
      rules: () => ruleProblems(steering.forwarding.rules()),
      backends: () => backendProblems(steering.forwarding.status()),
      losses: () => lossProblems(history.losses(), this.#growth, now, (worker) => workers.stoodStill(worker)),
      captures: () => captureProblems(appliance.captureStatus()),
      log: () => logProblems(outputState()),
      file: () => fileProblems(configFile, reloader.file),
      listeners: () => listenerProblems(steering.rules, this.#listenersAt(now)),
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

  /** Sockets with a port of the kernel's choice come and go: they count when they are seen twice. */
  #listenersAt(now: number): readonly Listener[] {
    if (now - this.#listeners.atMs >= LISTENERS_MS) {
      const found = (this.sources.listeners ?? udpListeners)();
      const before = new Set(this.#listeners.found.map(({ port }) => port));
      const told = found.filter(({ port, ephemeral }) => !ephemeral || before.has(port));
      this.#listeners = { atMs: now, found, told };
    }
    return this.#listeners.told;
  }
}

function problemOf({ kind, subject, message, fix = "", detail = "" }: FoundProblem, since: string): Problem {
  const { severity, subject: subjectKind, stops = null } = entryOf(kind);
  return {
    kind,
    severity,
    subject: { kind: subjectKind, name: subject },
    since,
    message,
    fix: fix === "" ? null : fix,
    detail: detail === "" ? null : detail,
    stops,
  };
}
