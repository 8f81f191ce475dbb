/**
 * One steered interface: its program, its link, and a socket for every queue and worker.
 *
 * @module
 */
import { XdpLink } from "../bpf/link.ts";
import { SteeringProgram } from "../bpf/program.ts";
import type { InterfaceConfig } from "../config/schema.ts";
import type { QueueEndDescription } from "../dataplane/queue_end.ts";
import { messageOf, SteerError, UnsupportedError } from "../errors.ts";
import { ChunkExchange, createQueueState } from "../xsk/chunks.ts";
import { consumerRing, producerRing } from "../xsk/rings.ts";
import { OwnerSocket, SharedSocket } from "../xsk/socket.ts";
import { Umem } from "../xsk/umem.ts";
import { requireInterface } from "../host/interface_index.ts";

/** One queue of an interface, with a socket per worker. */
export interface SteeredQueue {
  readonly id: number;
  readonly umem: Umem;
  readonly state: SharedArrayBuffer;
  /** By worker. */
  readonly sockets: readonly [OwnerSocket, ...SharedSocket[]];
}

/** The rx queues of an interface, by sysfs. Ascending. */
export function rxQueues(interfaceName: string): number[] {
  const ids: number[] = [];
  for (const { name } of queueEntries(interfaceName)) {
    const match = /^rx-(\d+)$/.exec(name);
    if (match !== null) ids.push(Number(match[1]));
  }
  return ids.sort((left, right) => left - right);
}

function queueEntries(interfaceName: string): Deno.DirEntry[] {
  const directory = `/sys/class/net/${interfaceName}/queues`;
  try {
    return [...Deno.readDirSync(directory)];
  } catch (cause) {
    throw new SteerError(`Cannot list the queues of interface "${interfaceName}": ${messageOf(cause)}`, {
      cause,
      hint: `sysfs of this network namespace has to be mounted at /sys: ls ${directory}`,
    });
  }
}

export interface FoundInterface {
  readonly ifindex: number;
  /** Those that are to have sockets. */
  readonly queues: readonly number[];
}

/** Checks that an interface and the queues asked of it exist. Changes nothing. */
export function findInterface(config: InterfaceConfig): FoundInterface {
  const ifindex = requireInterface(config.name);
  const present = rxQueues(config.name);
  const queues = config.queues === "all" ? present : config.queues;
  const missing = queues.filter((queue) => !present.includes(queue));
  if (missing.length > 0) {
    throw new SteerError(
      `Interface "${config.name}" has no rx queue ${missing.join(", ")}: it has ${present.length} (${
        present.length === 1 ? "0" : `0 to ${present.length - 1}`
      })`,
      { hint: `ethtool -L ${config.name} combined N changes how many there are` },
    );
  }
  return { ifindex, queues };
}

export interface SteeredInterfaceOptions {
  readonly config: InterfaceConfig;
  /** How many there are. */
  readonly workers: number;
  /** Contents of a BPF object to use instead of the embedded one. */
  readonly object: Uint8Array<ArrayBuffer> | undefined;
  /** An instance whose port table this interface's uses too. */
  readonly shareWith?: SteeringProgram | undefined;
  /** True where no packets can come from other interfaces. */
  readonly alone: boolean;
}

export class SteeredInterface {
  readonly name: string;
  readonly ifindex: number;
  readonly program: SteeringProgram;
  readonly link: XdpLink;
  readonly queues: SteeredQueue[] = [];
  readonly #config: InterfaceConfig;
  readonly #workers: number;
  readonly #wanted: readonly number[];
  readonly #alone: boolean;

  private constructor(options: SteeredInterfaceOptions, found: FoundInterface, program: SteeringProgram) {
    const { config } = options;
    this.#config = config;
    this.#alone = options.alone;
    this.#workers = options.workers;
    this.#wanted = found.queues;
    this.name = config.name;
    this.ifindex = found.ifindex;
    this.program = program;
    this.link = XdpLink.attach(program.fd, found.ifindex, config.name, config.attach);
  }

