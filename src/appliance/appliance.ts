/**
 * The whole appliance: interfaces, workers and rules, brought up and taken down in the right order.
 *
 * Up: programs attached with an empty port table (everything passes) -> sockets bound -> workers running -> xsk_map
 * filled -> the first generation put in force, last. Down: programs detached first -> workers drain what is in their
 * rings -> everything closed.
 *
 * @module
 */
import { LIMIT, REASON } from "../bpf/layout.gen.ts";
import type { SteeringProgram } from "../bpf/program.ts";
import { stateDirectory } from "../config/kept_file.ts";
import type { Config } from "../config/schema.ts";
import { SteerError } from "../errors.ts";
import { currentNiceness } from "../ffi/process.ts";
import { closeFd, rcuGracePeriod, yieldPriority } from "../ffi/libc.ts";
import type { FlowKey } from "../packet/flow_key.ts";
import { RuleSlots } from "../steering/slots.ts";
import { createForwardTables, viewForwardTables } from "../steering/forward_table.ts";
import { createWorkerTables, viewWorkerTables } from "../steering/worker_table.ts";
import { logger } from "../log.ts";
import type { Captures, CaptureStatus } from "../capture/captures.ts";
import { type Departed, RuleTotals } from "../engine/counters.ts";
import { ChangeQueue } from "../engine/change_queue.ts";
import { Forwarding } from "../backends/forwarding.ts";
import { forwarderOptions } from "../backends/translation.ts";
import type { KeptTable } from "../bpf/kept_table.ts";
import { Heartbeats } from "../bpf/heartbeats.ts";
import { PortTable } from "../bpf/port_table.ts";
import { EndDirectory } from "../engine/end_directory.ts";
import { type HandedInterface, SteeredInterface } from "../engine/interface.ts";
import { InterfaceKeeper } from "../engine/keeper.ts";
import { Devices } from "../host/devices.ts";
import { findInterfaces, type FoundInterface } from "../host/found_interfaces.ts";
import { TABLE } from "../dataplane/control_words.ts";
import { type Pause, PauseWatch } from "../host/pauses.ts";
import { requireOpenFiles, requireThreads } from "../host/privileges.ts";
import { type DeadmanReport, DeadmanWatch } from "../engine/deadman_watch.ts";
import { Delivery } from "../engine/delivery.ts";
import { Reconciler, type Repair } from "../engine/reconciler.ts";
import { SourceWatch } from "../guard/source_watch.ts";
import { SenderSets } from "../bpf/sender_sets.ts";
import { AddressFollower } from "./own_addresses.ts";
import { Steering } from "./steering.ts";
import { BanTable } from "../bpf/ban_table.ts";
import type { BanFile } from "../guard/ban_file.ts";
import { BanRequests } from "../guard/ban_requests.ts";
import { Bans } from "../guard/bans.ts";
import { SourceGuard } from "../guard/source_guard.ts";
import { WorkerPool } from "../engine/workers.ts";
import { RULE_COUNTER_FIELDS } from "../bpf/rule_counters.ts";
import { isCountedAtSocket, lostPackets } from "../xsk/socket_counters.ts";
import { remapTotals } from "../engine/totals_remap.ts";
import type { Homes, Rehomed } from "../steering/rehome.ts";
import type { HandedAppliance, Handovers } from "./handover/estate.ts";
import { arrivalsNow, descriptorsOfOthers, formerShape, homesOf, withArrivals } from "./handover/former.ts";

export interface ApplianceOptions {
  readonly config: Config;
  /** Contents of a BPF object to use instead of the embedded one. */
  readonly object?: Uint8Array<ArrayBuffer> | undefined;
  /** Where bans are kept. */
  readonly banFile?: BanFile | undefined;
  /** The module of the process, main.ts or its bundle. */
  readonly entry: URL;
  /** What another process gives, which steers until this one takes over. */
  readonly handed?: HandedAppliance | undefined;
  /** True where that process has certainly ended, and all of it is this one's. */
  readonly inherited?: boolean;
}

