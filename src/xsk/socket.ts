/**
 * AF_XDP sockets by plain system calls: one per (queue, worker). A queue's {@linkcode OwnerSocket} registers its UMEM
 * and has its fill and completion ring; a {@linkcode SharedSocket} joins them (XDP_SHARED_UMEM).
 *
 * @see {@link https://docs.kernel.org/networking/af_xdp.html}
 * @module
 */
import { messageOf, UnsupportedError } from "../errors.ts";
import { pause } from "../ffi/async_poll.ts";
import { ERRNO, syscallError } from "../ffi/errno.ts";
import {
  bindSocket,
  closeFd,
  getXdpOption,
  openXdpSocket,
  setXdpOption,
  takeSocketError,
  trySetXdpOption,
} from "../ffi/libc.ts";
import { MappedMemory } from "../ffi/memory.ts";
import { SOCKADDR_XDP, UAPI, XDP_MMAP_OFFSETS, XDP_RING_OFFSET, XDP_STATISTICS, XDP_UMEM_REG } from "../ffi/uapi.ts";
import type { RingAddress } from "./rings.ts";
import type { SocketCounter } from "./socket_counters.ts";
import type { Umem } from "./umem.ts";

export interface RingSizes {
  readonly rx: number;
  readonly tx: number;
  readonly fill: number;
  readonly completion: number;
}

export interface SocketOptions {
  readonly interfaceName: string;
  readonly ifindex: number;
  readonly queue: number;
  readonly rings: RingSizes;
  /** auto: the kernel takes zero-copy where the driver has it. */
  readonly zeroCopy: "auto" | "require" | "off";
}

/** The counters of XDP_STATISTICS, by the kernel's names. */
export type XskStatistics = Readonly<Record<SocketCounter, number>>;

/** Rings of which each queue has one. */
export interface QueueRings {
  readonly fill: RingAddress;
  readonly completion: RingAddress;
}

/** How long a queue may stay busy after its last owner died: the kernel frees a dead socket's queue a little later. */
const BUSY_RETRY_MS = 1000;
const BUSY_STEP_MS = 10;
/** Packets that the kernel sends by copy in one system call: a worker's batch. Linux before 6.17 sends 32. */
const TX_BUDGET = 64;

type RingKind = "rx" | "tx" | "fill" | "completion";
const RINGS: Readonly<
  Record<RingKind, { option: number; name: string; offsets: number; page: number; entryBytes: number }>
> = {
  rx: {
    option: UAPI.XDP_RX_RING,
    name: "XDP_RX_RING",
    offsets: XDP_MMAP_OFFSETS.rx,
    page: UAPI.XDP_PGOFF_RX_RING,
    entryBytes: 16,
  },
  tx: {
    option: UAPI.XDP_TX_RING,
    name: "XDP_TX_RING",
    offsets: XDP_MMAP_OFFSETS.tx,
    page: UAPI.XDP_PGOFF_TX_RING,
    entryBytes: 16,
  },
  fill: {
    option: UAPI.XDP_UMEM_FILL_RING,
    name: "XDP_UMEM_FILL_RING",
    offsets: XDP_MMAP_OFFSETS.fr,
    page: UAPI.XDP_UMEM_PGOFF_FILL_RING,
    entryBytes: 8,
  },
  completion: {
    option: UAPI.XDP_UMEM_COMPLETION_RING,
    name: "XDP_UMEM_COMPLETION_RING",
    offsets: XDP_MMAP_OFFSETS.cr,
    page: UAPI.XDP_UMEM_PGOFF_COMPLETION_RING,
    entryBytes: 8,
  },
};

/** What both kinds have: an rx and a tx ring of their own. */
abstract class XskSocket implements Disposable {
  readonly fd: number;
  readonly queue: number;
  readonly rx: RingAddress;
  readonly tx: RingAddress;
  readonly #where: string;
  readonly #offsets: DataView;
  readonly #mappings: MappedMemory[] = [];
  #zeroCopy: boolean | undefined;
  #isCutOff = false;
  #closed = false;

