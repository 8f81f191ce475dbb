/**
 * One loaded instance of the steering program: one per interface, since queues differ, with the port table shared by
 * all instances, so that one store flips every interface at once.
 *
 * @module
 */
import objectBytes from "../../build/steer.bpf.o" with { type: "bytes" };
import { messageOf, SteerError } from "../errors.ts";
import { ERRNO, syscallError } from "../ffi/errno.ts";
import { readRegularFile } from "../ffi/held_file.ts";
import {
  type BpfObjectHandle,
  closeObject,
  findMap,
  loadObject,
  lookupElement,
  lookupRange,
  mapFd,
  possibleCpus,
  programFd,
  reuseMap,
  setInitialValue,
  setMaxEntries,
  u32,
  updateElement,
} from "../ffi/libbpf.ts";
import { UAPI } from "../ffi/uapi.ts";
import type { AddressMaps } from "./address_table.ts";
import type { BanMaps } from "./ban_table.ts";
import type { LimitMaps } from "./rule_limits.ts";
import type { SourceMaps } from "./source_maps.ts";
import {
  DEVICE,
  DEVICE_FLAG,
  GUARD_COUNTERS,
  LIMIT,
  PARAMETERS,
  REASON,
  RULE_COUNTERS,
  XDP_COUNTERS,
} from "./layout.gen.ts";
import { RULE_COUNTER_FIELDS, RULE_REASONS, type RuleCounters } from "./rule_counters.ts";

const PROGRAM = "xdp_port_redirect";
/** Maps by what they hold. Those with a point before their names are sections of variables. */
const SHARED_MAPS = {
  /** `port_to_queue_map` */
  portTable: ".bss.ports",
  moreEntries: ".bss.more",
  addresses: ".bss.addresses",
  /** `delivery_ports` */
  deliveryPorts: ".bss.delivery",
  deliveredFlows: "delivered_flows",
  senderSets: "sender_sets",
  /** `kept` */
  kept: ".bss.kept",
  keptSets: "kept_sets",
  addressMasks: "address_masks",
  ipv4Prefixes: "ipv4_prefixes",
  ipv6Prefixes: "ipv6_prefixes",
  control: ".data.control",
  ruleGuards: ".bss.guards",
  sources: ".bss.sources",
  ipv4Sources: "ipv4_source_lists",
  ipv6Sources: "ipv6_source_lists",
  limits: ".bss.limits",
  totals: ".bss.totals",
  sourceBuckets: "source_buckets",
  ipv4Bans: "ipv4_bans",
  ipv6Bans: "ipv6_bans",
  banRequests: "ban_requests",
} as const;
const OWN_MAPS = {
  xsk: "xsk_map",
  device: ".data.device",
  rules: "rule_counters",
  guards: "guard_counters",
  xdp: "xdp_counters",
  events: "events",
  eventLimits: "event_limits",
} as const;
const MAPS = { ...SHARED_MAPS, ...OWN_MAPS };

/** Those that another process goes on with: nothing of them is kept here, and only the kernel writes them. */
const HANDED_MAPS = ["rules", "guards", "xdp", "deliveredFlows"] as const;

/** What a process gives to the one that takes over from it, of one program. */
export interface HandedProgram {
  /** Everything that decides what is where in them. */
  readonly shape: string;
  /** Descriptors, in the order of the names here. */
  readonly maps: readonly number[];
}

const SHAPE = JSON.stringify([REASON, LIMIT.RULE_SLOTS, XDP_COUNTERS, RULE_COUNTERS, GUARD_COUNTERS]);

export interface SteeringProgramOptions {
  /** Contents of a compiled object; the embedded one where undefined. */
  readonly object?: Uint8Array<ArrayBuffer> | undefined;
  readonly workerCount: number;
  /** Highest queue id that gets sockets, plus one. */
  readonly queueLimit: number;
  /** An instance whose port table this one uses too. */
  readonly shareWith?: SteeringProgram | undefined;
  /** Of another process, whose counters go on. */
  readonly handed?: HandedProgram | undefined;
  /** The same, of what all instances have in common. Default: the same. */
  readonly handedShared?: HandedProgram | undefined;
}

/** What the XDP program counted, summed over CPUs. */
export interface XdpCounters {
  /** All packets: each has one reason. */
  readonly seen: number;
  /** Indexed by `REASON`. */
  readonly byReason: readonly number[];
}

export class SteeringProgram implements Disposable {
  readonly workerCount: number;
  /** False for an object of the operator's: what it redirects is not known to be what the port table says. */
  readonly embedded: boolean;
  readonly #handle: BpfObjectHandle;
  readonly #fds: Readonly<Record<keyof typeof MAPS, number>>;
  readonly #cpus = possibleCpus();
  /** Of the hash that finds places of sources: the same in all instances, which have them in common. */
  readonly #sourceKey: BigUint64Array<ArrayBuffer>;
  #closed = false;

