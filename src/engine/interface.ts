/**
 * One steered interface: its program, its link, and a socket for every queue and worker. It outlives the device: one
 * that goes away and comes back is attached to again, with the same program, so that all counters go on.
 *
 * @module
 */
import type { AnswerProgram } from "../bpf/answer_program.ts";
import { type AttachMode, XdpLink } from "../bpf/link.ts";
import { type HandedProgram, SteeringProgram } from "../bpf/program.ts";
import { LIMIT, REASON } from "../bpf/layout.gen.ts";
import { removeLeftOver, type TcLink } from "../bpf/tc_link.ts";
import { type InterfaceConfig, XDP_PACKET_HEADROOM } from "../config/schema.ts";
import type { EndPlace } from "../dataplane/end_table.ts";
import { SteerError, UnsupportedError } from "../errors.ts";
import { interfaceName } from "../ffi/interface_facts.ts";
import type { Device } from "../host/devices.ts";
import { rxQueues } from "../host/rx_queues.ts";
import { logger } from "../log.ts";
import { type HandedQueue, SteeredQueue } from "./queue.ts";

const log = logger("interfaces");

const ETHERNET_BYTES = 14;

/** Whether packets of an interface are steered, and if not, why. */
export interface Condition {
  /**
   * `gone`: there is no such device in this network namespace. `detached`: there is, but its packets go to the kernel
   * stack. `attaching`: in between.
   */
  readonly state: "attached" | "attaching" | "detached" | "gone";
  /** When it came to that, ISO 8601. */
  readonly since: string;
  /** In words why it is not attached; "" while it is. */
  readonly why: string;
}

/** What a process gives to the one that takes over from it, of one interface. Descriptors are numbers. */
export interface HandedInterface {
  readonly ifindex: number;
  readonly link: number;
  readonly fallbackReason: string;
  readonly program: HandedProgram;
  readonly queues: readonly HandedQueue[];
  readonly reattachments: number;
  readonly unattachedMs: number;
  readonly unsent: number;
}

/** The descriptors that whoever takes an interface over closes. Its program's maps are opened once more by then. */
export function heldDescriptors({ link, queues }: HandedInterface): number[] {
  return [link, ...queues.flatMap(({ state, umem, sockets }) => [state, umem, ...sockets])];
}

export interface SteeredInterfaceOptions {
  readonly config: InterfaceConfig;
  /** Those that are to have sockets. */
  readonly queues: readonly number[];
  /** How many there are. */
  readonly workers: number;
  /** Contents of a BPF object to use instead of the embedded one. */
  readonly object: Uint8Array<ArrayBuffer> | undefined;
  /** An instance whose port table this interface's uses too. */
  readonly shareWith?: SteeringProgram | undefined;
  /** True where no packets can come from other interfaces. */
  readonly alone: boolean;
  /** Number of this process. */
  readonly process: number;
  /** Of another process, whose sockets this one goes on with. */
  readonly handed?: HandedInterface | undefined;
  /** True where it has sockets of its own beside those. */
  readonly joins?: boolean;
  /** Of another process's first interface, where it goes on with something of it. */
  readonly handedShared?: HandedProgram | undefined;
}

export class SteeredInterface {
  /** As the configuration calls it. */
  name: string;
  /** Every queue that it had at the start; closed ones have no sockets. */
  readonly queues: readonly SteeredQueue[];
  /** Times that it was attached to after the first. */
  reattachments = 0;
  /** Time since the first for which it was not attached, milliseconds; rather too long than too short. */
  unattachedMs = 0;
  /** Packets that were lost because the kernel could not redirect them, by errno, as far as it is watched. */
  get redirectErrors(): () => ReadonlyMap<string, number> {
    const before = this.#errorsBefore;
    return before.length === 0 ? this.#redirectErrors : () => {
      const sums = new Map(this.#redirectErrors());
      for (const [errno, packets] of before) sums.set(errno, (sums.get(errno) ?? 0) + packets);
      return sums;
    };
  }

  set redirectErrors(read: () => ReadonlyMap<string, number>) {
    this.#redirectErrors = read;
  }