  /**
   * Opens a socket and makes its rings, those of its queue too if it registers `umem`.
   *
   * @param adopted One that another process has bound, with rings of these sizes; closed where this throws.
   */
  protected constructor(private readonly options: SocketOptions, umem?: Umem, adopted?: number) {
    this.queue = options.queue;
    this.#where = `interface "${options.interfaceName}" queue ${options.queue}`;
    this.fd = adopted ?? openXdpSocket();
    try {
      if (adopted === undefined) {
        if (umem !== undefined) this.#registerUmem(umem);
        const kinds: RingKind[] = umem === undefined ? ["rx", "tx"] : ["fill", "completion", "rx", "tx"];
        for (const kind of kinds) this.#sizeRing(kind);
        trySetXdpOption(this.fd, UAPI.XDP_MAX_TX_SKB_BUDGET, TX_BUDGET);
      } else this.#zeroCopy = this.#hasZeroCopy();
      this.#offsets = this.#mmapOffsets();
      this.rx = this.mapRing("rx");
      this.tx = this.mapRing("tx");
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Binds to the queue, and waits where it is busy for a moment. @throws {SyscallError} */
  protected async bindToQueue(flags: number, umemFd: number): Promise<void> {
    const { ifindex, queue } = this.options;
    const address = new DataView(new ArrayBuffer(SOCKADDR_XDP.size));
    address.setUint16(SOCKADDR_XDP.sxdp_family, UAPI.AF_XDP, true);
    address.setUint16(SOCKADDR_XDP.sxdp_flags, flags, true);
    address.setUint32(SOCKADDR_XDP.sxdp_ifindex, ifindex, true);
    address.setUint32(SOCKADDR_XDP.sxdp_queue_id, queue, true);
    address.setUint32(SOCKADDR_XDP.sxdp_shared_umem_fd, umemFd, true);

    const what = `bind an AF_XDP socket to ${this.#where}`;
    for (let waitedMs = 0;; waitedMs += BUSY_STEP_MS) {
      const result = bindSocket(this.fd, new Uint8Array(address.buffer));
      if (result === 0) break;
      if (result === -ERRNO.EBUSY && waitedMs < BUSY_RETRY_MS) {
        await pause(BUSY_STEP_MS);
        continue;
      }
      throw syscallError("bind", -result, what);
    }
    this.#zeroCopy = this.#hasZeroCopy();
  }

  /** What the kernel granted, read back after bind; undefined before. */
  get zeroCopy(): boolean | undefined {
    return this.#zeroCopy;
  }

  /** False once the device that it was bound to has left the network namespace: it never gets a packet again. */
  get isBound(): boolean {
    // Told once, to whoever asks first.
    this.#isCutOff ||= takeSocketError(this.fd) === -ERRNO.ENETDOWN;
    return !this.#isCutOff;
  }

  /** Reads the kernel's counters. `rx_fill_ring_empty_descs` is the queue's: all its sockets report the same number. */
  statistics(): XskStatistics {
    return statisticsOf(this.fd, this.#where);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const mapping of this.#mappings) mapping.close();
    closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #registerUmem(umem: Umem): void {
    const registration = new DataView(new ArrayBuffer(XDP_UMEM_REG.size));
    registration.setBigUint64(XDP_UMEM_REG.addr, umem.memory.address, true);
    registration.setBigUint64(XDP_UMEM_REG.len, BigInt(umem.memory.length), true);
    registration.setUint32(XDP_UMEM_REG.chunk_size, umem.chunkSize, true);
    registration.setUint32(XDP_UMEM_REG.headroom, umem.headroom, true);
    this.#set(UAPI.XDP_UMEM_REG, "XDP_UMEM_REG", new Uint8Array(registration.buffer), "register the UMEM");
  }

  #sizeRing(kind: RingKind): void {
    const { option, name } = RINGS[kind];
    const size = this.options.rings[kind];
    this.#set(option, name, new Uint8Array(new Uint32Array([size]).buffer), `make a ${kind} ring of ${size} entries`);
  }

  #set(option: number, name: string, value: Uint8Array, what: string): void {
    setXdpOption(this.fd, option, name, value, `${what} for ${this.#where}`);
  }

  #mmapOffsets(): DataView {
    const bytes = new Uint8Array(new ArrayBuffer(XDP_MMAP_OFFSETS.size));
    const what = `read the ring offsets of ${this.#where}`;
    const length = getXdpOption(this.fd, UAPI.XDP_MMAP_OFFSETS, "XDP_MMAP_OFFSETS", bytes, what);
    if (length !== XDP_MMAP_OFFSETS.size) {
      throw new UnsupportedError(`Cannot ${what}: the kernel has no need_wakeup`, {
        hint: "Linux 5.4 or newer has it",
      });
    }
    return new DataView(bytes.buffer);
  }

