/**
 * UDP sockets through FFI, many datagrams to a call (sendmmsg, recvmmsg): a source of test traffic fast enough to
 * matter, that knows exactly how many datagrams the kernel took. Nothing of the packet path uses it.
 *
 * @module
 */
import { syscallError } from "./errno.ts";
import { libc } from "./libc.ts";
import { MappedMemory } from "./memory.ts";
import { UAPI } from "./uapi.ts";

/** Constants of UDP sockets in their C spelling; tests/uapi checks them and the structs below. */
export const INET = {
  AF_INET: 2,
  AF_INET6: 10,
  SOL_SOCKET: 1,
  SO_RCVBUFFORCE: 33,
  SOL_IP: 0,
  IP_RECVERR: 11,
  SOL_IPV6: 41,
  IPV6_RECVERR: 25,
  SOL_UDP: 17,
  UDP_SEGMENT: 103,
} as const;

/** `struct sockaddr_in` */
export const SOCKADDR_IN = { size: 16, sin_family: 0, sin_port: 2, sin_addr: 4 } as const;

/** `struct sockaddr_in6` */
export const SOCKADDR_IN6 = { size: 28, sin6_family: 0, sin6_port: 2, sin6_addr: 8 } as const;

/** `struct iovec` on 64-bit machines. */
export const IOVEC = { size: 16, iov_base: 0, iov_len: 8 } as const;

/** `struct mmsghdr` on 64-bit machines, with the fields of the `struct msghdr` it begins with. */
export const MMSGHDR = {
  size: 64,
  msg_name: 0,
  msg_namelen: 8,
  msg_iov: 16,
  msg_iovlen: 24,
  msg_len: 56,
} as const;

/** Room for either kind of socket address. */
const NAME_STRIDE = 32;

/** An IP address in network byte order, 4 or 16 bytes, and a port. */
export interface SocketAddress {
  readonly address: Uint8Array;
  readonly port: number;
}

/** A `struct sockaddr_in` or `sockaddr_in6`. */
export function packAddress({ address, port }: SocketAddress): Uint8Array<ArrayBuffer> {
  const isIpv6 = address.length === 16;
  const bytes = new Uint8Array(isIpv6 ? SOCKADDR_IN6.size : SOCKADDR_IN.size);
  const view = new DataView(bytes.buffer);
  view.setUint16(SOCKADDR_IN.sin_family, isIpv6 ? INET.AF_INET6 : INET.AF_INET, true);
  view.setUint16(SOCKADDR_IN.sin_port, port);
  bytes.set(address, isIpv6 ? SOCKADDR_IN6.sin6_addr : SOCKADDR_IN.sin_addr);
  return bytes;
}

export interface UdpSocketOptions {
  /** Port 0 lets the kernel choose. */
  readonly local: SocketAddress;
  readonly receiveBufferBytes: number;
  /** Not 0: a message is cut into datagrams with payloads of this size (UDP_SEGMENT). */
  readonly segmentBytes: number;
}

/** A UDP socket with a local address. It is not connected: each message names its destination. */
export class UdpSocket implements Disposable {
  #fd: number;

