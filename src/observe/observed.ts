/**
 * What of an appliance is observed. Tests make one of their own, without a kernel.
 *
 * @module
 */
import type { Appliance } from "../appliance/appliance.ts";
import type { Steering } from "../appliance/steering.ts";
import type { Forwarding } from "../backends/forwarding.ts";
import type { CountedInterface, RuleTotals } from "../engine/counters.ts";
import type { SteeredInterface } from "../engine/interface.ts";
import type { SteeredQueue } from "../engine/queue.ts";
import type { WorkerPool } from "../engine/workers.ts";
import type { Bans } from "../guard/bans.ts";
import type { OwnerSocket, SharedSocket } from "../xsk/socket.ts";

export type ObservedSocket = Pick<SharedSocket, "rx" | "tx">;
export type ObservedOwner = ObservedSocket & Pick<OwnerSocket, "queueRings">;

export interface ObservedQueue extends Pick<SteeredQueue, "config" | "id" | "statistics" | "workers" | "zeroCopy"> {
  /** None while it is closed. */
  readonly sockets: readonly [ObservedOwner, ...ObservedSocket[]] | readonly [];
}

type InterfaceFacts =
  | "attach"
  | "condition"
  | "currentName"
  | "fallbackReason"
  | "ifindex"
  | "mtu"
  | "name"
  | "newQueues"
  | "reattachments"
  | "redirectErrors"
  | "unattachedMs"
  | "unsent";

export interface ObservedInterface extends CountedInterface, Pick<SteeredInterface, InterfaceFacts> {
  readonly queues: readonly ObservedQueue[];
}

type WorkerFacts =
  | "count"
  | "counters"
  | "cpus"
  | "idleMs"
  | "replacements"
  | "stateName"
  | "stillMs"
  | "stoodStill"
  | "thread"
  | "waitedForCpuMs"
  | "whyStalled";

export interface ObservedAppliance
  extends
    Pick<Appliance, "captureStatus" | "compare" | "deadman" | "onInterfaces" | "pauses" | "repairs" | "uptimeMs"> {
  readonly interfaces: readonly ObservedInterface[];
  readonly workers: Pick<WorkerPool, WorkerFacts>;
  readonly steering: Pick<Steering, "generation" | "lists" | "rules"> & {
    readonly forwarding: Pick<Forwarding, "foreignAddresses" | "names" | "rules" | "status">;
  };
  readonly bans: Pick<Bans, "counts">;
  readonly counts: Pick<RuleTotals, "departed" | "newSums" | "read" | "readSums" | "slotOf" | "slotsUsed">;
}
