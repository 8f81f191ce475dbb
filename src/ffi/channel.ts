/**
 * A connection to another process that carries messages and descriptors (unix(7), SCM_RIGHTS). A message of any size is
 * written to memory that goes along as the first descriptor: what a socket takes at once is little.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { AsyncPoll } from "./async_poll.ts";
import { ERRNO, syscallError } from "./errno.ts";
import { closeFd, libc, makeMemoryFile } from "./libc.ts";
import { MappedMemory } from "./memory.ts";
import { IOVEC } from "./udp.ts";
import { CMSGHDR, MSGHDR, UAPI } from "./uapi.ts";

/** Descriptors of one message: the kernel's SCM_MAX_FD. */
const MAX_FDS = 253;
/** Bytes of a message that needs no memory of its own. */
const SHORT_BYTES = 4096;
/** Largest message that is read. */
const MAX_BYTES = 64 << 20;
/** In the memory that C sees: the header of a message, one iovec, control data, the message. */
const AT = { header: 0, iovec: 64, control: 128, data: 2048 } as const;
const MEMORY_BYTES = AT.data + SHORT_BYTES;
/** The first bytes of a message: how many follow, and whether they are in the first descriptor. */
const PREFIX_BYTES = 8;

export interface ReceivedMessage {
  readonly text: string;
  /** The receiver's to close. */
  readonly fds: readonly number[];
}

/** One end. Owned by the object. */
export class Channel implements Disposable {
  readonly #memory = MappedMemory.anonymous(MEMORY_BYTES, "talk to another process");
  readonly #view = new DataView(this.#memory.view());
  readonly #poll = new AsyncPoll();
  #waiting: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(private readonly fd: number) {}

  /**
   * Sends a message, which takes no time: the other end reads, or the connection is over.
   *
   * @throws {SyscallError} where the other end is closed, or has left too many messages unread.
   */
  send(text: string, fds: readonly number[] = []): void {
    const bytes = new TextEncoder().encode(text);
    if (PREFIX_BYTES + bytes.byteLength <= SHORT_BYTES && fds.length <= MAX_FDS) {
      return this.#send(bytes.byteLength, bytes, fds, 0);
    }
    const fd = makeMemoryFile("a message", Math.max(1, bytes.byteLength));
    try {
      using mapping = MappedMemory.lazy(fd, Math.max(1, bytes.byteLength), "write a message");
      new Uint8Array(mapping.view()).set(bytes);
      const all = [fd, ...fds];
      // The last part tells that all are there.
      for (let first = 0; first < all.length; first += MAX_FDS) {
        const part = all.slice(first, first + MAX_FDS);
        this.#send(bytes.byteLength, new Uint8Array(), part, first + part.length === all.length ? 1 : 2);
      }
    } finally {
      closeFd(fd);
    }
  }