/** What a start has opened so far, so that a failed one closes exactly that. */
interface Parts {
  readonly interfaces: SteeredInterface[];
  readonly workers: WorkerPool;
  readonly devices: Devices;
  keeper?: InterfaceKeeper;
  reconciler?: Reconciler;
  pauses?: PauseWatch;
  addresses?: AddressFollower;
  steering?: Steering;
  /** Who gets which session, where workers are others than those of the process before. */
  homes?: () => Homes;
  /** Descriptors of its interfaces that are not steered here. */
  notTaken?: number[];
  bans?: Bans;
  banFile?: BanFile | undefined;
  banRequests?: BanRequests;
  captures?: Captures;
  delivery?: Delivery;
  heartbeats?: Heartbeats;
  deadman?: DeadmanWatch;
  sources?: SourceWatch;
  kept?: KeptTable;
  /** Told when an interface has been attached, has gone, or is detached. */
  onInterfaces: () => void;
}

/**
 * Where a CPU is short, packets go before whoever asks about them: a worker outweighs the control thread three to one.
 */
const CONTROL_NICENESS = 5;

/** In which a worker takes its ends back. */
const TAKE_BACK_MS = 5000;

const log = logger("appliance");

export type Stage = "starting" | "steering" | "stopping";

export class Appliance {
  readonly interfaces: readonly SteeredInterface[];
  readonly workers: WorkerPool;
  /** Who sends most. */
  readonly sources: SourceWatch;
  readonly #parts: Parts;
  readonly #startedMs = performance.now();
  #stopping: Promise<void> | undefined;
  /** Interfaces that another process would not steer. */
  #left: readonly SteeredInterface[] = [];

  private constructor(
    parts: Parts,
    readonly steering: Steering,
    readonly counts: RuleTotals,
    private readonly slots: RuleSlots,
    /** Of the hash that finds sessions. */
    private readonly key: FlowKey,
    /** Of the workers. */
    private readonly niceness: number,
    /** Of all that changes what is in force. */
    readonly queue: ChangeQueue,
    readonly bans: Bans,
  ) {
    this.#parts = parts;
    this.interfaces = parts.interfaces;
    this.workers = parts.workers;
    this.sources = parts.sources!;
  }

