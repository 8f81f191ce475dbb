/**
 * A rule, as every part of the program sees it.
 *
 * @module
 */
import type { Action } from "./action.ts";
import type { Addresses } from "./addresses.ts";
import { FORWARD_MODE_TABLE } from "./forward.ts";
import type { Sources } from "./guard.ts";
import type { Limit } from "./limit.ts";

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface Rule {
  readonly name: string;
  readonly ports: readonly PortRange[];
  /** Destination addresses of its packets. */
  readonly addresses: Addresses;
  /** Who may send to it, besides what guards all rules. */
  readonly sources?: Sources | undefined;
  /** A worker id, or `hash`: any worker, the same for all packets of a flow. */
  readonly worker: number | "hash";
  readonly action: Action;
  /**
   * What the XDP program does with first fragments of datagrams to its ports; the others, which carry no port, pass to
   * the kernel stack. The stack would put the datagram together and answer that nobody listens.
   */
  readonly fragments: "drop" | "pass";
  /** How much it takes. */
  readonly limit?: Limit | undefined;
  /** Where its packets are copied to. */
  readonly capture?: Capture | undefined;
}

/** Which of a rule's packets are copied to a file, and how much of each. */
export interface Capture {
  /** Path of the file being written; finished ones have a number before `.pcapng`. */
  readonly file: string;
  /** Most bytes kept of each packet. */
  readonly snap: number;
  /** Every how many packets of each worker one is captured. */
  readonly sample: number;
  readonly rotate: {
    /** Most bytes of a file. */
    readonly size: number;
    /** Most seconds of a file; null: no limit. */
    readonly seconds: number | null;
    /** Finished files that are kept. */
    readonly keep: number;
  };
}

/** Whether any of these rules needs translation ports. */
export function translates(rules: readonly Rule[]): boolean {
  return rules.some(({ action }) => action.kind === "forward" && FORWARD_MODE_TABLE[action.mode].translates);
}

/** `7777,27015-27030` */
export function formatPorts(ports: readonly PortRange[]): string {
  return ports.map(rangeText).join(",");
}

/** `7777` or `27015-27030` */
export function rangeText({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}
