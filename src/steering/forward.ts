/**
 * The settings of `action: forward`: backends, how packets are sent to them, and how they are checked.
 *
 * @module
 */
import type { Payload } from "./payload.ts";

/** How packets are sent to a backend. Workers know a mode by its position in this table. */
export const FORWARD_MODE_TABLE = {
  nat: {
    translates: true,
    words: "translate addresses and ports, answers come back through here",
  },
  dsr: {
    translates: false,
    words:
      "change the MAC addresses and decrement the TTL, the backend has the service's address itself and answers the " +
      "client directly",
  },
} as const satisfies Readonly<Record<string, ForwardModeEntry>>;

interface ForwardModeEntry {
  /**
   * True: backends see a translation port and answer to it. False: they see the client's address, and the service's
   * port or `remap_port`.
   */
  readonly translates: boolean;
  /** For operators: lower case, without a full stop. */
  readonly words: string;
}

/** How a backend is told who the client is, in a mode that translates. */
export const CLIENT_ADDRESS_TABLE = {
  none: "it sees the box's address only",
  proxy_v2: "a header of PROXY protocol version 2 precedes the payload of every datagram",
  proxy_v2_first: "it precedes the payload of a session's first datagram to the backend only",
  simple_proxy:
    "Cloudflare's Simple Proxy Protocol for UDP: 38 bytes precede the payload of every datagram, and have to precede " +
    "the payload of each answer, from which they are removed",
} as const;
export type ClientAddress = keyof typeof CLIENT_ADDRESS_TABLE;
export const CLIENT_ADDRESSES = Object.keys(CLIENT_ADDRESS_TABLE) as readonly ClientAddress[];

/** Whom a backend sees as the source of packets, in a mode that translates. */
export const SOURCE_TABLE = {
  box: "the box, at a translation port",
  client: "the client, at its own address and port; the backend's route to clients has to lead back through the box",
} as const;
export type PacketSource = keyof typeof SOURCE_TABLE;
export const PACKET_SOURCES = Object.keys(SOURCE_TABLE) as readonly PacketSource[];

/** What packets to a backend are wrapped in, in a mode that does not translate. */
export const TUNNEL_TABLE = {
  ipip: "IP in IP",
  gue: "Generic UDP Encapsulation, to port 6080 of the backend",
  gre: "GRE, without key and checksum",
} as const;
export type Tunnel = keyof typeof TUNNEL_TABLE;
export const TUNNELS = Object.keys(TUNNEL_TABLE) as readonly Tunnel[];

export type ForwardMode = keyof typeof FORWARD_MODE_TABLE;
export const FORWARD_MODES = Object.keys(FORWARD_MODE_TABLE) as readonly ForwardMode[];

/** What a packet's backend is chosen by. */
export const AFFINITY_TABLE = {
  flow: "addresses and ports, the packets of a session go to one backend",
  source: "the client's address, all sessions of a client go to one backend",
  none: "nothing, each packet goes to the next backend by weight",
} as const;
export type Affinity = keyof typeof AFFINITY_TABLE;
export const AFFINITIES = Object.keys(AFFINITY_TABLE) as readonly Affinity[];

/** The kinds of health checks. The probes are in backends/health/. */
export const HEALTH_CHECK_TABLE = {
  udp: "send a datagram and expect an answer",
  tcp: "connect",
  icmp: "send an echo request",
  dns: "send a query and expect an answer to it other than SERVFAIL or REFUSED",
} as const;
export type HealthCheckKind = keyof typeof HEALTH_CHECK_TABLE;
export const HEALTH_CHECKS = Object.keys(HEALTH_CHECK_TABLE) as readonly HealthCheckKind[];

/** Types of records that a dns check may ask for, with their numbers. */
export const DNS_TYPES = { A: 1, NS: 2, SOA: 6, MX: 15, TXT: 16, AAAA: 28, SRV: 33 } as const;
export type DnsType = keyof typeof DNS_TYPES;

