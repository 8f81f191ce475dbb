/**
 * One queue of a steered interface: its packet memory and a socket per worker, while the interface is there.
 *
 * @module
 */
import type { InterfaceConfig } from "../config/schema.ts";
import type { MemoryAddress } from "../ffi/memory.ts";
import type { OpenEnd } from "../dataplane/end_table.ts";
import { pause } from "../ffi/async_poll.ts";
import { SharedMemory } from "../ffi/shared_memory.ts";
import { SteerError } from "../errors.ts";
import { type Census, sending, standingQueue, takeCensus } from "../xsk/census.ts";
import { ChunkExchange, lendableChunks, queueStateMemory, settleQueue, sparesOf, unlockQueue } from "../xsk/chunks.ts";
import { consumerRing, producerRing } from "../xsk/rings.ts";
import { closeFd } from "../ffi/libc.ts";
import { SOCKET_COUNTER_TABLE, SOCKET_COUNTERS } from "../xsk/socket_counters.ts";
import {
  JoinedSocket,
  OwnerSocket,
  SharedSocket,
  type SocketOptions,
  statisticsOf,
  type XskStatistics,
} from "../xsk/socket.ts";
import { Umem } from "../xsk/umem.ts";

/** A queue's sockets by worker; none while it is closed. */
export type QueueSockets = readonly [JoinedSocket | OwnerSocket, ...SharedSocket[]] | readonly [];

/** What a process gives to the one that takes over from it, of one queue: descriptors. */
export interface HandedQueue {
  readonly id: number;
  readonly state: number;
  /** Of its packet memory, and the sockets by worker; none while it is closed. */
  readonly umem: number;
  readonly sockets: readonly number[];
  /** By worker: what its sockets of before have counted. */
  readonly before: readonly XskStatistics[];
}

/** In which the kernel has sent what it had taken of a tx ring. */
const SENDING_MS = 200;

const NOTHING = Object.fromEntries(SOCKET_COUNTERS.map((name) => [name, 0])) as XskStatistics;

export class SteeredQueue {
  /** Of the chunks' circulation; the same memory each time that the queue is opened. */
  readonly #state: SharedMemory;
  #umem: Umem | undefined;
  #sockets: QueueSockets = [];
  /** By worker: what its sockets of before have counted. */
  readonly #before: XskStatistics[];

  /** @param reserve Chunks that stay out of the fill ring, for packets of other interfaces. */
  constructor(
    readonly id: number,
    readonly config: Pick<InterfaceConfig, "rings" | "umem">,
    readonly workers: number,
    readonly reserve: number,
    private readonly handed?: HandedQueue,
  ) {
    const memory = queueStateMemory(config.umem.chunks);
    this.#state = handed === undefined ? SharedMemory.create(memory) : SharedMemory.adopt(handed.state, memory);
    this.#before = handed === undefined ? new Array<XskStatistics>(workers).fill(NOTHING) : this.#folded(handed.before);
  }

  /** Of the chunks' circulation; the same memory each time that the queue is opened. */
  get state(): MemoryAddress {
    return this.#state.address;
  }

  get sockets(): QueueSockets {
    return this.#sockets;
  }

  /** Whether all sockets have zero-copy. */
  get zeroCopy(): boolean {
    return this.#sockets.length > 0 && this.#sockets.every(({ zeroCopy }) => zeroCopy === true);
  }

  /** What the kernel has counted for a worker on this queue since the process started. */
  statistics(worker: number): XskStatistics {
    const now = this.#sockets[worker]?.statistics();
    const before = this.#before[worker]!;
    if (now === undefined) return before;
    return before === NOTHING ? now : sumOf(before, now);
  }

  /** True while the kernel delivers to the sockets: they are cut off for good when their device goes away. */
  get isBound(): boolean {
    return this.#sockets[0]?.isBound ?? false;
  }

  /** Opens and binds a socket for every worker. @throws {SteerError} and leaves nothing open. */
  async open(options: Omit<SocketOptions, "queue" | "rings">): Promise<void> {
    const { rings, umem: umemConfig } = this.config;
    const all: SocketOptions = { ...options, queue: this.id, rings };
    const umem = new Umem(umemConfig);
    const state = this.#state.view();
    const shared: SharedSocket[] = [];
    let owner: OwnerSocket | undefined;
    try {
      owner = new OwnerSocket(all, umem);
      new Int32Array(state).fill(0);
      const { fill, completion } = owner.queueRings;
      const { chunkSize, chunks } = umem;
      new ChunkExchange(state, producerRing(fill), consumerRing(completion), chunkSize, chunks, this.reserve)
        .seed();
      await owner.bind();
      for (let worker = 1; worker < this.workers; worker++) {
        const socket = new SharedSocket(all);
        shared.push(socket);
        await socket.bind(owner);
      }
    } catch (error) {
      for (const socket of shared) socket.close();
      owner?.close();
      umem.close();
      throw error;
    }
    this.#umem = umem;
    this.#sockets = [owner, ...shared];
  }

  /** Takes over what another process has open. @throws {SteerError} where it does not fit. */
  adopt(options: Omit<SocketOptions, "queue" | "rings">): void {
    const { rings, umem: umemConfig } = this.config;
    if (this.handed === undefined) throw new SteerError(`Queue ${this.id} is not among those that were there before`);
    const { umem: fd, sockets } = this.handed;
    const [first, ...others] = sockets;
    if (first === undefined) return; // it was closed there too
    const all: SocketOptions = { ...options, queue: this.id, rings };
    using opened = new DisposableStack();
    const umem = opened.use(new Umem({ ...umemConfig, adopted: fd }));
    const owner = opened.use(new OwnerSocket(all, umem, first));
    const shared = others.map((socket) => opened.use(new SharedSocket(all, socket)));
    opened.move();
    this.#umem = umem;
    this.#sockets = [owner, ...shared];
  }

