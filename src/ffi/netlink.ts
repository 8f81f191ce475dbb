/**
 * rtnetlink sockets through FFI: requests with their answers, and the kernel's word of what changes. For set-up and
 * control only.
 *
 * @module
 */
import { ERRNO, syscallError } from "./errno.ts";
import { bindSocket, closeFd, libc } from "./libc.ts";
import { messagesIn, type NetlinkMessage, viewOf } from "./netlink_message.ts";
import { NETLINK, NLMSGHDR, SOCKADDR_NL } from "./netlink_uapi.ts";
import { UAPI } from "./uapi.ts";

/** The kernel fills at most 32 KiB at a time. */
const BUFFER_BYTES = 1 << 16;
/** Room for a burst of some 5,000 changes; the kernel counts about 1 KiB for each. */
const RECEIVE_BUFFER_BYTES = 1 << 22;

const FOLLOW = "follow the kernel's routes and neighbours";

/** How a request ended. */
export interface NetlinkAnswer {
  /** 0, or the positive errno the kernel refused with. */
  readonly errno: number;
  /** True where what was dumped changed meanwhile, so that something may be missing: dump again. */
  readonly interrupted: boolean;
}

/** One rtnetlink socket. It never waits: the kernel has answered a request when its send returns. */
export class NetlinkSocket implements Disposable {
  #fd: number;
  #sequence = 0;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);

  /**
   * @param groups `RTNLGRP_*` to subscribe to; a socket for requests has none.
   * @throws {SyscallError}
   */
  constructor(groups: readonly number[] = []) {
    const { symbols, errno } = libc();
    this.#fd = symbols.socket(NETLINK.AF_NETLINK, UAPI.SOCK_RAW | UAPI.SOCK_CLOEXEC, NETLINK.NETLINK_ROUTE);
    if (this.#fd < 0) throw syscallError("socket(AF_NETLINK)", errno[0]!, "ask the kernel for its routes");
    if (groups.length === 0) return;
    // What an ordinary user may not have is no error: an overrun is noticed.
    if (this.#setOption(NETLINK.SOL_SOCKET, NETLINK.SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES) !== 0) {
      this.#setOption(NETLINK.SOL_SOCKET, NETLINK.SO_RCVBUF, RECEIVE_BUFFER_BYTES);
    }
    this.#bind();
    for (const group of groups) {
      const code = this.#setOption(NETLINK.SOL_NETLINK, NETLINK.NETLINK_ADD_MEMBERSHIP, group);
      if (code === 0) continue;
      this.close();
      throw syscallError("setsockopt(NETLINK_ADD_MEMBERSHIP)", code, FOLLOW);
    }
  }

  get fd(): number {
    return this.#fd;
  }

  /** Has the kernel choose an address: a socket without one is told of nothing. */
  #bind(): void {
    const address = new Uint8Array(SOCKADDR_NL.size);
    viewOf(address).setUint16(SOCKADDR_NL.nl_family, NETLINK.AF_NETLINK, true);
    const result = bindSocket(this.#fd, address);
    if (result === 0) return;
    this.close();
    throw syscallError("bind(AF_NETLINK)", -result, FOLLOW);
  }

  /** @returns 0 or a positive errno. */
  #setOption(level: number, option: number, value: number): number {
    const { symbols, errno } = libc();
    const bytes = new Uint8Array(new Uint32Array([value]).buffer);
    return symbols.setsockopt(this.#fd, level, option, bytes, bytes.length) < 0 ? errno[0]! : 0;
  }

  /**
   * Sends a request and reads its whole answer.
   *
   * @param message Made by `encodeMessage`; its sequence number is overwritten.
   * @param onMessage Called with each message of the answer but the one that ends it.
   * @throws {SyscallError} where the socket fails; what the kernel says to the request is in the answer.
   */
  request(
    message: Uint8Array<ArrayBuffer>,
    what: string,
    onMessage?: (message: NetlinkMessage) => void,
  ): NetlinkAnswer {
    const { symbols, errno } = libc();
    const header = viewOf(message);
    const sequence = this.#sequence = (this.#sequence + 1) >>> 0;
    header.setUint32(NLMSGHDR.nlmsg_seq, sequence, true);
    const acknowledged = (header.getUint16(NLMSGHDR.nlmsg_flags, true) & NETLINK.NLM_F_ACK) !== 0;
    const length = BigInt(message.length);
    const sent = symbols.send_datagram(this.#fd, message, length, UAPI.MSG_DONTWAIT, null, 0);
    if (sent < 0) throw syscallError("sendto(AF_NETLINK)", errno[0]!, what);
    let interrupted = false;
    while (true) {
      const received = this.#receive();
      if (typeof received === "number") throw syscallError("recv(AF_NETLINK)", received, what);
      for (const answer of messagesIn(received)) {
        if (answer.sequence !== sequence) continue;
        interrupted ||= (answer.flags & NETLINK.NLM_F_DUMP_INTR) !== 0;
        if (answer.type === NETLINK.NLMSG_ERROR || answer.type === NETLINK.NLMSG_DONE) {
          // Both begin with 0 or -errno.
          return { errno: answer.body.length < 4 ? 0 : -viewOf(answer.body).getInt32(0, true), interrupted };
        }
        onMessage?.(answer);
        if (!acknowledged && (answer.flags & NETLINK.NLM_F_MULTI) === 0) return { errno: 0, interrupted };
      }
    }
  }

  /**
   * What the kernel told the groups, one batch a call.
   *
   * @returns The messages; undefined where there are none now; "overrun" where the kernel had to leave some out, so
   * that what is known of it is no longer true.
   * @throws {SyscallError}
   */
  receive(): Iterable<NetlinkMessage> | "overrun" | undefined {
    const received = this.#receive();
    if (typeof received !== "number") return messagesIn(received);
    if (received === ERRNO.EAGAIN || received === ERRNO.EINTR) return undefined;
    if (received === ERRNO.ENOBUFS) return "overrun";
    throw syscallError("recv(AF_NETLINK)", received, FOLLOW);
  }

  /** @returns A view of the buffer, or a positive errno. */
  #receive(): Uint8Array | number {
    const { symbols, errno } = libc();
    const flags = UAPI.MSG_DONTWAIT | NETLINK.MSG_TRUNC;
    const length = symbols.recv(this.#fd, this.#buffer, BigInt(BUFFER_BYTES), flags);
    if (length < 0) return errno[0]!;
    // Cut off: as good as never received.
    return length > BUFFER_BYTES ? ERRNO.ENOBUFS : this.#buffer.subarray(0, length);
  }

  close(): void {
    if (this.#fd < 0) return;
    closeFd(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
