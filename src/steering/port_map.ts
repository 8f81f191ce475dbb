/**
 * Which rule and worker own each of the 65,536 ports: the form in which a configuration reaches the kernel and the workers.
 *
 * @module
 */
export const PORT_COUNT = 65536;

/** What the XDP program does with a port. The order is this module's own; bpf/port_table.ts maps it to the kernel's enum. */
export const PORT_ACTION = { none: 0, pass: 1, drop: 2, redirect: 3, spread: 4 } as const;

/** Columns indexed by port. */
export interface PortMap {
  /** One of {@linkcode PORT_ACTION}. */
  readonly action: Uint8Array;
  /** Rule slot; meaningful where the action is not none. */
  readonly rule: Uint16Array;
  /** Worker id; meaningful where the action is redirect. */
  readonly worker: Uint16Array;
}

export function emptyPortMap(): PortMap {
  return {
    action: new Uint8Array(PORT_COUNT),
    rule: new Uint16Array(PORT_COUNT),
    worker: new Uint16Array(PORT_COUNT),
  };
}