  /**
   * Joins what another process has open, with sockets of its own: rings may be of other sizes, and there may be more of
   * them or fewer.
   *
   * @throws {SteerError} where it does not fit.
   */
  async join(options: Omit<SocketOptions, "queue" | "rings">): Promise<void> {
    const { rings, umem: umemConfig } = this.config;
    const { umem: fd, sockets: [former] } = this.handed!;
    if (former === undefined) return; // it was closed there too
    const all: SocketOptions = { ...options, queue: this.id, rings };
    using opened = new DisposableStack();
    const umem = opened.use(new Umem({ ...umemConfig, adopted: fd }));
    const first = opened.use(new JoinedSocket(all));
    await first.join(former);
    const shared: SharedSocket[] = [];
    for (let worker = 1; worker < this.workers; worker++) {
      const socket = opened.use(new SharedSocket(all));
      shared.push(socket);
      await socket.bind(first);
    }
    opened.move();
    this.#umem = umem;
    this.#sockets = [first, ...shared];
  }

  /** Lets go of the other process's sockets, which nobody looks at any more. What they have counted goes on. */
  leaveFormer(where: string): void {
    const sockets = this.handed?.sockets ?? [];
    const counted = sockets.map((fd) => {
      const statistics = statisticsOf(fd, where);
      closeFd(fd);
      // What is counted of the queue, the sockets of now tell too.
      const own = SOCKET_COUNTERS.map((name) => [
        name,
        SOCKET_COUNTER_TABLE[name].of === "queue" ? 0 : statistics[name],
      ]);
      return Object.fromEntries(own) as XskStatistics;
    });
    this.#folded(counted).forEach((sum, worker) => this.#before[worker] = sumOf(this.#before[worker]!, sum));
  }

  /** What was counted of so many workers, for those that there are. */
  #folded(before: readonly XskStatistics[]): XskStatistics[] {
    const folded = new Array<XskStatistics>(this.workers).fill(NOTHING);
    before.forEach((each, worker) => {
      const to = worker % this.workers;
      folded[to] = folded[to] === NOTHING ? each : sumOf(folded[to]!, each);
    });
    return folded;
  }

  /** Opens the lock of its chunks, where a worker of a process has it that has ended. */
  unlock(process: number): void {
    unlockQueue(this.#state.view(), process);
  }

  /**
   * Finds what was in the hands of workers that have ended with their process, and puts it into circulation again. No
   * packets may come in meanwhile.
   *
   * @returns undefined while it is closed.
   */
  async recover(): Promise<Census | undefined> {
    const [owner] = this.#sockets;
    if (owner === undefined) return undefined;
    const { chunks, chunkSize } = this.#umem!;
    const { fill, completion } = owner.queueRings;
    const standing = standingQueue(fill, completion, this.#sockets);
    const end = performance.now() + SENDING_MS;
    while (sending(standing) !== 0 && performance.now() < end) await pause(1);
    const state = this.#state.view();
    const census = takeCensus(standing, chunks, chunkSize, sparesOf(state));
    settleQueue(state, census.free, census.lent);
    const lendable = owner.zeroCopy ? chunks : lendableChunks(owner.rx.layout.size, this.workers);
    const [filled, completed] = [producerRing(fill), consumerRing(completion)];
    new ChunkExchange(state, filled, completed, chunkSize, chunks, this.reserve, true, lendable).exchange();
    return census;
  }

  /** What another process needs to go on with it. @param fd Takes a descriptor along, and returns its number there. */
  handOver(fd: (fd: number) => number): HandedQueue {
    const sockets = this.#sockets.map((socket) => fd(socket.fd));
    const umem = this.#umem === undefined ? -1 : fd(this.#umem.fd);
    return { id: this.id, state: fd(this.#state.fd), umem, sockets, before: this.#before };
  }

  /** What a worker needs to serve its socket; undefined while the queue is closed. */
  endOf(worker: number): OpenEnd | undefined {
    const [owner] = this.#sockets;
    const socket = this.#sockets[worker];
    if (owner === undefined || socket === undefined) return undefined;
    const { fd, rx, tx, zeroCopy } = socket;
    return { fd, zeroCopy: zeroCopy!, rx, tx, ...owner.queueRings, umem: this.#umem!.memory };
  }

  /**
   * Closes everything, in reverse order of opening. No worker may look at it any more.
   *
   * @returns Packets in the tx rings that the kernel has not taken: it never will.
   */
  close(): number {
    let unsent = 0;
    for (const [worker, socket] of [...this.#sockets.entries()].reverse()) {
      unsent += producerRing(socket.tx).pending();
      this.#before[worker] = sumOf(this.#before[worker]!, socket.statistics());
      socket.close();
    }
    this.#sockets = [];
    this.#umem?.close();
    this.#umem = undefined;
    return unsent;
  }

  /** Unmaps what stays when a queue is closed. */
  [Symbol.dispose](): void {
    this.#state.close();
  }
}

function sumOf(one: XskStatistics, other: XskStatistics): XskStatistics {
  return Object.fromEntries(SOCKET_COUNTERS.map((name) => [name, one[name] + other[name]])) as XskStatistics;
}
