/**
 * What the handlers of requests are given.
 *
 * @module
 */
import type { Appliance } from "../appliance/appliance.ts";
import type { CrashKeeper } from "../appliance/crash/keeper.ts";
import type { Giver } from "../appliance/handover/giver.ts";
import type { Reloader } from "../appliance/reload.ts";
import type { SourceWatch } from "../guard/source_watch.ts";
import type { Forwarding } from "../backends/forwarding.ts";
import type { WorkerPool } from "../engine/workers.ts";
import type { Bans } from "../guard/bans.ts";
import type { History } from "../observe/history.ts";
import type { ObservedAppliance } from "../observe/observed.ts";
import type { Observer } from "../observe/observer.ts";
import type { ProblemList } from "../observe/problems/problems.ts";
import type { Answer } from "./question.ts";

/** What requests ask of the appliance. */
export interface AskedAppliance extends ObservedAppliance, Pick<Appliance, "alive" | "ready" | "stage"> {
  readonly sources: Pick<SourceWatch, "ask">;
  readonly steering: ObservedAppliance["steering"] & {
    readonly forwarding: ObservedAppliance["steering"]["forwarding"] & Pick<Forwarding, "hold">;
  };
  readonly workers: ObservedAppliance["workers"] & Pick<WorkerPool, "heapKib">;
  readonly bans: ObservedAppliance["bans"] & Pick<Bans, "add" | "list" | "remove">;
}

export interface HttpOptions {
  readonly appliance: AskedAppliance;
  readonly reloader: Pick<
    Reloader,
    "applyText" | "changeRules" | "compare" | "config" | "confirm" | "counts" | "file" | "last" | "reloadFile"
  >;
  readonly observer: Pick<Observer, "snapshot">;
  readonly problems: ProblemList;
  readonly history: Pick<History, "generation" | "latest" | "past" | "rules" | "watch">;
  readonly configFile: string;
  /** Undefined where nothing can be handed over. */
  readonly giver?: Pick<Giver, "counts" | "handOver" | "last" | "past"> | undefined;
  /** Undefined where nothing is kept for the time after a crash. */
  readonly keeper?: Pick<CrashKeeper, "kept"> | undefined;
}

/** What questions are answered from. */
export interface Answering extends HttpOptions {
  readonly streams: { open(): Answer };
}
