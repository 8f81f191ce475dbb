/**
 * The fates of packets that reach a worker.
 *
 * @module
 */

/** What finally became of a packet that reached a worker. Each has exactly one. */
export const FATE = {
  /** By the rule's action. */
  counted: 0,
  /** Turned round and given to the tx ring. */
  echoed: 1,
  /** To be sent, but the tx ring was full: dropped. */
  tx_ring_full: 2,
  /**
   * To be echoed or forwarded, but from or to an address that is not a single host's, from port 0, or an echo to a port that would
   * answer it: dropped.
   */
  unanswerable: 3,
  /** Its port has no rule any more: dropped. */
  unlisted: 4,
  /** Not the UDP packet the XDP program saw: dropped. */
  malformed: 5,
  /** Translated and sent to a backend. */
  forwarded: 6,
  /** A backend's answer, translated back and sent to its client. */
  returned: 7,
  /** The rule has no healthy backend of the packet's IP version: dropped. */
  no_backend: 8,
  /** The link address of the backend's next hop is not known: dropped. */
  no_neighbour: 9,
  /** For a translation port, but of no session there is: dropped. */
  no_session: 10,
  /** No room for one more session, or no translation port: dropped. */
  sessions_full: 11,
  /** To be echoed or forwarded, but its TTL or hop limit is used up: dropped. */
  hops_exceeded: 12,
  /** Larger than the way out allows, or than a chunk of the other interface: dropped. A client is told by ICMP. */
  too_big: 13,
} as const;
export type Fate = keyof typeof FATE;
export const FATES = Object.keys(FATE) as readonly Fate[];
