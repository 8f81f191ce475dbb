/**
 * Tells senders by ICMP why their packets are not sent on, whichever side they are on, and not too often.
 *
 * @module
 */
import { type IcmpError, writeIcmpError, written } from "../packet/icmp_error.ts";
import { keepReturnLink, LINK_WORDS, writeLink } from "../packet/link_header.ts";
import type { UdpPacket } from "../packet/udp.ts";
import { RateLimit } from "./rate_limit.ts";

/** ICMP errors that one worker sends at most to each side; and as many that it sends on. */
export const ERRORS_PER_SECOND = 100;
/** Of these, as many as one client may cause: path MTU discovery and traceroute need a few. */
export const ERRORS_PER_CLIENT = 10;

/** The errors to one side: that of the clients must not use up those of the backends. */
export class IcmpErrors {
  /** Of the error that was written last: where its frame starts, and how long it is. */
  addr = 0;
  length = 0;
  readonly #link = new Int32Array(LINK_WORDS);
  readonly #linkBytes = new DataView(this.#link.buffer);
  readonly #limit = new RateLimit(ERRORS_PER_SECOND, ERRORS_PER_CLIENT);

  /**
   * Writes an error about a packet, to be sent back by the socket it came from, in the packet's place. Hot path: no
   * allocation.
   *
   * @param packet Between two single hosts (isAnswerable()), as it was received.
   * @param mtu See {@linkcode writeIcmpError}.
   * @param now Ticks.
   * @param client A {@linkcode clientNumber}: of its sender, or of the client that it answers.
   * @returns False where its sender is not told.
   */
  write(view: DataView, packet: UdpPacket, error: IcmpError, mtu: number, now: number, client: number): boolean {
    if (!this.#limit.hasRoom(now, client)) return false;
    // The error is written over the packet's link header.
    const linkBytes = keepReturnLink(view, packet, this.#linkBytes, 0);
    if (!writeIcmpError(view, packet, error, mtu)) return false;
    this.#limit.take(now, client);
    writeLink(view, written.ip, this.#link, 0);
    this.addr = written.ip - linkBytes;
    this.length = linkBytes + written.bytes;
    return true;
  }
}
