/**
 * What a running process gives to the one that takes over from it: plain numbers and words as JSON, and descriptors of
 * what is in the kernel or in shared memory, which go along and stand there as numbers.
 *
 * @module
 */
import type { ForwardingStanding } from "../../backends/forwarding.ts";
import type { HandedKept } from "../../bpf/kept_table.ts";
import type { Departed, TotalsStanding } from "../../engine/counters.ts";
import type { HandedInterface } from "../../engine/interface.ts";
import type { Unfiled } from "../../config/load.ts";
import type { HandedWorkers } from "../../engine/workers.ts";
import type { FlowKey } from "../../packet/flow_key.ts";
import type { SlotsStanding } from "../../steering/slots.ts";

export interface HandedAppliance {
  readonly interfaces: readonly HandedInterface[];
  readonly workers: HandedWorkers;
  readonly slots: SlotsStanding;
  readonly totals: TotalsStanding;
  readonly generation: number;
  /** Of the threads that steer. Until a worker has its ends, it does not keep those from a CPU that have them. */
  readonly niceness: number;
  /** Of the hash that finds sessions. */
  readonly key: FlowKey;
  readonly forwarding: ForwardingStanding;
  /** Where answers to clients that keep their addresses are found; null, or missing in versions before: nowhere. */
  readonly kept?: HandedKept | null;
  /** Set by whoever takes over with other workers, rings or interfaces: sessions that each worker had. */
  readonly former?: { readonly sessions: number } | undefined;
}

/** Set for a process that is to take over. */
export const HANDOVER_VARIABLE = "XDPSTEER_HANDOVER";
/** Of this layout of messages. Another one is refused by whoever reads it. */
export const PROTOCOL = 1;

/** What the process that takes over is to put in force, where that is not just what the file holds by then. */
export interface Successor {
  readonly content: Uint8Array;
  /** What it is called in messages. */
  readonly name: string;
  /** Where it is not the file's. */
  readonly unfiled: Unfiled | null;
}

export interface Estate {
  readonly protocol: number;
  /** Of the process that gives. */
  readonly version: string;
  readonly pid: number;
  /** The configuration in force there. */
  readonly config: unknown;
  /** Null: it reads the file. */
  readonly successor: Successor | null;
  /** Of the lock that goes with the control socket; -1: there is none. */
  readonly lock: number;
  readonly appliance: HandedAppliance;
}

/** A message as text: JSON, in which bytes are strings of their own kind. */
export function encode(message: FromGiver | FromTaker | Testament): string {
  return JSON.stringify(message, (_, value) => value instanceof Uint8Array ? { $bytes: value.toHex() } : value);
}

export function decode(text: string): FromGiver | FromTaker | Testament {
  return JSON.parse(text, (_, value) => {
    const { $bytes: hex } = (value ?? {}) as { readonly $bytes?: unknown };
    return typeof hex === "string" ? Uint8Array.fromHex(hex) : value;
  });
}

/** Descriptors that go along with an estate. */
export class Descriptors {
  readonly fds: number[] = [];
  readonly add = (fd: number): number => fd < 0 ? -1 : this.fds.push(fd) - 1;
}

/** The same estate with the descriptors as this process has them. */
export function withDescriptors(estate: Estate, fds: readonly number[]): Estate {
  const own = (number: number): number => number < 0 ? -1 : fds[number] ?? -1;
  const { appliance } = estate;
  const { kept } = appliance;
  return {
    ...estate,
    lock: own(estate.lock),
    appliance: {
      ...appliance,
      workers: {
        ...appliance.workers,
        ownership: own(appliance.workers.ownership),
        counters: appliance.workers.counters.map(own),
        sessions: appliance.workers.sessions.map(({ rows, twins, liveOfBackend, backendCounts }) => ({
          rows: own(rows),
          twins: own(twins),
          liveOfBackend: own(liveOfBackend),
          backendCounts: own(backendCounts),
        })),
        wakeFds: appliance.workers.wakeFds.map(own),
      },
      ...(kept === undefined || kept === null ? {} : { kept: { ...kept, sets: own(kept.sets) } }),
      interfaces: appliance.interfaces.map((each) => ({
        ...each,
        link: own(each.link),
        program: { ...each.program, maps: each.program.maps.map(own) },
        queues: each.queues.map((queue) => ({
          ...queue,
          state: own(queue.state),
          umem: own(queue.umem),
          sockets: queue.sockets.map(own),
        })),
      })),
    },
  };
}

export interface Handover {
  /** adopted: this process went on with what one had that had crashed. */
  readonly result: "adopted" | "done" | "refused" | "rolled_back";
  readonly time: string;
  /** Of the new process. */
  readonly pid: number;
  /** By worker: for how long nobody looked at its rings, milliseconds. */
  readonly gapsMs: readonly number[];
  /** Why not; "" where it is done. */
  readonly reason: string;
}

/** What there has been, in this process and those before. */
export interface Handovers {
  readonly counts: Readonly<Record<Handover["result"], number>>;
  readonly last: Handover | null;
  /** Counters of the metrics that a process keeps for itself, by name and labels. */
  readonly carried: readonly (readonly [key: string, value: number])[];
  /** By interface: packets that the kernel could not redirect, by errno. */
  readonly redirectErrors: readonly (readonly (readonly [errno: string, packets: number])[])[];
}

/** What a process writes down for the one after a crash. */
export interface Testament {
  readonly type: "testament";
  /** When the process was started, by which it is told from another one with its number (proc(5), starttime). */
  readonly started: string;
  /** Descriptors that go along. */
  readonly descriptors: number;
  readonly estate: Estate;
  readonly handovers: Handovers;
}

/** What the two say to each other, in this order. */
export type FromGiver =
  | { readonly type: "estate"; readonly estate: Estate }
  /** Where workers are others: the links are free to be taken, and then the old ones finish what is in their rings. */
  | { readonly type: "link" }
  /** All workers' ends have changed hands, or were given up. */
  | { readonly type: "taken"; readonly departed?: readonly Departed[] | undefined }
  /** The control socket is free: it is yours. */
  | { readonly type: "serve"; readonly handovers: Handovers };

export type FromTaker =
  /**
   * Everything is there. What its workers sleep on goes along. `others`: its workers are others, and begin when all of
   * the old ones have given up; interfaces of these indexes it does not steer.
   */
  | { readonly type: "ready"; readonly others?: { readonly leaving: readonly number[] } | undefined }
  /** Where workers are others: its programs decide. */
  | { readonly type: "linked" }
  /** Its programs decide, and all of its workers turn. Where these are others: for how long nobody looked at rings. */
  | { readonly type: "healthy"; readonly gapsMs?: readonly number[] | undefined }
  /** It answers on the control socket: the old process may end. */
  | { readonly type: "serving" }
  | { readonly type: "failed"; readonly message: string; readonly hint?: string | undefined };
