/**
 * The fates of packets that reach a worker, in one table. Counters, metrics, `top`, the dashboard and the documents
 * come from it.
 *
 * @module
 */

/** What is told of a fate. */
export interface FateEntry {
  /** True where the packet got what its rule asks for. All others were dropped. */
  readonly served: boolean;
  /** What happened, for operators: begins small and ends without a full stop. */
  readonly words: string;
}

/**
 * What finally became of a packet that reached a worker. Each packet has exactly one. New ones go last: counters are in
 * this order.
 */
export const FATE_TABLE = {
  counted: { served: true, words: "counted and discarded" },
  echoed: { served: true, words: "sent back to where it came from" },
  tx_ring_full: {
    served: false,
    words: "nothing could be sent: a tx ring, or the other interface's packet memory, is full",
  },
  unanswerable: {
    served: false,
    words: "from or to an address that is not a single host's, from port 0, or an echo to a port that would answer it",
  },
  unlisted: { served: false, words: "its port has no rule any more" },
  malformed: { served: false, words: "not the UDP packet that the XDP program saw" },
  forwarded: { served: true, words: "sent to a backend" },
  returned: { served: true, words: "a backend's answer, sent back to its client" },
  no_backend: { served: false, words: "no healthy backend of the packet's IP version" },
  no_neighbour: { served: false, words: "no route to the backend, or its next hop does not answer" },
  no_session: {
    served: false,
    words: "an answer that belongs to no session: too late, or not from the backend that was asked",
  },
  sessions_full: { served: false, words: "no room for a session, or no translation port is free" },
  hops_exceeded: { served: false, words: "its TTL or hop limit is used up" },
  too_big: {
    served: false,
    words: "larger than the way out allows, or than a chunk of the other interface; a client is told by ICMP",
  },
} as const satisfies Readonly<Record<string, FateEntry>>;

export type Fate = keyof typeof FATE_TABLE;

/** In the order of their numbers. */
export const FATES = Object.keys(FATE_TABLE) as readonly Fate[];

/** The number of each fate: what the data path counts by. */
export const FATE = Object.fromEntries(FATES.map((name, number) => [name, number])) as Readonly<Record<Fate, number>>;

/** False also for a fate that this version does not know: better one drop too many than one unseen. */
export function isServed(fate: string): boolean {
  return Object.hasOwn(FATE_TABLE, fate) && FATE_TABLE[fate as Fate].served;
}