  private constructor(
    handle: BpfObjectHandle,
    { workerCount, object }: SteeringProgramOptions,
    sourceKey: BigUint64Array<ArrayBuffer>,
  ) {
    this.#sourceKey = sourceKey;
    this.#handle = handle;
    this.workerCount = workerCount;
    this.embedded = object === undefined;
    this.#fds = Object.fromEntries(
      Object.entries(MAPS).map(([key, name]) => [key, mapFd(findMap(handle, name))]),
    ) as Record<keyof typeof MAPS, number>;
  }

  /**
   * Loads the program and creates its maps. Nothing is attached yet.
   *
   * @throws {SteerError} with the verifier's log when the kernel refuses it.
   */
  static async load(options: SteeringProgramOptions): Promise<SteeringProgram> {
    const { shareWith, handed, handedShared = handed } = options;
    if (handed !== undefined && handed.shape !== SHAPE) {
      throw new SteerError("The XDP program's counters have another layout in this version", {
        hint: "a restart takes it over: xdpsteer starts with counters from 0",
      });
    }
    const sourceKey = shareWith === undefined ? crypto.getRandomValues(new BigUint64Array(2)) : shareWith.#sourceKey;
    const parameters = new Uint8Array(PARAMETERS.size);
    new DataView(parameters.buffer).setUint32(PARAMETERS.workerCount, options.workerCount, true);
    parameters.set(new Uint8Array(sourceKey.buffer), PARAMETERS.sourceKey);
    const handle = await loadObject(options.object ?? (objectBytes as Uint8Array<ArrayBuffer>), (object) => {
      setInitialValue(findMap(object, ".rodata"), parameters);
      setMaxEntries(findMap(object, "xsk_map"), options.queueLimit * options.workerCount);
      HANDED_MAPS.forEach((key, index) => {
        const from = Object.hasOwn(OWN_MAPS, key) ? handed : shareWith === undefined ? handedShared : undefined;
        const fd = from?.maps[index];
        if (fd !== undefined) reuseMap(findMap(object, MAPS[key]), fd);
      });
      if (shareWith === undefined) return;
      for (const name of Object.values(SHARED_MAPS)) {
        reuseMap(findMap(object, name), mapFd(findMap(shareWith.#handle, name)));
      }
    });
    try {
      return new SteeringProgram(handle, options, sourceKey);
    } catch (error) {
      closeObject(handle);
      throw error;
    }
  }

  get fd(): number {
    return programFd(this.#handle, PROGRAM);
  }

  /** What another process goes on with. @param fd Takes a descriptor along, and returns its number there. */
  handOver(fd: (fd: number) => number): HandedProgram {
    return { shape: SHAPE, maps: HANDED_MAPS.map((key) => fd(this.#fds[key])) };
  }

  get portTableFd(): number {
    return this.#fds.portTable;
  }

  /** Of the variable `more_entries`. */
  get moreEntriesFd(): number {
    return this.#fds.moreEntries;
  }

  /** Of the variable `addresses`. */
  get addressesFd(): number {
    return this.#fds.addresses;
  }

  /** Of the variable `rule_guards`. */
  get ruleGuardsFd(): number {
    return this.#fds.ruleGuards;
  }

  get sourceMaps(): SourceMaps {
    return this.#fds;
  }

  /** Of the variable `delivery_ports`. */
  get deliveryPortsFd(): number {
    return this.#fds.deliveryPorts;
  }

  get senderSetsFd(): number {
    return this.#fds.senderSets;
  }

  /** Of the variable `kept`. */
  get keptFd(): number {
    return this.#fds.kept;
  }

  get keptSetsFd(): number {
    return this.#fds.keptSets;
  }

  get deliveredFlowsFd(): number {
    return this.#fds.deliveredFlows;
  }

  get ruleCountersFd(): number {
    return this.#fds.rules;
  }

  get banMaps(): BanMaps {
    return this.#fds;
  }

  get limitMaps(): LimitMaps {
    return this.#fds;
  }

  get addressMaps(): AddressMaps {
    return this.#fds;
  }

  get controlFd(): number {
    return this.#fds.control;
  }

  get eventsFd(): number {
    return this.#fds.events;
  }

  get eventLimitsFd(): number {
    return this.#fds.eventLimits;
  }

  get xskMapFd(): number {
    return this.#fds.xsk;
  }

  /**
   * Makes a socket the target of packets that arrive on `queue` for `worker`. The socket must be bound to that queue.
   */
  setSocket(queue: number, worker: number, socketFd: number): void {
    const key = u32(queue * this.workerCount + worker);
    const result = updateElement(this.#fds.xsk, key, u32(socketFd));
    if (result < 0) {
      throw syscallError("bpf_map_update_elem", -result, `put queue ${queue} worker ${worker} into xsk_map`);
    }
  }

  /**
   * The same, where there is no socket.
   *
   * @returns False where there was one.
   */
  addSocket(queue: number, worker: number, socketFd: number): boolean {
    const key = u32(queue * this.workerCount + worker);
    const value = u32(socketFd);
    // BPF_NOEXIST alone would not tell: it succeeds too where this very socket is there.
    if (updateElement(this.#fds.xsk, key, value, BigInt(UAPI.BPF_EXIST)) !== -ERRNO.ENOENT) return false;
    return updateElement(this.#fds.xsk, key, value, BigInt(UAPI.BPF_NOEXIST)) === 0;
  }

  /** Packets that no rule decided, for one reason. One system call. */
  readReason(reason: number): number {
    return this.#readReasons()[reason]!;
  }

  /**
   * Tells the program which Ethernet addresses are the box's own where packets come in; none: all are.
   *
   * @param macs The device's own first.
   */
  setDevice({ isLoopback, macs }: { readonly isLoopback: boolean; readonly macs: readonly Uint8Array[] }): void {
    const bytes = new Uint8Array(DEVICE.size);
    const view = new DataView(bytes.buffer);
    view.setUint32(DEVICE.flags, isLoopback ? DEVICE_FLAG.LOOPBACK : 0, true);
    // Where there are more than can be told apart, none is looked at.
    const told = macs.length > LIMIT.MACS ? [] : macs;
    view.setUint32(DEVICE.macCount, told.length, true);
    for (const [index, mac] of told.entries()) bytes.set(mac, DEVICE.macs + 8 * index + 2);
    const result = updateElement(this.#fds.device, u32(0), bytes);
    if (result < 0) throw syscallError("bpf_map_update_elem", -result, "write the device's addresses");
  }

  /**
   * What became of all packets, by reason.
   *
   * @param rules From {@linkcode readRuleCounters}, all slots in use: what a rule decided is counted by rule and
   * nowhere else.
   */
  readXdpCounters(rules: RuleCounters): XdpCounters {
    const byReason = [...this.#readReasons()];
    for (const [reason, field] of RULE_REASONS) {
      byReason[reason] = 0;
      for (let at = field; at < rules.length; at += RULE_COUNTER_FIELDS.length) byReason[reason] += rules[at]!;
    }
    return { seen: byReason.reduce((sum, packets) => sum + packets), byReason };
  }

  /**
   * The counters of `count` rule slots from `first` on, in one system call.
   *
   * @returns For each slot the numbers that {@linkcode RULE_COUNTER_FIELDS} names, summed over all CPUs. Exact to 2^53.
   */
  readRuleCounters(first: number, count = 1): RuleCounters {
    if (first + count > LIMIT.RULE_SLOTS) throw new RangeError(`There is no rule slot ${first + count - 1}`);
    const sums = new Float64Array(count * RULE_COUNTER_FIELDS.length);
    this.#addSlots(sums, "rules", RULE_COUNTERS.size, first, count);
    this.#addSlots(sums, "guards", GUARD_COUNTERS.size, first, count);
    return sums;
  }

  /** Adds what a map of counters has of the slots. */
  #addSlots(sums: Float64Array, map: "rules" | "guards", elementBytes: number, first: number, count: number): void {
    const bytes = lookupRange(this.#fds[map], first, count, elementBytes * this.#cpus, "read the rules' counters");
    const words = new Uint32Array(bytes.buffer);
    const fields = RULE_COUNTER_FIELDS.length;
    for (let field = 0; field < fields; field++) {
      if (RULE_COUNTER_FIELDS[field]!.map !== map) continue;
      let low = RULE_COUNTER_FIELDS[field]!.word * 2;
      for (let to = field; to < sums.length; to += fields) {
        for (let cpu = 0; cpu < this.#cpus; cpu++, low += elementBytes / 4) {
          sums[to] = sums[to]! + words[low]! + words[low + 1]! * 2 ** 32;
        }
      }
    }
  }

  /** Packets that no rule decided, by reason, summed over all CPUs. Exact to 2^53. */
  #readReasons(): Float64Array {
    const value = new Uint8Array(XDP_COUNTERS.size * this.#cpus);
    const result = lookupElement(this.#fds.xdp, u32(0), value);
    if (result < 0) throw syscallError("bpf_map_lookup_elem", -result, "read the XDP program's counters");
    const view = new DataView(value.buffer);
    const sums = new Float64Array(REASON.COUNT);
    for (let at = XDP_COUNTERS.byReason; at < value.byteLength; at += XDP_COUNTERS.size) {
      for (let reason = 0; reason < REASON.COUNT; reason++) {
        sums[reason] = sums[reason]! + Number(view.getBigUint64(at + 8 * reason, true));
      }
    }
    return sums;
  }

  /** Frees the maps and the program; a program still attached lives on until its link is closed. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeObject(this.#handle);
  }
}

/** Bytes of the largest object that is read; ours has a hundredth of that. */
const MAX_OBJECT_SIZE = 16 * 1024 * 1024;

/** Reads an object for `--bpf-object`. */
export function readObjectFile(path: string): Uint8Array<ArrayBuffer> {
  try {
    return readRegularFile(path, MAX_OBJECT_SIZE);
  } catch (cause) {
    throw new SteerError(`Cannot read the BPF object "${path}": it ${messageOf(cause)}`, {
      cause,
      hint: "name an object file that was built from bpf/steer.bpf.c: a regular file of at most 16 MiB",
    });
  }
}
