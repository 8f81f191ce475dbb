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
  /** To be echoed, but to a group address or from port 0: dropped. */
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
  /** It has no hop left to live: dropped. */
  hops_exceeded: 12,
  /** Larger than the way to the backend allows: dropped, and its sender told by ICMP. */
  too_big: 13,
} as const;
export type Fate = keyof typeof FATE;
export const FATES = Object.keys(FATE) as readonly Fate[];
