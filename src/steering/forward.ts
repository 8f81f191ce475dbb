/**
 * The settings of `action: forward`: backends, how packets get there, and how backends are checked.
 *
 * @module
 */

/** How a packet gets to a backend. The number of a mode, which workers know it by, is its place. */
export const FORWARD_MODE_TABLE = {
  nat: {
    translates: true,
    words: "translate addresses and ports, answers come back through here",
  },
  dsr: {
    translates: false,
    words:
      "change the MAC addresses and decrement the TTL, the backend has the service's address itself and answers the client directly",
  },
} as const satisfies Readonly<Record<string, ForwardModeEntry>>;

interface ForwardModeEntry {
  /**
   * True: backends see a translation port and answer to it. False: they see the client, and the service's port or
   * `remap_port`.
   */
  readonly translates: boolean;
  /** For operators: begins small and ends without a full stop. */
  readonly words: string;
}

export type ForwardMode = keyof typeof FORWARD_MODE_TABLE;
export const FORWARD_MODES = Object.keys(FORWARD_MODE_TABLE) as readonly ForwardMode[];

/** How a backend can be checked. The probes are in backends/health/. */
export const HEALTH_CHECK_TABLE = {
  udp: "send a datagram, expect an answer",
  tcp: "connect",
  icmp: "echo request",
} as const;
export type HealthCheckKind = keyof typeof HEALTH_CHECK_TABLE;
export const HEALTH_CHECKS = Object.keys(HEALTH_CHECK_TABLE) as readonly HealthCheckKind[];

/** Where packets of a rule go. */
export interface Forward {
  readonly to: readonly Backend[];
  readonly mode: ForwardMode;
  /**
   * In a mode that does not translate: the destination port that backends see instead of the service's; null: the
   * service's.
   */
  readonly remapPort: number | null;
  /** Seconds of silence after which a session is over. */
  readonly idleTimeout: number;
  /** Null: backends are taken to be healthy. */
  readonly health: HealthCheck | null;
  /** What becomes of packets while no backend is healthy: dropped, or left to the kernel stack. */
  readonly noneLeft: "drop" | "pass";
}

export interface Backend {
  /** Address and port as one text, the same on every machine that is to choose alike: `10.0.0.11:9000`. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly weight: number;
}

export interface HealthCheck {
  readonly check: HealthCheckKind;
  /** Null: the backend's own. */
  readonly port: number | null;
  /** Of udp: the datagram's text. */
  readonly send: string;
  /** Of udp: how the answer has to begin; null: any answer will do. */
  readonly expect: string | null;
  /** Seconds from the beginning of a check to that of the next, ± 5 %. */
  readonly interval: number;
  /** Seconds. */
  readonly timeout: number;
  /** Checks in a row that must succeed before an unhealthy backend is healthy. */
  readonly rise: number;
  /** Checks in a row that must fail before a healthy backend is unhealthy. */
  readonly fall: number;
}