  constructor({ local, receiveBufferBytes, segmentBytes }: UdpSocketOptions) {
    const { symbols, errno } = libc();
    const isIpv6 = local.address.length === 16;
    this.#fd = symbols.socket(isIpv6 ? INET.AF_INET6 : INET.AF_INET, UAPI.SOCK_DGRAM | UAPI.SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw syscallError("socket", errno[0]!, "open a UDP socket");
    // Without it a datagram that the interface's queue had no room for counts as sent.
    const [level, option] = isIpv6 ? [INET.SOL_IPV6, INET.IPV6_RECVERR] : [INET.SOL_IP, INET.IP_RECVERR];
    this.#setOption(level, option, 1);
    this.#setOption(INET.SOL_SOCKET, INET.SO_RCVBUFFORCE, receiveBufferBytes);
    if (segmentBytes > 0) this.#setOption(INET.SOL_UDP, INET.UDP_SEGMENT, segmentBytes);
    const address = packAddress(local);
    if (symbols.bind(this.#fd, address, address.byteLength) < 0) {
      const code = errno[0]!;
      this.close();
      throw syscallError("bind", code, `bind a UDP socket to port ${local.port}`);
    }
  }

  #setOption(level: number, option: number, value: number): void {
    const { symbols, errno } = libc();
    const bytes = new Uint8Array(new Uint32Array([value]).buffer);
    if (symbols.setsockopt(this.#fd, level, option, bytes, bytes.byteLength) === 0) return;
    const code = errno[0]!;
    this.close();
    throw syscallError("setsockopt", code, "set an option of a UDP socket");
  }

  /**
   * Sends the messages of some of a batch's slots, without waiting.
   *
   * @returns how many of them the kernel took, counted from `first`, or `-errno` where it took none.
   */
  send(batch: MessageBatch, first: number, count: number): number {
    const { symbols, errno } = libc();
    const result = symbols.sendmmsg(this.#fd, batch.pointers[first]!, count, UAPI.MSG_DONTWAIT);
    return result < 0 ? -errno[0]! : result;
  }

  /** Receives what waits, without waiting itself, into the first slots of a batch. @returns how many, or `-errno`. */
  receive(batch: MessageBatch): number {
    const { symbols, errno } = libc();
    const result = symbols.recvmmsg(this.#fd, batch.pointers[0]!, batch.slots, UAPI.MSG_DONTWAIT, null);
    return result < 0 ? -errno[0]! : result;
  }

  close(): void {
    if (this.#fd < 0) return;
    libc().symbols.close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Messages in memory that C sees: per slot a peer's address and room for a payload. Shared by any number of sockets.
 */
export class MessageBatch implements Disposable {
  readonly slots: number;
  /** Where each slot's `struct mmsghdr` is. */
  readonly pointers: readonly Deno.PointerObject[];
  readonly #memory: MappedMemory;
  readonly #view: DataView;
  readonly #vectorsAt: number;
  readonly #namesAt: number;
  readonly #payloadsAt: number;
  readonly #payloadBytes: number;

  /** @param peers One for each slot: where it is sent to, or, all of one family, room for who sent it. */
  constructor(peers: readonly SocketAddress[], payloadBytes: number) {
    this.slots = peers.length;
    this.#payloadBytes = payloadBytes;
    this.#vectorsAt = this.slots * MMSGHDR.size;
    this.#namesAt = this.#vectorsAt + this.slots * IOVEC.size;
    this.#payloadsAt = this.#namesAt + this.slots * NAME_STRIDE;
    this.#memory = MappedMemory.anonymous(this.#payloadsAt + this.slots * payloadBytes, "map UDP messages");
    const { address: base } = this.#memory.address;
    const bytes = new Uint8Array(this.#memory.view());
    this.#view = new DataView(bytes.buffer);
    this.pointers = peers.map((peer, slot) => {
      const header = slot * MMSGHDR.size;
      const vector = this.#vectorsAt + slot * IOVEC.size;
      const name = this.#namesAt + slot * NAME_STRIDE;
      const packed = packAddress(peer);
      bytes.set(packed, name);
      this.#view.setBigUint64(header + MMSGHDR.msg_name, base + BigInt(name), true);
      this.#view.setUint32(header + MMSGHDR.msg_namelen, packed.byteLength, true);
      this.#view.setBigUint64(header + MMSGHDR.msg_iov, base + BigInt(vector), true);
      this.#view.setBigUint64(header + MMSGHDR.msg_iovlen, 1n, true);
      this.#view.setBigUint64(vector + IOVEC.iov_base, base + BigInt(this.#payloadsAt + slot * payloadBytes), true);
      this.#view.setBigUint64(vector + IOVEC.iov_len, BigInt(payloadBytes), true);
      return Deno.UnsafePointer.create(base + BigInt(header))!;
    });
  }

  /** Sets how many bytes of a slot's payload are sent. */
  setLength(slot: number, bytes: number): void {
    this.#view.setUint32(this.#vectorsAt + slot * IOVEC.size + IOVEC.iov_len, bytes, true);
  }

  /** Writes a 64-bit number in network byte order into a slot's payload. */
  stamp(slot: number, offset: number, sequence: number): void {
    const at = this.#payloadsAt + slot * this.#payloadBytes + offset;
    this.#view.setUint32(at, Math.floor(sequence / 0x100000000));
    this.#view.setUint32(at + 4, sequence >>> 0);
  }

  /** The port of a slot's peer: after a receive, of who sent it. */
  peerPort(slot: number): number {
    return this.#view.getUint16(this.#namesAt + slot * NAME_STRIDE + SOCKADDR_IN.sin_port);
  }

  [Symbol.dispose](): void {
    this.#memory.close();
  }
}
