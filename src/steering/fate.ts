/**
 * The fates of packets that reach a worker. Counters, metrics, `top`, the dashboard and the documents come from it.
 *
 * @module
 */

/** What operators are told about a fate. */
export interface FateEntry {
  /** True if the packet got what its rule asks for. All others were dropped. */
  readonly served: boolean;
  /** What happened, for operators: lower case, without a full stop. */
  readonly words: string;
}

/**
 * The fate of a packet that reached a worker; each packet has exactly one. Append new fates: counters are in this
 * order.
 */
export const FATE_TABLE = {
  counted: { served: true, words: "counted and discarded" },
  echoed: { served: true, words: "sent back to where it came from" },
  tx_ring_full: {
    served: false,
    words: "could not be sent: the tx ring or the other interface's packet memory is full",
  },
  unanswerable: {
    served: false,
    words: "from port 0, from or to an address that is not a single host's, or an echo to a port that would answer it",
  },
  unlisted: { served: false, words: "its port no longer has a rule" },
  malformed: { served: false, words: "not the UDP packet that the XDP program saw" },
  forwarded: { served: true, words: "sent to a backend" },
  returned: { served: true, words: "a backend's answer, sent back to its client" },
  no_backend: { served: false, words: "no healthy backend of the packet's IP version" },
  no_neighbour: { served: false, words: "no route to the backend, or its next hop does not answer" },
  no_session: {
    served: false,
    words: "an answer that belongs to no session: too late, or not from the backend that was asked",
  },
  sessions_full: {
    served: false,
    words: "no room for a session, no free translation port, or all backends have their `max_sessions`",
  },
  hops_exceeded: { served: false, words: "its TTL or hop limit is 1 or 0, so it must not be sent on" },
  too_big: {
    served: false,
    words: "larger than the MTU of the way out, or than a chunk of the other interface",
  },
  wrong_interface: {
    served: false,
    words: "a backend's answer, or a client's packet, by an interface or VLAN by which it should not come",
  },
  error_forwarded: { served: true, words: "an ICMP error about a backend's answer, sent to this backend" },
  error_returned: { served: true, words: "an ICMP error about a packet to a backend, sent to the packet's client" },
  error_unmatched: { served: false, words: "an ICMP error about a packet that no session has sent" },
  error_limited: { served: false, words: "an ICMP error more than may be sent on in a second" },
  interface_gone: { served: false, words: "the interface that it had to leave by is gone or not attached" },
  error_mtu_low: {
    served: false,
    words: "an ICMP error about an answer that names a path MTU below 1280 bytes, which would be all clients'",
  },
  no_client_header: {
    served: false,
    words: "an answer without the header of Simple Proxy Protocol that its client's packets had",
  },
  worker_failed: { served: false, words: "was in the hands of a worker that failed, and was replaced" },
} as const satisfies Readonly<Record<string, FateEntry>>;

export type Fate = keyof typeof FATE_TABLE;

/** In the order of their numbers. */
export const FATES = Object.keys(FATE_TABLE) as readonly Fate[];

/** The number of each fate, by which the data path counts. */
export const FATE = Object.fromEntries(FATES.map((name, number) => [name, number])) as Readonly<Record<Fate, number>>;

/** False also for a fate that this version does not know: an extra drop is better than a hidden one. */
export function isServed(fate: string): boolean {
  return Object.hasOwn(FATE_TABLE, fate) && FATE_TABLE[fate as Fate].served;
}