  /**
   * Brings everything up. When it returns, packets are steered.
   *
   * @throws {SteerError} and leaves nothing behind when any part fails.
   */
  static async start(options: ApplianceOptions): Promise<Appliance> {
    const { config, object, banFile, entry, handed, inherited = false } = options;
    // Another process steers, until it lets this one.
    const isBeside = handed !== undefined && !inherited;
    const niceness = isBeside ? handed.niceness : currentNiceness();
    using opened = new DisposableStack();
    const devices = opened.use(new Devices());
    const found = findInterfaces(config.interfaces, devices); // before the first is touched
    const handedOf = (index: number): HandedInterface | undefined => handedInterface(found[index]!, handed);
    const former = handed?.former === undefined
      ? undefined
      : formerShape(handed.interfaces, found, { ...handed.former, ruleSlots: LIMIT.RULE_SLOTS });
    requireThreads(config.workers.count);
    requireOpenFiles(config.workers.count, found.reduce((sum, { queues }) => sum + queues.length, 0));
    const load = (index: number, shareWith?: SteeringProgram): Promise<SteeredInterface> =>
      SteeredInterface.load({
        config: config.interfaces[index]!,
        queues: found[index]!.queues,
        workers: config.workers.count,
        object,
        shareWith,
        alone: config.interfaces.length === 1,
        process: (handed?.workers.process ?? 0) + 1,
        handed: handedOf(index),
        handedShared: handed?.interfaces[0]?.program,
        joins: former !== undefined,
      });
    // The kernel has the first program loaded by the time that the workers' threads are there, for which this one has
    // to wait.
    const first = load(0);
    const workers = new WorkerPool({ ...config.workers, entry, handed: handed?.workers, inherited, former, niceness });
    const queue = new ChangeQueue();
    const parts: Parts = { interfaces: [], workers, devices, banFile, onInterfaces: () => {} };
    opened.move();
    try {
      for (const index of found.keys()) {
        parts.interfaces.push(await (index === 0 ? first : load(index, parts.interfaces[0]!.program)));
      }
      const { interfaces } = parts;
      const directory = new EndDirectory(interfaces, workers.count, workers.readers(TABLE.ends));
      const keeper = parts.keeper = new InterfaceKeeper({ interfaces, devices, directory, queue });
      keeper.paused = former !== undefined;
      for (const [index, steered] of interfaces.entries()) {
        if (handedOf(index) === undefined) await keeper.attach(steered, found[index]!.device);
        else if (inherited) await steered.inherit(found[index]!.device);
        else await steered.adopt(found[index]!.device);
        // The first forward table is made while workers start, and names ways out that are there when it is in force.
        steered.setCondition("attached");
      }
      if (inherited) await recover(interfaces);
      const addresses = parts.addresses = new AddressFollower({
        ...{ devices, interfaces, queue },
        apply: () => steering.follow(),
      });
      addresses.setMacs();
      const tables = createWorkerTables(LIMIT.RULE_SLOTS);
      const forwardTables = createForwardTables(LIMIT.RULE_SLOTS);
      const [low, high] = crypto.getRandomValues(new Int32Array(2));
      const key = handed?.key ?? { low: low!, high: high! };
      const { program } = interfaces[0]!;
      const heartbeats = parts.heartbeats = new Heartbeats(program.controlFd);
      const begin = (): Promise<void> =>
        workers.begin({
          ruleSlots: LIMIT.RULE_SLOTS,
          tables,
          forwardTables,
          sessions: (worker) => forwarderOptions(config.forwarding, worker, workers.count, key, LIMIT.RULE_SLOTS),
          places: directory.places,
          endTables: directory.memory,
          heartbeat: (worker) => heartbeats.of(worker),
        });
      // Another process's workers have the sockets until it is told to let these have them.
      const ready = handed === undefined
        ? keeper.serve(interfaces, begin)
        : directory.publish(interfaces, false).then(begin);
      ready.catch(() => {}); // told by whoever waits for it

      const slots = new RuleSlots(LIMIT.RULE_SLOTS, handed?.slots);
      const totals = former === undefined ? handed?.totals : remapTotals(
        handed!.totals,
        { workers: handed!.workers.counters.length, ends: former.ends },
        { workers: workers.count, ends: directory.places.length },
      );
      const ruleTotals = new RuleTotals(interfaces, workers.counters, slots, totals);
      parts.sources = new SourceWatch({ open: () => new SenderSets(program) });
      const delivery = parts.delivery = new Delivery({
        interfaces,
        load: async () => {
          const { AnswerProgram } = await import("../bpf/answer_program.ts"); // loaded when first used
          return await AnswerProgram.load(program);
        },
      });
      const portTable = new PortTable(program, () => addresses.own);
      const bans = parts.bans = new Bans({
        table: new BanTable(program.banMaps),
        own: () => addresses.own,
        ruleNames: () => steering.rules.map(({ name }) => name),
        apply: () => queue.run(() => steering.follow()),
        ...banFile === undefined ? {} : { keep: (bans: Bans) => banFile.keep(bans), kept: () => banFile.flush() },
      });
      const steering: Steering = new Steering({
        portTable,
        bansOf: (rule) => bans.of(rule),
        guard: new SourceGuard({
          ...{ entry, queue, maps: program.sourceMaps, directory: stateDirectory() },
          use: (place) => portTable.useSources(place),
          settled: () => portTable.settled,
        }),
        exact: program.embedded,
        tables: viewWorkerTables(tables),
        slots,
        generation: handed?.generation,
        retirement: (reused) => ruleTotals.retirement(reused),
        workers,
        queue,
        delivery,
        translation: config.forwarding,
        forwarding: new Forwarding({
          tables: viewForwardTables(forwardTables, LIMIT.RULE_SLOTS),
          config: config.forwarding,
          before: former === undefined
            ? handed?.forwarding
            : withArrivals(handed!.forwarding, arrivalsNow(handed!.interfaces, found)),
          interfaces,
          workers,
          queue,
          onChange: () => steering.followHealth(),
          openKept: async () => {
            const { KeptTable } = await import("../bpf/kept_table.ts"); // loaded when first used
            return parts.kept = new KeptTable(
              program,
              workers.count * config.forwarding.sessions,
              former === undefined ? handed?.kept : null,
            );
          },
        }),
        openCaptures: async () => {
          const { Captures } = await import("../capture/captures.ts"); // loaded when first used
          return parts.captures = new Captures({
            workers,
            interfaces,
            queue,
            slotOf: (rule) => slots.slotOf(rule),
            directory: config.capture.directory,
            entry,
          });
        },
      });
      parts.steering = steering;
      const { forwarding: { addresses: translated }, guard, lists } = config;
      if (banFile !== undefined) await bans.restore(banFile.read());
      await queue.run(() => steering.apply(config.steering, { addresses: translated, guard: { guard, lists }, ready }));
      // Not before: what waits in the rings is decided by the rules.
      if (inherited && !(await workers.pass(workers.process, TAKE_BACK_MS))) {
        throw new SteerError("A worker does not take what there is");
      }
      if (!isBeside) yieldPriority(CONTROL_NICENESS); // else whoever started this one has
      workers.keepOthersOff();
      await steering.captured;
      workers.watch();
      const deadman = parts.deadman = new DeadmanWatch({
        heartbeats,
        arm: async () => {
          const { Deadman } = await import("../bpf/deadman.ts"); // no packet waits for it
          return await Deadman.arm(program.controlFd);
        },
        packets: () => interfaces.reduce((sum, { program }) => sum + program.readReason(REASON.DEADMAN), 0),
      });
      void deadman.arm();
      parts.banRequests = new BanRequests({
        maps: program.banMaps,
        bans,
        rules: () => steering.rules,
        ruleOf: (limit) => portTable.limits.ruleOf(limit),
      });
      parts.reconciler = new Reconciler({ portTable, interfaces });
      parts.reconciler.paused = former !== undefined;
      if (handed !== undefined && former !== undefined) {
        const arrivalOf = arrivalsNow(handed.interfaces, found);
        parts.notTaken = descriptorsOfOthers(handed.interfaces, found);
        parts.homes = () => homesOf(config, steering.rules, (rule) => slots.slotOf(rule), arrivalOf);
      }
      parts.pauses = new PauseWatch();
      keeper.watch(() => {
        addresses.look();
        steering.forwarding.interfacesChanged();
        parts.onInterfaces();
      });
      devices.follow(() => addresses.look());
      addresses.look(); // for what has changed since the first table was written
      return new Appliance(parts, steering, ruleTotals, slots, key, niceness, queue, bans);
    } catch (error) {
      await close(parts);
      throw error;
    }
  }

