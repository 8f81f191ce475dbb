/**
 * A rule as steering sees it, free of where it was written.
 *
 * @module
 */

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export const ACTIONS = ["pass", "drop", "count", "echo"] as const;
/** `answer`: what comes to a worker's translation ports. */
export type Action = (typeof ACTIONS)[number] | "forward" | "answer";

/** Where packets of a rule go. */
export interface ForwardSpec {
  readonly to: readonly BackendSpec[];
  readonly mode: "nat" | "dsr";
  /** With dsr only; null: the port stays. */
  readonly remapPort: number | null;
  /** Seconds. */
  readonly idleTimeout: number;
  readonly noneLeft: "drop" | "pass";
}

export interface BackendSpec {
  /** The same text on every machine that is to choose alike. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly weight: number;
}

export interface Rule {
  readonly name: string;
  readonly ports: readonly PortRange[];
  /** A worker id, or `hash`: any worker, the same for all packets of a flow. */
  readonly worker: number | "hash";
  readonly action: Action;
  /** With action forward only. */
  readonly forward?: ForwardSpec;
  readonly capture?: CaptureSpec;
}

/** Which of a rule's packets are copied to a file, and how much of each. */
export interface CaptureSpec {
  readonly file: string;
  /** Bytes. */
  readonly snap: number;
  readonly sample: number;
  readonly rotate: { readonly size: number; readonly seconds: number | null; readonly keep: number };
}

/** Actions that end in the XDP program; the others reach a worker. */
export function endsInKernel(action: Action): boolean {
  return action === "pass" || action === "drop";
}

/** `7777,27015-27030` */
export function formatPorts(ports: readonly PortRange[]): string {
  return ports.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