  /** Maps a ring that the socket has made. It is unmapped by {@linkcode close}. */
  protected mapRing(kind: RingKind): RingAddress {
    const { offsets: base, page, entryBytes } = RINGS[kind];
    const size = this.options.rings[kind];
    const offset = (field: number): number => Number(this.#offsets.getBigUint64(base + field, true));
    const entries = offset(XDP_RING_OFFSET.desc);
    const what = `map the ${kind} ring of ${this.#where}`;
    const mapping = MappedMemory.shared(this.fd, entries + size * entryBytes, page, what);
    this.#mappings.push(mapping);
    return {
      memory: mapping.address,
      layout: {
        producer: offset(XDP_RING_OFFSET.producer) / 4,
        consumer: offset(XDP_RING_OFFSET.consumer) / 4,
        flags: offset(XDP_RING_OFFSET.flags) / 4,
        entries: entries / 4,
        size,
      },
    };
  }

  #hasZeroCopy(): boolean {
    return (this.#readOptions() & UAPI.XDP_OPTIONS_ZEROCOPY) !== 0;
  }

  #readOptions(): number {
    const bytes = new Uint8Array(new ArrayBuffer(4));
    getXdpOption(this.fd, UAPI.XDP_OPTIONS, "XDP_OPTIONS", bytes, `read the bind mode of ${this.#where}`);
    return new DataView(bytes.buffer).getUint32(0, true);
  }
}

/** A queue's first socket. The queue's UMEM and rings live as long as it does. */
export class OwnerSocket extends XskSocket {
  readonly queueRings: QueueRings;
  readonly #zeroCopyWanted: SocketOptions["zeroCopy"];

  /**
   * Opens a socket that registers `umem`; {@linkcode bind} makes it live.
   *
   * @param adopted One that another process has bound, with that memory.
   */
  constructor(options: SocketOptions, umem: Umem, adopted?: number) {
    super(options, umem, adopted);
    this.#zeroCopyWanted = options.zeroCopy;
    try {
      this.queueRings = { fill: this.mapRing("fill"), completion: this.mapRing("completion") };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Binds to the queue.
   *
   * @throws {UnsupportedError} when zero-copy is required and the driver has none.
   * @throws {SyscallError} EBUSY when another program owns the queue.
   */
  async bind(): Promise<void> {
    const wanted = this.#zeroCopyWanted;
    const mode = wanted === "require" ? UAPI.XDP_ZEROCOPY : wanted === "off" ? UAPI.XDP_COPY : 0;
    try {
      await this.bindToQueue(UAPI.XDP_USE_NEED_WAKEUP | mode, 0);
    } catch (error) {
      if (wanted !== "require") throw error;
      throw new UnsupportedError(`${messageOf(error)} (zero_copy: require)`, {
        hint: "the driver has no zero-copy on this queue: set zero_copy: auto or off",
      });
    }
  }
}

/** This process's first socket of a queue that another process has registered: it has that one's queue rings mapped. */
export class JoinedSocket extends XskSocket {
  #queueRings: QueueRings | undefined;

  /** Opens a socket; {@linkcode join} makes it live. */
  constructor(options: SocketOptions) {
    super(options);
  }

  /** Binds to the queue and UMEM of a socket that is bound. @throws {SyscallError} */
  async join(fd: number): Promise<void> {
    await this.bindToQueue(UAPI.XDP_SHARED_UMEM, fd);
    this.#queueRings = { fill: this.mapRing("fill"), completion: this.mapRing("completion") };
  }

  get queueRings(): QueueRings {
    return this.#queueRings!;
  }
}

/** Reads the kernel's counters of a socket that is not mapped here. */
export function statisticsOf(fd: number, where: string): XskStatistics {
  const bytes = new Uint8Array(new ArrayBuffer(XDP_STATISTICS.size));
  getXdpOption(fd, UAPI.XDP_STATISTICS, "XDP_STATISTICS", bytes, `read the counters of ${where}`);
  const view = new DataView(bytes.buffer);
  const { size: _, ...offsets } = XDP_STATISTICS;
  return Object.fromEntries(
    Object.entries(offsets).map(([name, offset]) => [name, Number(view.getBigUint64(offset, true))]),
  ) as unknown as XskStatistics;
}

/** A further socket of a queue: it receives into the owner's UMEM. */
export class SharedSocket extends XskSocket {
  /** Opens a socket; {@linkcode bind} makes it live. @param adopted One that another process has bound. */
  constructor(options: SocketOptions, adopted?: number) {
    super(options, undefined, adopted);
  }

  /** Binds to the queue and UMEM of `owner`, which is bound. @throws {SyscallError} */
  bind(owner: Pick<OwnerSocket, "fd">): Promise<void> {
    return this.bindToQueue(UAPI.XDP_SHARED_UMEM, owner.fd);
  }
}
