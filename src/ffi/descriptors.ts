/**
 * Descriptors that a service manager keeps for a process: those it passes at the start (sd_listen_fds(3)), and those
 * that it is given (sd_notify(3), FDSTORE=1).
 *
 * @module
 */
import { closeFd, libc } from "./libc.ts";
import { ERRNO, syscallError } from "./errno.ts";
import { MappedMemory } from "./memory.ts";
import { objectIdOf } from "./libbpf.ts";
import { CMSGHDR, MSGHDR, UAPI } from "./uapi.ts";
import { IOVEC } from "./udp.ts";

/** The first one that is passed. */
export const FIRST_PASSED = 3;

/** Takes some that were passed at the start: programs that this one starts do not get them. */
export function takePassed(passed: readonly { readonly fd: number }[]): void {
  for (const { fd } of passed) libc().symbols.fcntl(fd, UAPI.F_SETFD, UAPI.FD_CLOEXEC);
}

/** Another descriptor of the same file, the caller's. */
export function duplicate(fd: number): number {
  const { symbols, errno } = libc();
  const copy = symbols.fcntl(fd, UAPI.F_DUPFD_CLOEXEC, FIRST_PASSED);
  if (copy < 0) throw syscallError("fcntl", errno[0]!, "duplicate a descriptor");
  return copy;
}

/**
 * What a descriptor is of, in words: the same for all of one file, socket or BPF object, and another one's for none
 * while that is there. "" where it is not open.
 */
export function identityOf(fd: number): string {
  try {
    const { dev, ino } = Deno.statSync(`/proc/self/fd/${fd}`);
    const target = Deno.readLinkSync(`/proc/self/fd/${fd}`);
    // All BPF objects have one inode.
    return `${dev}:${ino}${target.startsWith("anon_inode:") ? `:${target}:${objectIdOf(fd)}` : ""}`;
  } catch {
    return "";
  }
}

/** Bytes of memory that C sees: the header, one iovec, control data for one descriptor, address, message. */
const AT = { header: 0, iovec: 64, control: 128, name: 256, data: 512 } as const;
const MEMORY_BYTES = 4096;
const ONE_FD_BYTES = CMSGHDR.size + 8;

/** Sends datagrams to one Unix socket, each with a descriptor or none. Owned by the object. */
export class DescriptorPost implements Disposable {
  readonly #memory = MappedMemory.anonymous(MEMORY_BYTES, "tell the service manager");
  readonly #view = new DataView(this.#memory.view());
  readonly #bytes = new Uint8Array(this.#view.buffer);
  readonly #fd: number;
  readonly #addressBytes: number;

  /** @param address A `struct sockaddr_un`. */
  constructor(address: Uint8Array) {
    const { symbols, errno } = libc();
    this.#fd = symbols.socket(UAPI.AF_UNIX, UAPI.SOCK_DGRAM | UAPI.SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw syscallError("socket", errno[0]!, "tell the service manager");
    this.#bytes.set(address, AT.name);
    this.#addressBytes = address.byteLength;
  }

  /**
   * Sends a message without waiting.
   *
   * @param fd Goes along, and stays open here; -1: none.
   * @returns False where there is no room for it now.
   * @throws {SyscallError}
   */
  send(message: string, fd = -1): boolean {
    const data = new TextEncoder().encode(message);
    if (AT.data + data.byteLength > MEMORY_BYTES) throw new RangeError(`A message of ${data.byteLength} bytes`);
    const view = this.#view;
    const { address } = this.#memory.address;
    this.#bytes.fill(0, 0, AT.name);
    this.#bytes.set(data, AT.data);
    view.setBigUint64(AT.header + MSGHDR.msg_name, address + BigInt(AT.name), true);
    view.setUint32(AT.header + MSGHDR.msg_namelen, this.#addressBytes, true);
    view.setBigUint64(AT.header + MSGHDR.msg_iov, address + BigInt(AT.iovec), true);
    view.setBigUint64(AT.header + MSGHDR.msg_iovlen, 1n, true);
    view.setBigUint64(AT.iovec + IOVEC.iov_base, address + BigInt(AT.data), true);
    view.setBigUint64(AT.iovec + IOVEC.iov_len, BigInt(data.byteLength), true);
    if (fd >= 0) {
      view.setBigUint64(AT.header + MSGHDR.msg_control, address + BigInt(AT.control), true);
      view.setBigUint64(AT.header + MSGHDR.msg_controllen, BigInt(ONE_FD_BYTES), true);
      view.setBigUint64(AT.control + CMSGHDR.cmsg_len, BigInt(CMSGHDR.size + 4), true);
      view.setInt32(AT.control + CMSGHDR.cmsg_level, UAPI.SOL_SOCKET, true);
      view.setInt32(AT.control + CMSGHDR.cmsg_type, UAPI.SCM_RIGHTS, true);
      view.setInt32(AT.control + CMSGHDR.size, fd, true);
    }
    const { symbols, errno } = libc();
    const header = Deno.UnsafePointer.create(address + BigInt(AT.header))!;
    if (symbols.sendmsg(this.#fd, header, UAPI.MSG_DONTWAIT | UAPI.MSG_NOSIGNAL) >= 0n) return true;
    const code = errno[0]!;
    if (code === ERRNO.EAGAIN || code === ERRNO.ENOBUFS) return false;
    throw syscallError("sendmsg", code, "tell the service manager");
  }

  [Symbol.dispose](): void {
    closeFd(this.#fd);
    this.#memory.close();
  }
}
