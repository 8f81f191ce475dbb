/**
 * So many of something in a second, and of those only so many for one client.
 *
 * @module
 */
import { finishHash, mix } from "../packet/flow_hash.ts";
import { sourceOf, type UdpPacket } from "../packet/udp.ts";
import { ticksOf } from "../steering/session_row.ts";

const LITTLE = true;
const SECOND_TICKS = ticksOf(1000);
/** Clients share a bucket by chance only: the seed is unknown to them. */
const BUCKETS = 256;

/**
 * A number for a client: its IPv4 address, or the /64 of its IPv6 address, of which it may have any. Hot path: no
 * allocation.
 *
 * @param first The first word of the address; `second` the second, 0 for IPv4.
 */
export function clientNumber(first: number, second: number, seed: number): number {
  return finishHash(mix(mix(seed, first), second));
}

/** The {@linkcode clientNumber} of the sender of a packet. Hot path: no allocation. */
export function senderNumber(view: DataView, packet: UdpPacket, seed: number): number {
  const at = sourceOf(packet);
  return clientNumber(view.getInt32(at, LITTLE), packet.isIpv6 ? view.getInt32(at + 4, LITTLE) : 0, seed);
}

export class RateLimit {
  readonly #perSecond: number;
  readonly #perClient: number;
  #since = -SECOND_TICKS;
  #taken = 0;
  readonly #takenBy = new Uint8Array(BUCKETS);

  /** @param perClient At most 255. */
  constructor(perSecond: number, perClient: number) {
    this.#perSecond = perSecond;
    this.#perClient = perClient;
  }

  /**
   * False when this second's are used up, or those of this client. Hot path: no allocation.
   *
   * @param now Ticks.
   * @param client A {@linkcode clientNumber}.
   */
  hasRoom(now: number, client: number): boolean {
    if (now - this.#since >= SECOND_TICKS) {
      this.#since = now;
      this.#taken = 0;
      this.#takenBy.fill(0);
    }
    return this.#taken < this.#perSecond && this.#takenBy[client & (BUCKETS - 1)]! < this.#perClient;
  }

  /** Takes one. Parameters as of {@linkcode hasRoom}. Hot path: no allocation. @returns False when there is no room. */
  take(now: number, client: number): boolean {
    if (!this.hasRoom(now, client)) return false;
    this.#taken++;
    const bucket = client & (BUCKETS - 1);
    this.#takenBy[bucket] = this.#takenBy[bucket]! + 1;
    return true;
  }
}
