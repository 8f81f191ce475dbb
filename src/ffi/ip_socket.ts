/**
 * Sockets of the kernel's own stack that are connected to one peer and never wait: UDP, TCP, and ICMP echo. With one
 * peer each, a UDP or ICMP socket hears what the network says of that peer (a port or host that is unreachable), which
 * Deno's own do not tell. For control work, a few calls a second.
 *
 * @module
 */
import { ERRNO, syscallError } from "./errno.ts";
import { bindSocket, libc, takeSocketError } from "./libc.ts";
import { INET, packAddress, type SocketAddress } from "./udp.ts";
import { UAPI } from "./uapi.ts";

/** Constants of these sockets in their C spelling; tests/uapi checks them. */
export const IP_SOCKET = {
  SOCK_STREAM: 1,
  SOCK_NONBLOCK: 0o4000,
  IPPROTO_ICMP: 1,
  IPPROTO_ICMPV6: 58,
  SOL_RAW: 255,
  ICMP_FILTER: 1,
  SOL_ICMPV6: 58,
  ICMP6_FILTER: 1,
  ICMP_ECHOREPLY: 0,
  ICMP_ECHO: 8,
  ICMP6_ECHO_REQUEST: 128,
  ICMP6_ECHO_REPLY: 129,
} as const;

export class IpSocket implements Disposable {
  #fd: number;

  private constructor(fd: number, readonly peer: SocketAddress) {
    this.#fd = fd;
  }

  static #open(peer: SocketAddress, type: number, protocol: number, what: string): IpSocket {
    const { symbols, errno } = libc();
    const flags = IP_SOCKET.SOCK_NONBLOCK | UAPI.SOCK_CLOEXEC;
    const fd = symbols.socket(isIpv6(peer) ? INET.AF_INET6 : INET.AF_INET, type | flags, protocol);
    if (fd < 0) throw syscallError("socket", errno[0]!, what);
    return new IpSocket(fd, peer);
  }

  /** @throws {SyscallError} where this process gets no socket. */
  static tcp(peer: SocketAddress): IpSocket {
    return IpSocket.#open(peer, IP_SOCKET.SOCK_STREAM, 0, "open a TCP socket");
  }

  /** @throws {SyscallError} where this process gets no socket. */
  static udp(peer: SocketAddress): IpSocket {
    const socket = IpSocket.#open(peer, UAPI.SOCK_DGRAM, 0, "open a UDP socket");
    socket.#hearErrors();
    return socket;
  }

  /**
   * An ICMP socket that gets echo replies. `isRaw` says of which kind: a raw one needs CAP_NET_RAW, sees the replies to
   * everybody's requests to this peer, and over IPv4 begins each message with the IP header and leaves the checksum to
   * us.
   *
   * @throws {SyscallError} where this process gets neither.
   */
  static icmp({ address }: SocketAddress): { readonly socket: IpSocket; readonly isRaw: boolean } {
    const peer = { address, port: 0 };
    const protocol = isIpv6(peer) ? IP_SOCKET.IPPROTO_ICMPV6 : IP_SOCKET.IPPROTO_ICMP;
    let socket: IpSocket;
    let isRaw = false;
    try {
      // The kernel hands such a one its own replies only. Who may have one is in net.ipv4.ping_group_range: often
      // nobody.
      socket = IpSocket.#open(peer, UAPI.SOCK_DGRAM, protocol, "open an ICMP echo socket");
    } catch {
      socket = IpSocket.#open(peer, UAPI.SOCK_RAW, protocol, "open a raw ICMP socket");
      isRaw = true;
      socket.#hearRepliesOnly();
    }
    socket.#hearErrors();
    return { socket, isRaw };
  }

  /** Without it a UDP socket hears only of ports that are unreachable, and the others of nothing. */
  #hearErrors(): void {
    if (isIpv6(this.peer)) this.#setOption(INET.SOL_IPV6, INET.IPV6_RECVERR, new Uint32Array([1]));
    else this.#setOption(INET.SOL_IP, INET.IP_RECVERR, new Uint32Array([1]));
  }

  /** In both filters a bit that is set keeps its type out. */
  #hearRepliesOnly(): void {
    const { SOL_ICMPV6, ICMP6_FILTER, ICMP6_ECHO_REPLY, SOL_RAW, ICMP_FILTER, ICMP_ECHOREPLY } = IP_SOCKET;
    if (isIpv6(this.peer)) {
      const filter = new Uint32Array(8).fill(0xffffffff);
      filter[ICMP6_ECHO_REPLY >> 5]! &= ~(1 << (ICMP6_ECHO_REPLY & 31));
      this.#setOption(SOL_ICMPV6, ICMP6_FILTER, filter);
    } else {
      this.#setOption(SOL_RAW, ICMP_FILTER, new Uint32Array([~(1 << ICMP_ECHOREPLY)]));
    }
  }

  #setOption(level: number, option: number, words: Uint32Array<ArrayBuffer>): void {
    const { symbols, errno } = libc();
    if (symbols.setsockopt(this.#fd, level, option, words, words.byteLength) === 0) return;
    const code = errno[0]!;
    this.close();
    throw syscallError("setsockopt", code, "set an option of a socket");
  }

  get fd(): number {
    return this.#fd;
  }

  /** Gives it a port of its own, at every address of the box. @returns 0 or `-errno`. */
  bind(port: number): number {
    return bindSocket(this.#fd, packAddress({ address: new Uint8Array(this.peer.address.length), port }));
  }

  /** @returns 0 or `-errno`; `-EINPROGRESS` of a TCP socket that will be writable when it is decided. */
  connect(): number {
    const { symbols, errno } = libc();
    const address = packAddress(this.peer);
    const result = symbols.connect(this.#fd, address, address.byteLength);
    return result < 0 ? -errno[0]! : 0;
  }

  /** What became of a TCP connection that was in progress: 0 or `-errno`. */
  takeError(): number {
    return takeSocketError(this.#fd);
  }

  /** @returns bytes sent, or `-errno`, which may be an earlier message's. */
  send(message: Uint8Array<ArrayBuffer>): number {
    const { symbols, errno } = libc();
    const { MSG_DONTWAIT } = UAPI;
    const result = symbols.send_datagram(this.#fd, message, BigInt(message.byteLength), MSG_DONTWAIT, null, 0);
    return result < 0 ? -errno[0]! : result;
  }

  /**
   * Takes one message, or as much of it as there is room for. @returns bytes, or `-errno`: `-EAGAIN` where there is
   * none.
   */
  receive(into: Uint8Array<ArrayBuffer>): number {
    const { symbols, errno } = libc();
    const result = symbols.recv(this.#fd, into, BigInt(into.byteLength), UAPI.MSG_DONTWAIT);
    return result < 0 ? -errno[0]! : result;
  }

  /** Whether there is neither a message nor an error to be taken. What there is, or a part of it, is taken. */
  isQuiet(): boolean {
    return this.receive(new Uint8Array(1)) === -ERRNO.EAGAIN;
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

function isIpv6({ address }: SocketAddress): boolean {
  return address.length === 16;
}