  /** Detaches, lets the workers finish, and closes everything. Safe to call more than once. */
  stop(): Promise<void> {
    return this.#stopping ??= close(this.#parts);
  }

  /**
   * Rejects when it cannot go on and a restart may help: a worker has failed, or does not run; no interface can be
   * attached; queues have no sockets.
   */
  get failure(): Promise<never> {
    const { keeper, reconciler } = this.#parts;
    return Promise.race([this.workers.failure, keeper!.failure, reconciler!.failure]);
  }

  /**
   * Compares what is in force in the kernel with what was put there, now and not only at the next look, and begins to
   * put right what differs: whoever asks how it stands is told of this moment.
   */
  compare(): void {
    if (this.#stopping !== undefined) return;
    this.#parts.keeper!.look();
    this.#parts.reconciler!.look();
  }

  /** Calls `changed` when an interface has been attached, has gone, or is detached. */
  onInterfaces(changed: () => void): void {
    this.#parts.onInterfaces = changed;
  }

  /** What the deadman has done. */
  deadman(): DeadmanReport {
    return this.#parts.deadman!.report();
  }

  /** What was put right in the kernel, of each kind. */
  repairs(): readonly Repair[] {
    return this.#parts.reconciler!.repairs();
  }

  /** Times in which the process did not run though it should have. */
  get pauses(): { readonly totalMs: number; readonly last: Pause | undefined } {
    return this.#parts.pauses!;
  }

  /** Whether a name, or an alternative one, is that of the device that an interface is attached to. */
  hasName(index: number, name: string): boolean {
    const { interfaces, devices } = this.#parts;
    const ifindex = interfaces[index]?.ifindex;
    return ifindex !== undefined && devices.byName(name)?.ifindex === ifindex;
  }

  /** The configuration calls an interface so from now on: by this name it is looked for when it comes back. */
  rename(index: number, name: string): void {
    this.interfaces[index]!.name = name;
  }

  /**
   * What another process needs to go on with it all.
   *
   * @param fd Takes a descriptor along, and returns its number there.
   * @throws {SteerError} where it cannot be handed over now.
   */
  async handOver(fd: (fd: number) => number): Promise<HandedAppliance> {
    await this.#parts.banFile?.flush();
    return this.standing(fd);
  }

  /** The same, but for bans that are not in their file yet. */
  standing(fd: (fd: number) => number): HandedAppliance {
    return {
      interfaces: this.interfaces.map((steered) => steered.handOver(fd)),
      workers: this.workers.handOver(fd),
      slots: this.slots.standing,
      totals: this.counts.standing,
      generation: this.steering.generation,
      niceness: this.niceness,
      key: this.key,
      forwarding: this.steering.forwarding.standing,
      kept: this.#parts.kept?.handOver(fd) ?? null,
    };
  }

  /** Descriptors by which the kernel goes on to look after packets when this process ends. */
  get watching(): readonly number[] {
    const fd = this.#parts.deadman?.fd;
    return fd === undefined ? [] : [fd];
  }

  /** Calls `published` when something has been put in force that workers read. */
  onPublish(published: () => void): void {
    this.workers.onPublish = published;
  }

  /** Whether another process steers the packets, or may take that back: they are not this one's to detach. */
  set shared(shared: boolean) {
    for (const steered of this.interfaces) steered.isShared = shared;
  }

  /** Whether its workers, rings or interfaces are others than those of the process that it takes over from. */
  get isOther(): boolean {
    return this.#parts.homes !== undefined;
  }

  /** Indexes of those interfaces that are not steered here. */
  notSteered(handed: readonly HandedInterface[]): number[] {
    const here = this.interfaces.map(({ ifindex }) => ifindex);
    return handed.map(({ ifindex }) => ifindex).filter((ifindex) => !here.includes(ifindex));
  }

  /**
   * Begins with what the workers of another process have left, all of which have given up.
   *
   * @param departed What that has counted of interfaces that are not steered here.
   * @throws {SteerError} where a worker does not begin within `limitMs`.
   */
  async takeAll(departed: readonly Departed[], limitMs: number): Promise<Rehomed> {
    const { received, ...rehomed } = await this.workers.takeAll(this.counts.slotsUsed, this.#parts.homes!(), limitMs);
    this.counts.depart(departed, received);
    for (const steered of this.interfaces) {
      steered.leaveFormer();
      steered.fillXskMap();
    }
    for (const fd of this.#parts.notTaken?.splice(0) ?? []) closeFd(fd); // or their queues would stay taken
    this.paused = false;
    return rehomed;
  }

  /** Leaves interfaces, by index, to the kernel stack: another process that takes over does not steer them. */
  leaveInterfaces(ifindexes: readonly number[]): void {
    this.#left = this.interfaces.filter(({ ifindex }) => ifindex !== undefined && ifindexes.includes(ifindex));
    for (const steered of this.#left) {
      steered.isShared = false;
      steered.detach();
    }
  }

  /** What was counted of these. */
  departed(): Departed[] {
    return this.#left.map(({ program, queues, redirectErrors }) => {
      const rules = program.readRuleCounters(0, this.counts.slotsUsed);
      const fields = RULE_COUNTER_FIELDS.length;
      const drops = queues.flatMap((queue) => this.workers.counters.map((_, worker) => queue.statistics(worker)));
      const errors = [...redirectErrors()].filter(([errno]) => !isCountedAtSocket(errno));
      return {
        rules: Array.from({ length: rules.length / fields }, (_, slot) => [
          ...rules.subarray(slot * fields, (slot + 1) * fields),
        ]),
        reasons: program.readXdpCounters(rules).byReason,
        socketDrops: drops.reduce((sum, each) => sum + lostPackets(each), 0),
        redirectErrors: errors.reduce((sum, [, packets]) => sum + packets, 0),
      };
    });
  }

  /** Takes what a process before this one has counted, which has ended counting. */
  carry(redirectErrors: Handovers["redirectErrors"], handed: readonly HandedInterface[]): void {
    redirectErrors.forEach((errors, index) => {
      this.interfaces.find(({ ifindex }) => ifindex === handed[index]?.ifindex)?.carryErrors(errors);
    });
  }

  /** True while another process is to take over, or has: what is in force is not looked after here. */
  set paused(paused: boolean) {
    const { keeper, reconciler } = this.#parts;
    keeper!.paused = reconciler!.paused = paused;
  }

  /**
   * Goes on as before with what a process has had that was to take over, and that has ended.
   *
   * @throws {SteerError} where a worker does not.
   */
  async takeBack(): Promise<void> {
    const { workers } = this;
    const ended = workers.process + 1;
    workers.bury(ended);
    for (const { queues } of this.interfaces) for (const queue of queues) queue.unlock(ended);
    for (const steered of this.#left) steered.attachTo(steered.device!);
    this.#left = [];
    this.takeLinks();
    if (!(await workers.pass(workers.process, TAKE_BACK_MS))) throw new SteerError("A worker does not go on");
    this.paused = false;
  }

  /** Has the XDP programs of this process decide on packets from now on. */
  takeLinks(): void {
    for (const steered of this.interfaces) steered.takeLink();
  }

  /** Where it is on its way from the start to the stop. */
  get stage(): Stage {
    if (this.#stopping !== undefined) return "stopping";
    return this.steering.isInForce ? "steering" : "starting";
  }

  /**
   * True from the first generation to the stop, while its workers run. Whether packets get anywhere, the list of
   * problems says.
   */
  get ready(): boolean {
    return this.stage === "steering" && this.alive;
  }

  /**
   * Whether all workers make progress. Where one does not, only a new process can help: a service manager that watches
   * this starts one.
   */
  get alive(): boolean {
    return this.workers.allRunning;
  }

  get uptimeMs(): number {
    return Math.round(performance.now() - this.#startedMs);
  }

  /** By rule: what is captured now, and what was captured before. */
  captureStatus(): readonly CaptureStatus[] {
    return this.#parts.captures?.status() ?? [];
  }
}

/** Puts what the workers of a process had in hand that has ended into circulation again. All packets pass now. */
async function recover(interfaces: readonly SteeredInterface[]): Promise<void> {
  await rcuGracePeriod(); // the last redirected packets are in the rings now
  for (const steered of interfaces) {
    const lost = await steered.recover();
    if (lost === 0) continue;
    log.warn("Interface {interface}: {lost} chunks stay out of circulation, for the kernel may have them", {
      interface: steered.name,
      lost,
      hint: "a restart brings them back",
    });
  }
}

/**
 * What another process gives of an interface; undefined where it gives none.
 *
 * @throws {SteerError} where it has to.
 */
function handedInterface(
  { device: { ifindex, name } }: FoundInterface,
  handed: HandedAppliance | undefined,
): HandedInterface | undefined {
  const given = handed?.interfaces.find((each) => each.ifindex === ifindex);
  if (given !== undefined || handed === undefined || handed.former !== undefined) return given;
  throw new SteerError(`Interface "${name}" is another device by now`);
}

async function close(parts: Parts): Promise<void> {
  const {
    interfaces,
    workers,
    devices,
    keeper,
    reconciler,
    pauses,
    addresses,
    steering,
    captures,
    bans,
    banFile,
    banRequests,
    delivery,
    heartbeats,
    deadman,
    sources,
    kept: keptTable,
  } = parts;
  reconciler?.[Symbol.dispose]();
  pauses?.[Symbol.dispose]();
  keeper?.[Symbol.dispose]();
  addresses?.[Symbol.dispose]();
  devices[Symbol.dispose]();
  banRequests?.[Symbol.dispose]();
  bans?.[Symbol.dispose]();
  const kept = banFile?.flush();
  for (const steered of interfaces) steered.detach();
  deadman?.[Symbol.dispose]();
  await rcuGracePeriod(); // the last redirected packets are in the rings now
  const joined = await workers.stop();
  await kept;
  await captures?.stop();
  delivery?.[Symbol.dispose]();
  sources?.[Symbol.dispose]();
  if (!joined) {
    // A thread may still touch the rings, so they stay mapped: the process ends next, and the kernel frees them.
    log.error("A worker did not stop in time; its memory is freed when the process ends");
    return;
  }
  await steering?.[Symbol.asyncDispose]();
  keptTable?.[Symbol.dispose]();
  heartbeats?.[Symbol.dispose]();
  for (const steered of [...interfaces].reverse()) steered.close();
}