/** Where the packets of a rule are sent. */
export interface Forward {
  /** Those with an address. */
  readonly to: readonly Backend[];
  /** Those that are looked up. */
  readonly names: readonly BackendName[];
  readonly mode: ForwardMode;
  /**
   * In a mode that does not translate: the destination port that backends receive packets on; null: the service's port.
   */
  readonly remapPort: number | null;
  /** How backends are told who the client is; `none` in a mode that does not translate. */
  readonly clientAddress: ClientAddress;
  /** Whom backends see as the source of packets; `box` in a mode that does not translate. */
  readonly source: PacketSource;
  /** What packets to backends are wrapped in; null: nothing, as always in a mode that translates. */
  readonly tunnel: Tunnel | null;
  /** Seconds without a packet after which a session ends. */
  readonly idleTimeout: number;
  /** Seconds that sessions may continue with a backend that is removed from the rule. */
  readonly drainTimeout: number;
  readonly affinity: Affinity;
  /** Answers to each of a client's packets after which a session ends; null: it ends by silence only. */
  readonly answers: number | null;
  /** Seconds in which a backend that comes, or comes back, gets its whole share; null: it gets it at once. */
  readonly slowStart: number | null;
  /** With fewer healthy backends than this part, in percent, all are used; null: only healthy ones ever. */
  readonly failOpen: number | null;
  /** Null: backends count as healthy. */
  readonly health: HealthCheck | null;
  /** Undefined: what clients' packets meet with does not count against backends. */
  readonly passive?: Passive | undefined;
  /** What happens to packets while no backend is healthy: drop, or pass to the kernel stack. */
  readonly noneLeft: "drop" | "pass";
}

export interface Backend {
  /**
   * Address and ports, like `10.0.0.11:9000`, `10.0.0.11:9000-9999` or `10.0.0.11`. Machines that should choose the
   * same backends need the same spelling.
   */
  readonly name: string;
  readonly address: string;
  /** 0: packets keep the port that they came for. */
  readonly port: number;
  /**
   * The last port of a range that begins with `port`: as many ports as the rule has, in the same order. Undefined: all
   * packets go to `port`.
   */
  readonly lastPort?: number;
  /** The port that checks ask where the backend has none of its own: the rule's first. */
  readonly checkPort?: number;
  /** Its share of new sessions; 0: it gets none. */
  readonly weight: number;
  /** It gets no new session while it has so many; undefined: as many as there are. */
  readonly maxSessions?: number;
  /** It gets new sessions only where no other backend may have them. */
  readonly backup?: true;
  /** True: it gets no new sessions. */
  readonly drain?: true;
}

/** What the configuration has by name: each address that it means is a backend with these settings. */
export interface BackendName extends Omit<Backend, "address" | "port"> {
  /**
   * `game.example.com:7777`, with a range or without a port as an address has it, or `_game._udp.example.com` of an SRV
   * record.
   */
  readonly name: string;
  readonly host: string;
  /** Null: the SRV record of the host says it. */
  readonly port: number | null;
}

/** When a backend is taken to be unhealthy by what clients' packets meet with. */
export interface Passive {
  /** So many sessions that it does not answer, or so many ICMP errors. */
  readonly noAnswer: number;
  /** Seconds. */
  readonly within: number;
  /** Whether ICMP errors count that say that it cannot be reached. */
  readonly unreachable: boolean;
  /** Seconds after which it is used again where there is no active check. */
  readonly pause: number;
}

export interface HealthCheck {
  readonly check: HealthCheckKind;
  /** Null: the backend's port. */
  readonly port: number | null;
  /** For dns: the name that is asked for, and the type of record. */
  readonly name?: string | undefined;
  readonly type?: DnsType | undefined;
  /** For udp: the payload of the datagram. */
  readonly send: Payload;
  /** For udp: what the answer must begin with; null: any answer is accepted. */
  readonly expect: Payload | null;
  /** Seconds from the start of one check to the start of the next, ± 5 %. */
  readonly interval: number;
  /** Seconds to wait for an answer. */
  readonly timeout: number;
  /** Successful checks in a row that make an unhealthy backend healthy. */
  readonly rise: number;
  /** Failed checks in a row that make a healthy backend unhealthy. */
  readonly fall: number;
}