  /**
   * Loads and attaches the program with an empty port table, so that every packet still passes to the kernel stack. It
   * is loaded on another thread.
   */
  static async attach(options: SteeredInterfaceOptions): Promise<SteeredInterface> {
    const { config, workers, object, shareWith } = options;
    const found = findInterface(config);
    const queueLimit = Math.max(...found.queues) + 1;
    const program = await SteeringProgram.load({ object, workerCount: workers, queueLimit, shareWith });
    try {
      return new SteeredInterface(options, found, program);
    } catch (error) {
      program[Symbol.dispose]();
      throw error;
    }
  }

  /** Opens and binds a socket for every queue and worker. */
  async openSockets(): Promise<void> {
    for (const id of this.#wanted) this.queues.push(await this.#openQueue(id));
  }

  /** With other interfaces there, packets of theirs are copied into chunks of this one. */
  get #reserve(): number {
    return this.#alone ? 0 : this.#config.umem.chunks >> 2;
  }

  /** Makes the sockets reachable: from now on a listed port's packets would be redirected. */
  fillXskMap(): void {
    for (const { id, sockets } of this.queues) {
      sockets.forEach((socket, worker) => this.program.setSocket(id, worker, socket.fd));
    }
  }

  /** What `worker` needs to serve its sockets, one per queue. */
  describeEnds(worker: number): QueueEndDescription[] {
    return this.queues.map(({ id, umem, state, sockets }) => ({
      interfaceName: this.name,
      queue: id,
      fd: sockets[worker]!.fd,
      zeroCopy: sockets[worker]!.zeroCopy!,
      rx: sockets[worker]!.rx,
      tx: sockets[worker]!.tx,
      ...sockets[0].queueRings,
      umem: { memory: umem.memory, chunkSize: umem.chunkSize, chunks: umem.chunks },
      state,
      reserve: this.#reserve,
      workers: this.#workers,
    }));
  }

  detach(): void {
    this.link.close();
  }

  /** Closes everything, in reverse order of opening. No worker may be running any more. */
  close(): void {
    this.detach();
    for (const { sockets, umem } of this.queues) {
      for (const socket of [...sockets].reverse()) socket.close();
      umem.close();
    }
    this.queues.length = 0;
    this.program[Symbol.dispose]();
  }

  async #openQueue(id: number): Promise<SteeredQueue> {
    const { name, rings, umem: umemConfig, zeroCopy } = this.#config;
    if (zeroCopy === "require" && this.link.granted === "generic") {
      throw new UnsupportedError(`Interface "${name}" has no zero-copy: it is attached in generic mode`, {
        hint: "set zero_copy: auto, or attach: native to see why native XDP is refused",
      });
    }
    // A generic attach with a zero-copy socket is accepted by some drivers and then receives nothing.
    const allowed = this.link.granted === "generic" ? "off" : zeroCopy;
    const options = { interfaceName: name, ifindex: this.ifindex, queue: id, rings, zeroCopy: allowed };
    const umem = new Umem(umemConfig);
    const shared: SharedSocket[] = [];
    let owner: OwnerSocket | undefined;
    try {
      owner = new OwnerSocket(options, umem);
      const state = createQueueState(umem.chunks);
      const { fill, completion } = owner.queueRings;
      const { chunkSize, chunks } = umem;
      new ChunkExchange(state, producerRing(fill), consumerRing(completion), chunkSize, chunks, this.#reserve).seed();
      await owner.bind();
      for (let worker = 1; worker < this.#workers; worker++) {
        const socket = new SharedSocket(options);
        shared.push(socket);
        await socket.bind(owner);
      }
      return { id, umem, state, sockets: [owner, ...shared] };
    } catch (error) {
      for (const socket of shared) socket.close();
      owner?.close();
      umem.close();
      throw error;
    }
  }
}
