/**
 * The counters of an AF_XDP socket, in one table. The kernel's names and places are in ffi/uapi.ts.
 *
 * @module
 */
import type { XDP_STATISTICS } from "../ffi/uapi.ts";

export type SocketCounter = Exclude<keyof typeof XDP_STATISTICS, "size">;

export interface SocketCounterEntry {
  /** True where it counts packets for a worker that did not reach it. */
  readonly lost: boolean;
  /** False for what happens in ordinary operation. */
  readonly unusual: boolean;
  /** `queue`: the ring is the queue's, and each of its sockets reports the same number. */
  readonly of: "socket" | "queue";
  /** For operators: begins small and ends without a full stop. */
  readonly words: string;
}

export const SOCKET_COUNTER_TABLE: Readonly<Record<SocketCounter, SocketCounterEntry>> = {
  rx_dropped: { lost: true, unusual: true, of: "socket", words: "no free chunk, or the packet is larger than a chunk" },
  rx_invalid_descs: { lost: false, unusual: true, of: "socket", words: "an invalid desc in the fill ring" },
  tx_invalid_descs: { lost: false, unusual: true, of: "socket", words: "an invalid desc in the tx ring" },
  rx_ring_full: { lost: true, unusual: true, of: "socket", words: "the rx ring was full: the worker is too slow" },
  rx_fill_ring_empty_descs: {
    lost: false,
    unusual: true,
    of: "queue",
    words: "the fill ring was empty: does not count packets, but is a cause of rx_dropped",
  },
  tx_ring_empty_descs: {
    lost: false,
    unusual: false,
    of: "socket",
    words: "the kernel found nothing more to send; nothing is lost",
  },
};

export const SOCKET_COUNTERS = Object.keys(SOCKET_COUNTER_TABLE) as readonly SocketCounter[];

/** Counters of lost packets. */
export const LOST_COUNTERS = SOCKET_COUNTERS.filter((name) => SOCKET_COUNTER_TABLE[name].lost);

/** Packets that were redirected to a socket and lost there. */
export function lostPackets(statistics: Readonly<Record<SocketCounter, number>>): number {
  return LOST_COUNTERS.reduce((sum, name) => sum + statistics[name], 0);
}

/** Errors of a redirect that the socket has counted too, by xsk_rcv(). Before Linux 5.19, ENOSPC is all of them. */
const COUNTED_ERRORS: readonly string[] = ["ENOBUFS", "ENOMEM", "ENOSPC"];

/** Whether a redirect to a socket that failed with this is among {@linkcode LOST_COUNTERS}. */
export function isCountedAtSocket(errno: string): boolean {
  return COUNTED_ERRORS.includes(errno);
}

/**
 * Where several sockets of a queue are counted: whether this worker's socket tells something that the first one's does
 * not.
 */
export function tells(counter: SocketCounter, worker: number): boolean {
  return worker === 0 || SOCKET_COUNTER_TABLE[counter].of === "socket";
}