  /**
   * Waits for a message.
   *
   * @returns undefined where the other end is closed, or the time is over.
   * @throws {SteerError} for what is no message.
   */
  async receive(timeoutMs: number): Promise<ReceivedMessage | undefined> {
    const fds: number[] = [];
    const end = performance.now() + timeoutMs;
    try {
      while (true) {
        const part = this.#receive(fds);
        if (part === "closed") return undefined;
        if (part === "nothing") {
          const leftMs = end - performance.now();
          if (leftMs <= 0 || this.#closed) return undefined;
          const waiting = this.#poll.wait([{ fd: this.fd, events: UAPI.POLLIN }], Math.min(leftMs, 2 ** 30));
          this.#waiting = waiting;
          await waiting;
          continue;
        }
        if (part.place === 2) continue;
        const text = part.place === 0 ? part.text : readMessage(fds.shift(), part.bytes);
        return { text, fds: fds.splice(0) };
      }
    } finally {
      for (const fd of fds) closeFd(fd);
    }
  }

  /** Ends the connection: the other end finds it closed. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.wake();
    await this.#waiting;
    this[Symbol.dispose]();
  }

  /** Not while {@linkcode receive} waits. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#poll[Symbol.dispose]();
    this.#memory.close();
    closeFd(this.fd);
  }

  #send(bytes: number, data: Uint8Array, fds: readonly number[], place: number): void {
    const view = this.#view;
    view.setUint32(AT.data, bytes, true);
    view.setUint32(AT.data + 4, place, true);
    new Uint8Array(view.buffer, AT.data + PREFIX_BYTES).set(data);
    const header = this.#header(PREFIX_BYTES + data.byteLength, fds.length);
    view.setBigUint64(AT.control + CMSGHDR.cmsg_len, BigInt(CMSGHDR.size + 4 * fds.length), true);
    view.setInt32(AT.control + CMSGHDR.cmsg_level, UAPI.SOL_SOCKET, true);
    view.setInt32(AT.control + CMSGHDR.cmsg_type, UAPI.SCM_RIGHTS, true);
    fds.forEach((fd, index) => view.setInt32(AT.control + CMSGHDR.size + 4 * index, fd, true));
    const { symbols, errno } = libc();
    const result = symbols.sendmsg(this.fd, header, UAPI.MSG_DONTWAIT | UAPI.MSG_NOSIGNAL);
    if (result < 0n) throw syscallError("sendmsg", errno[0]!, "tell another process");
  }

  /** Writes a header for so much data and control data. */
  #header(dataBytes: number, fdCount: number): Deno.PointerObject {
    const view = this.#view;
    const { address } = this.#memory.address;
    new Uint8Array(view.buffer, AT.header, MSGHDR.size).fill(0);
    view.setBigUint64(AT.header + MSGHDR.msg_iov, address + BigInt(AT.iovec), true);
    view.setBigUint64(AT.header + MSGHDR.msg_iovlen, 1n, true);
    view.setBigUint64(AT.iovec + IOVEC.iov_base, address + BigInt(AT.data), true);
    view.setBigUint64(AT.iovec + IOVEC.iov_len, BigInt(dataBytes), true);
    if (fdCount > 0) {
      const bytes = CMSGHDR.size + ((4 * fdCount + 7) & ~7);
      view.setBigUint64(AT.header + MSGHDR.msg_control, address + BigInt(AT.control), true);
      view.setBigUint64(AT.header + MSGHDR.msg_controllen, BigInt(bytes), true);
    }
    return Deno.UnsafePointer.create(address + BigInt(AT.header))!;
  }

  #receive(fds: number[]): "closed" | "nothing" | { bytes: number; place: number; text: string } {
    const view = this.#view;
    const header = this.#header(SHORT_BYTES, MAX_FDS);
    const { symbols, errno } = libc();
    const result = Number(symbols.recvmsg(this.fd, header, UAPI.MSG_DONTWAIT | UAPI.MSG_CMSG_CLOEXEC));
    if (result < 0) return errno[0] === ERRNO.EAGAIN ? "nothing" : "closed";
    if (result === 0) return "closed";
    const controlBytes = Number(view.getBigUint64(AT.header + MSGHDR.msg_controllen, true));
    if (controlBytes >= CMSGHDR.size) {
      const count = (Number(view.getBigUint64(AT.control + CMSGHDR.cmsg_len, true)) - CMSGHDR.size) >> 2;
      for (let index = 0; index < count; index++) {
        fds.push(view.getInt32(AT.control + CMSGHDR.size + 4 * index, true));
      }
    }
    const bytes = view.getUint32(AT.data, true);
    const place = view.getUint32(AT.data + 4, true);
    const isWhole = (view.getInt32(AT.header + MSGHDR.msg_flags, true) & UAPI.MSG_CTRUNC) === 0;
    if (result < PREFIX_BYTES || !isWhole || bytes > MAX_BYTES || place > 2) {
      throw new SteerError("Another process says what is no message of this version's");
    }
    const text = new TextDecoder().decode(
      new Uint8Array(view.buffer, AT.data + PREFIX_BYTES, result - PREFIX_BYTES).slice(),
    );
    return { bytes, place, text };
  }
}

function readMessage(fd: number | undefined, bytes: number): string {
  if (fd === undefined) throw new SteerError("A message came without its text");
  try {
    if (bytes === 0) return "";
    using mapping = MappedMemory.lazy(fd, bytes, "read a message");
    return new TextDecoder().decode(new Uint8Array(mapping.view()).slice());
  } finally {
    closeFd(fd);
  }
}
