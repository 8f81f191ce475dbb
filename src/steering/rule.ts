/**
 * A rule as steering sees it, free of where it was written.
 *
 * @module
 */

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export type Action = "pass" | "drop" | "count" | "echo";

export interface Rule {
  readonly name: string;
  readonly ports: readonly PortRange[];
  /** A worker id, or `hash`: any worker, the same for all packets of a flow. */
  readonly worker: number | "hash";
  readonly action: Action;
}

/** Actions that end in the XDP program; the others reach a worker. */
export function endsInKernel(action: Action): boolean {
  return action === "pass" || action === "drop";
}

/** `7777,27015-27030` */
export function formatPorts(ports: readonly PortRange[]): string {
  return ports.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
