/**
 * ICMP echo: ping.
 *
 * @module
 */
import { ERRNO } from "../../ffi/errno.ts";
import { IP_SOCKET, IpSocket } from "../../ffi/ip_socket.ts";
import type { SocketAddress } from "../../ffi/udp.ts";
import { UAPI } from "../../ffi/uapi.ts";
import { failure, type Outcome, type Probe } from "./probe.ts";

/** ICMP's and ICMPv6's echo alike: type, code, checksum, identifier, sequence number, then what is to come back. */
const HEADER_BYTES = 8;
const CHECKSUM_AT = 2;
const IDENTIFIER_AT = 4;
const SEQUENCE_AT = 6;
/** Random: how an answer to us is told from one to somebody else. A socket may have its identifier from the kernel. */
const COOKIE_BYTES = 16;

/** Messages for others that one look passes over; a later look goes on. */
const MAX_OTHERS = 32;

const received = new Uint8Array(2048);

export class EchoProbe implements Probe {
  readonly events = UAPI.POLLIN;
  readonly silence = "no answer";
  readonly #isIpv6: boolean;
  readonly #request = new Uint8Array(HEADER_BYTES + COOKIE_BYTES);
  readonly #view = new DataView(this.#request.buffer);
  #sequence = 0;
  #socket: IpSocket | undefined;
  #isRaw = false;

  constructor(private readonly peer: SocketAddress) {
    this.#isIpv6 = peer.address.length === 16;
    crypto.getRandomValues(this.#request.subarray(IDENTIFIER_AT));
    this.#request[0] = this.#isIpv6 ? IP_SOCKET.ICMP6_ECHO_REQUEST : IP_SOCKET.ICMP_ECHO;
  }

  get fd(): number {
    return this.#socket?.fd ?? -1;
  }

  start(): Outcome | undefined {
    // News of the last check, or a raw socket's of somebody else's.
    if (this.#socket?.isQuiet() === false) this.reset();
    if (this.#socket === undefined) {
      const { socket, isRaw } = IpSocket.icmp(this.peer);
      this.#socket = socket;
      this.#isRaw = isRaw;
      const connected = socket.connect();
      if (connected < 0) return failure("connect", connected);
    }
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#view.setUint16(SEQUENCE_AT, this.#sequence);
    // The kernel computes it but over raw IPv4. Over IPv6 it knows the addresses that belong to it, and we do not.
    this.#view.setUint16(CHECKSUM_AT, 0);
    if (!this.#isIpv6) this.#view.setUint16(CHECKSUM_AT, internetChecksum(this.#view));
    const sent = this.#socket.send(this.#request);
    return sent < 0 ? failure("send", sent) : undefined;
  }

  look(): Outcome | undefined {
    for (let count = 0; count < MAX_OTHERS; count++) {
      const length = this.#socket!.receive(received);
      if (length === -ERRNO.EAGAIN) return undefined;
      if (length < 0) return failure("recv", length);
      if (this.#isReply(received.subarray(0, length))) return { succeeded: true, reason: "answered" };
    }
    return undefined;
  }

  #isReply(message: Uint8Array): boolean {
    // A raw socket of IPv4 hands over the IP header too; its low four bits are its length in words.
    const start = this.#isRaw && !this.#isIpv6 ? ((message[0] ?? 0) & 15) * 4 : 0;
    const echo = message.subarray(start);
    const type = this.#isIpv6 ? IP_SOCKET.ICMP6_ECHO_REPLY : IP_SOCKET.ICMP_ECHOREPLY;
    if (echo.length !== this.#request.length || echo[0] !== type || echo[1] !== 0) return false;
    for (let at = SEQUENCE_AT; at < echo.length; at++) {
      if (echo[at] !== this.#request[at]) return false;
    }
    return true;
  }

  reset(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}

/** RFC 1071, of an even number of bytes. */
function internetChecksum(view: DataView): number {
  let sum = 0;
  for (let at = 0; at < view.byteLength; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