  /** Adds what the process before this one has counted. */
  carryErrors(before: readonly (readonly [errno: string, packets: number])[]): void {
    this.#errorsBefore = before;
  }

  /** Packets that were counted as sent, and were still in a tx ring when the device went away. */
  unsent = 0;
  /** True while another process steers its packets, or may take that back: it is not this one's to detach. */
  isShared: boolean;
  /** Queues that the device has got and that have no sockets, though the configuration says all. */
  newQueues: readonly number[] = [];
  #redirectErrors: () => ReadonlyMap<string, number> = () => new Map();
  #errorsBefore: readonly (readonly [errno: string, packets: number])[] = [];
  #condition: Condition = { state: "attaching", since: new Date().toISOString(), why: "xdpsteer is starting" };
  #device: Device | undefined;
  #link: XdpLink | undefined;
  #answers: AnswerProgram | undefined;
  #answerLink: TcLink | undefined;
  /** What the program was told last. */
  #macs = "";
  readonly #config: InterfaceConfig;
  readonly #workers: number;
  readonly #handed: HandedInterface | undefined;
  readonly #process: number;
  readonly #joins: boolean;

  private constructor(options: SteeredInterfaceOptions, readonly program: SteeringProgram) {
    const { config, queues, workers, alone, handed, joins = false, process } = options;
    this.#process = process;
    this.#joins = joins;
    this.#handed = handed;
    this.isShared = handed !== undefined;
    this.#config = config;
    this.#workers = workers;
    this.name = config.name;
    // With other interfaces there, packets of theirs are copied into chunks of this one.
    const reserve = alone ? 0 : config.umem.chunks >> 2;
    this.queues = queues.map((id) =>
      new SteeredQueue(id, config, workers, reserve, handed?.queues.find((queue) => queue.id === id))
    );
    if (handed === undefined) return;
    this.reattachments = handed.reattachments;
    this.unattachedMs = handed.unattachedMs;
    this.unsent = handed.unsent;
  }

  /** Loads the program, on another thread. Nothing is attached yet. */
  static async load(options: SteeredInterfaceOptions): Promise<SteeredInterface> {
    const { queues, workers, object, shareWith, handed, handedShared } = options;
    const queueLimit = Math.max(...queues) + 1;
    const program = { object, workerCount: workers, queueLimit, shareWith, handed: handed?.program, handedShared };
    return new SteeredInterface(options, await SteeringProgram.load(program));
  }

  get condition(): Condition {
    return this.#condition;
  }

