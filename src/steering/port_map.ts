/**
 * Which rule and worker own each of the 65,536 ports: the form in which a configuration reaches the kernel.
 *
 * @module
 */
import type { Addresses } from "./addresses.ts";
import type { RuleGuard } from "./rule_guard.ts";

export const PORT_COUNT = 65536;

/**
 * What the XDP program does with a port. The order is this module's own; bpf/port_table.ts maps it to the kernel's
 * enum.
 */
export const PORT_ACTION = { pass: 0, drop: 1, redirect: 2, spread: 3, deliver: 4 } as const;
export type PortAction = typeof PORT_ACTION[keyof typeof PORT_ACTION];

/** Ports that are treated alike, both ends among them. */
export interface PortOwner {
  readonly first: number;
  readonly last: number;
  /** Destination addresses of the packets. */
  readonly addresses: Addresses;
  readonly action: PortAction;
  /** True where ICMP errors about packets from the port go to its worker. */
  readonly errors: boolean;
  /** True where first fragments of datagrams to the port are dropped. */
  readonly dropsFragments: boolean;
  /** What is asked before a packet is taken; undefined: nothing. */
  readonly guard?: RuleGuard | undefined;
  /** Rule slot. */
  readonly rule: number;
  /** Worker id; meaningful where the action is redirect. */
  readonly worker: number;
  /** Where the action is deliver: the port that packets go to instead; the same for all owners of a rule. */
  readonly deliverTo?: number | undefined;
}

/** All ports that are listed. Owners of the same port have no address in common that a list or `any` names. */
export type PortMap = readonly PortOwner[];