  setCondition(state: Condition["state"], why = ""): void {
    if (state === this.#condition.state && why === this.#condition.why) return;
    this.#condition = { state, why, since: new Date().toISOString() };
  }

  /** What the device is called now, or was called last. */
  get currentName(): string {
    return this.#device?.name ?? this.name;
  }

  /** Of the device that it was attached to last; undefined once that has gone. */
  get ifindex(): number | undefined {
    return this.#device?.ifindex;
  }

  get device(): Device | undefined {
    return this.#device;
  }

  /** Takes note of what the device is called now; undefined: it has gone. */
  set device(device: Device | undefined) {
    this.#device = device;
  }

  /** In which mode it is attached, as the kernel says. */
  get attach(): AttachMode | "none" {
    return this.#link?.granted ?? "none";
  }

  /** Why native was not granted where it was tried first, or "". */
  get fallbackReason(): string {
    return this.#link?.fallbackReason ?? "";
  }

  /** True while there are sockets for its packets. */
  get hasSockets(): boolean {
    return this.queues.some(({ sockets }) => sockets.length > 0);
  }

  /** False where the kernel has cut its sockets off. */
  get isBound(): boolean {
    return this.queues.every(({ isBound, sockets }) => sockets.length === 0 || isBound);
  }

  /** Why packets do not get to the workers, though nothing here has detached it; undefined while they do. */
  get fault(): string | undefined {
    if (this.#link === undefined) return undefined;
    if (!this.isBound) return "its device left this network namespace for a moment, and the sockets are cut off";
    return this.#link.fault;
  }

  /** Tells the program which Ethernet addresses are the box's own in frames that come by the device; none: all are. */
  setMacs(macs: readonly Uint8Array[]): void {
    const isLoopback = this.#device?.isLoopback ?? false;
    const key = `${isLoopback} ${macs.map((mac) => mac.toHex()).join()}`;
    if (key === this.#macs) return;
    this.program.setDevice({ isLoopback, macs });
    this.#macs = key;
    if (macs.length <= LIMIT.MACS) return;
    log.warn(
      "{interface} has {count} Ethernet addresses with the devices on top of it, and at most {most} are told " +
        "apart: frames for other hosts are taken for its own",
      { interface: this.#config.name, count: macs.length, most: LIMIT.MACS },
    );
  }

  /** Attaches the program to a device. Without sockets, every packet still passes to the kernel stack. */
  attachTo(device: Device): void {
    this.#device = device;
    if (this.#answers !== undefined) this.answerBy(this.#answers);
    else removeLeftOver(device.ifindex);
    this.setMacs(device.mac === undefined ? [] : [device.mac]);
    this.#link = XdpLink.attach(this.program.fd, device.ifindex, device.name, this.#config.attach);
  }

  /**
   * Goes on with the link and the sockets that another process has: its program stays in place until
   * {@linkcode takeLink}.
   *
   * @throws {SteerError} where they do not fit.
   */
  async adopt(device: Device): Promise<void> {
    const { link, fallbackReason, ifindex } = this.#handed!;
    if (ifindex !== device.ifindex) throw new SteerError(`Interface "${this.name}" is another device by now`);
    this.#device = device;
    this.setMacs(device.mac === undefined ? [] : [device.mac]);
    this.#link = XdpLink.adopt(link, ifindex, device.name, fallbackReason);
    for (const queue of this.queues) {
      if (this.#joins) await queue.join(this.#socketOptions());
      else queue.adopt(this.#socketOptions());
    }
    this.fillXskMap();
  }

  /**
   * Goes on with what a process has left that has certainly ended. Its packets pass to the kernel stack from now on.
   *
   * @throws {SteerError} where it does not fit.
   */
  async inherit(device: Device): Promise<void> {
    this.isShared = false;
    removeLeftOver(device.ifindex);
    await this.adopt(device);
    this.takeLink(); // no table is in force yet
  }

  /**
   * Finds the chunks that were in the hands of that process's workers. No packet may be on its way to the sockets any
   * more.
   *
   * @returns how many cannot be told from those that the kernel has, and stay out of circulation.
   */
  async recover(): Promise<number> {
    let lost = 0;
    for (const queue of this.queues) lost += (await queue.recover())?.lost ?? 0;
    return lost;
  }

  /** Lets go of sockets of another process that it has joined, which nobody looks at any more. */
  leaveFormer(): void {
    for (const queue of this.queues) queue.leaveFormer(`interface "${this.name}" queue ${queue.id}`);
  }

  /** Has this process's program decide on packets from now on, in the place of another process's. */
  takeLink(): void {
    this.#link?.replace(this.program.fd);
  }

  /**
   * What another process needs to go on with it.
   *
   * @param fd Takes a descriptor along, and returns its number there.
   * @throws {SteerError} where it is not attached.
   */
  handOver(fd: (fd: number) => number): HandedInterface {
    const { name, condition, ifindex, reattachments, unattachedMs, unsent, fallbackReason } = this;
    if (condition.state !== "attached" || this.#link === undefined || ifindex === undefined) {
      throw new SteerError(`Interface "${name}" is not attached: ${condition.why}`, {
        hint: "hand over when it is, or restart",
      });
    }
    return {
      ...{ ifindex, fallbackReason, reattachments, unattachedMs, unsent },
      link: fd(this.#link.fd),
      program: this.program.handOver(fd),
      queues: this.queues.map((queue) => queue.handOver(fd)),
    };
  }

  /**
   * Has a program look at what leaves by the device, from now on, wherever it is attached to; undefined: none.
   *
   * @throws {UnsupportedError} where the kernel has no tc.
   */
  answerBy(program: AnswerProgram | undefined): void {
    this.#answers = program;
    this.#answerLink?.close();
    this.#answerLink = undefined;
    if (program === undefined || this.#device === undefined) return;
    this.#answerLink = program.attach(this.#device.ifindex, this.#device.name);
  }

  /** Attaches that program again, where somebody else has detached it. @returns Whether it was so. */
  repairAnswers(): boolean {
    if (this.#answerLink?.isAttached !== false) return false;
    this.answerBy(this.#answers);
    return true;
  }

  /** Opens and binds a socket for every worker on each queue that the device still has. */
  async openSockets(): Promise<void> {
    const present = rxQueues(this.currentName);
    for (const queue of this.queues) if (present.includes(queue.id)) await queue.open(this.#socketOptions());
  }

  /** Makes the sockets reachable: from now on a listed port's packets would be redirected. */
  fillXskMap(): void {
    for (const { id, sockets } of this.queues) {
      sockets.forEach((socket, worker) => this.program.setSocket(id, worker, socket.fd));
    }
  }

  /** Puts sockets back that are not reachable any more. @returns how many there were. */
  refillXskMap(): number {
    let added = 0;
    for (const { id, sockets } of this.queues) {
      sockets.forEach(({ fd }, worker) => added += this.program.addSocket(id, worker, fd) ? 1 : 0);
    }
    return added;
  }

  /** Packets for listed ports that came to a queue without sockets, and went to the kernel stack. */
  uncoveredPackets(): number {
    return this.program.readReason(REASON.UNCOVERED_QUEUE);
  }

  /** Looks which queues the device has by now. */
  noteQueues(): void {
    if (this.#config.queues !== "all") return;
    // Renamed just now: the next look knows its new name.
    if (this.ifindex === undefined || interfaceName(this.ifindex) !== this.currentName) return;
    const open = new Set(this.queues.flatMap(({ id, sockets }) => sockets.length > 0 ? [id] : []));
    this.newQueues = rxQueues(this.currentName).filter((id) => !open.has(id));
  }

  /** MTU of the device, and the largest of which every packet fits a chunk; undefined while it is gone. */
  get mtu(): { readonly now: number; readonly largest: number } | undefined {
    const { chunkSize, headroom } = this.#config.umem;
    const largest = chunkSize - XDP_PACKET_HEADROOM - headroom - ETHERNET_BYTES;
    return this.#device === undefined ? undefined : { now: this.#device.mtu, largest };
  }

  /** What workers need to know of its queues that never changes; one end per queue. */
  places(networkInterface: number): EndPlace[] {
    const { chunkSize, chunks } = this.#config.umem;
    return this.queues.map(({ id, state, reserve }) => ({
      ...{ networkInterface, queue: id, chunkSize, chunks, reserve, state, process: this.#process },
      workers: this.#workers,
    }));
  }

  /** Its packets go to the kernel stack from now on, unless another process has it: see {@linkcode isShared}. */
  detach(): void {
    if (this.isShared) this.#link?.close();
    else this.#link?.detach();
    this.#link = undefined;
  }

  /** Closes all sockets and their memory. No worker may look at them any more. */
  closeSockets(): void {
    for (const queue of [...this.queues].reverse()) this.unsent += queue.close();
  }

  /** Closes everything, in reverse order of opening. No worker may be running any more. */
  close(): void {
    this.detach();
    this.answerBy(undefined);
    this.closeSockets();
    for (const queue of this.queues) queue[Symbol.dispose]();
    this.program[Symbol.dispose]();
  }

  #socketOptions(): Parameters<SteeredQueue["open"]>[0] {
    const { name, zeroCopy } = this.#config;
    if (zeroCopy === "require" && this.attach === "generic") {
      throw new UnsupportedError(`Interface "${name}" has no zero-copy: it is attached in generic mode`, {
        hint: "set zero_copy: auto, or attach: native to see why native XDP is refused",
      });
    }
    // A generic attach with a zero-copy socket is accepted by some drivers and then receives nothing.
    const allowed = this.attach === "generic" ? "off" : zeroCopy;
    return { interfaceName: name, ifindex: this.ifindex!, zeroCopy: allowed };
  }
}
