/**
 * The kernel's port table: two halves of its variables, written through mmap, one in force at a time
 * (steering/published.ts). Which addresses packets may be for is a part of each half.
 *
 * A change is written into the half that no packet reads, compared with what the kernel then has, and put in force by
 * one 32-bit store. A packet reads the index once, so it is decided by one half only. The half that went out of force
 * may still be in use by a program run on another CPU, so it is written again only after an RCU grace period.
 *
 * Others may write the kernel's copy too, whoever may use bpf(2). So what was written is kept, and what is in force is
 * compared with it now and then.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { syscallError } from "../ffi/errno.ts";
import { equalBytes, rcuGracePeriod } from "../ffi/libc.ts";
import { lookupElement } from "../ffi/libbpf.ts";
import { MappedMemory } from "../ffi/memory.ts";
import { NO_ADDRESSES, type OwnAddresses } from "../steering/addresses.ts";
import { PORT_COUNT, type PortMap } from "../steering/port_map.ts";
import { type Change, Published } from "../steering/published.ts";
import { AddressTable } from "./address_table.ts";
import { CONTROL, DEADMAN, LIMIT, PORT_ENTRY } from "./layout.gen.ts";
import { RuleGuards } from "./rule_guards.ts";
import { DELIVERY_BYTES, MORE_BYTES, packDeliveries, packPorts, TABLE_BYTES } from "./port_entries.ts";
import { RuleLimits } from "./rule_limits.ts";
import type { SteeringProgram } from "./program.ts";

type ControlWord = "activeTable" | "generation" | "wantedTable";

/** Where ports are steered: what {@linkcode PortTable} does, and what tests do without a kernel. */
export interface PortSteering extends AsyncDisposable {
  /**
   * Makes a new table ready. One at a time: the next may be prepared when this one has flipped, or is given up.
   *
   * The box's own addresses are those of this moment.
   *
   * @param sources Number of the lists of sources that the rules' policies are numbered by.
   * @throws {SteerError} when the kernel's copy differs; it was never in force then.
   */
  prepare(ports: PortMap, generation: number, sources?: number): Promise<Change>;
  /** Resolves when no packet is on its way any more that was steered by the half that went out of force last. */
  readonly settled: Promise<void>;
}

export class PortTable implements PortSteering {
  readonly #program: SteeringProgram;
  readonly #memory: MappedMemory;
  readonly #controlMemory: MappedMemory;
  readonly #moreMemory: MappedMemory;
  readonly #deliveryMemory: MappedMemory;
  readonly #addresses: AddressTable;
  readonly #guards: RuleGuards;
  readonly limits: RuleLimits;
  readonly #own: () => OwnAddresses;
  readonly #bytes: Uint8Array;
  readonly #control: Uint32Array;
  /** The number of each half. */
  readonly #halves: Published<number>;
  /** The half in force, and its generation, as they were stored last. */
  #active: number;
  #generation = 0;
  /** By half: what was written. */
  readonly #wanted = Array.from({ length: LIMIT.TABLES }, () => new Uint8Array(TABLE_BYTES));
  // Kept: memory that is touched for the first time costs more than all the rest of a change.
  readonly #kernel = new Uint8Array(LIMIT.PORT_TABLES * TABLE_BYTES);
  readonly #more = new Uint8Array(MORE_BYTES);
  /** By half: bytes of further entries that are in use. */
  readonly #moreUsed = new Array<number>(LIMIT.TABLES).fill(0);
  /** By half: which lists of sources its rules mean. */
  readonly #sources = new Array<number>(LIMIT.TABLES).fill(0);
  #grace: Promise<void> = Promise.resolve();

  /** @param own The box's addresses at any time. */
  constructor(program: SteeringProgram, own: () => OwnAddresses = () => NO_ADDRESSES) {
    this.#program = program;
    this.#own = own;
    this.#memory = MappedMemory.shared(program.portTableFd, LIMIT.TABLES * TABLE_BYTES, 0, "map port_to_queue_map");
    this.#controlMemory = MappedMemory.shared(program.controlFd, CONTROL.size, 0, "map steering_control");
    this.#moreMemory = MappedMemory.shared(program.moreEntriesFd, LIMIT.TABLES * MORE_BYTES, 0, "map more_entries");
    const deliveryBytes = LIMIT.TABLES * DELIVERY_BYTES;
    this.#deliveryMemory = MappedMemory.shared(program.deliveryPortsFd, deliveryBytes, 0, "map delivery_ports");
    this.#addresses = new AddressTable(program);
    this.#guards = new RuleGuards(program.ruleGuardsFd);
    this.limits = new RuleLimits(program.limitMaps);
    this.#bytes = new Uint8Array(this.#memory.view());
    this.#control = new Uint32Array(this.#controlMemory.view());
    this.#active = this.#read("wantedTable") & 1;
    const active = (): number => this.#active;
    this.#halves = new Published([0, 1], {
      get version(): number {
        return active();
      },
      publish: (version) => {
        this.#active = version & 1;
        // In this order: bpf/deadman.bpf.c reads and writes them in the other.
        this.#store("wantedTable", this.#active);
        this.#activate();
        this.#grace = rcuGracePeriod();
      },
      caughtUp: () => this.#grace,
    });
  }

  /** Generation in force in the kernel; 0 before the first. */
  get generation(): number {
    return this.#read("generation");
  }

  #read(word: ControlWord): number {
    return Atomics.load(this.#control, CONTROL[word] / 4);
  }

  #store(word: ControlWord, value: number): void {
    Atomics.store(this.#control, CONTROL[word] / 4, value);
  }

  /**
   * Compares what is in force in the kernel with what was written, and writes again what differs. Half a MiB is read.
   *
   * @returns What differed, in words; undefined where nothing did.
   */
  repair(): { readonly control?: string | undefined; readonly ports?: string | undefined } {
    return { control: this.#repairControl(), ports: this.#repairPorts() };
  }

  /**
   * Has packets decided by the half that is wanted, but while everything passes since no worker runs.
   *
   * @returns Which they were decided by, where that was neither.
   */
  #activate(): number | undefined {
    const at = CONTROL.activeTable / 4;
    let wrong: number | undefined;
    while (true) {
      const found = this.#read("activeTable");
      if (found === this.#active || found === LIMIT.NO_TABLE && this.#isDead) return wrong;
      if (Atomics.compareExchange(this.#control, at, found, this.#active) === found) wrong = found;
    }
  }

  get #isDead(): boolean {
    return Atomics.load(this.#control, (CONTROL.deadman + DEADMAN.on) / 4) !== 0;
  }

  #repairControl(): string | undefined {
    const wanted = { wantedTable: this.#active, generation: this.#generation } as const;
    const words = (["wantedTable", "generation"] as const).flatMap((word) => {
      const found = this.#read(word);
      if (found === wanted[word]) return [];
      this.#store(word, wanted[word]);
      const what = word === "wantedTable" ? "half of the port table that is wanted" : word;
      return [`${what} ${found} instead of ${wanted[word]}`];
    });
    const wrong = this.#activate();
    if (wrong !== undefined) words.unshift(`half of the port table ${wrong} instead of ${this.#active}`);
    for (const [half, sources] of this.#sources.entries()) {
      const at = CONTROL.sourceTable / 4 + half;
      const found = Atomics.load(this.#control, at);
      if (found === sources) continue;
      Atomics.store(this.#control, at, sources);
      words.push(`lists of sources ${found} instead of ${sources}`);
    }
    return words.length === 0 ? undefined : words.join(", ");
  }

  #repairPorts(): string | undefined {
    const half = this.#active;
    const wanted = this.#wanted[half]!;
    const kernel = this.#bytes.subarray(half * TABLE_BYTES, (half + 1) * TABLE_BYTES) as Uint8Array<ArrayBuffer>;
    if (equalBytes(wanted, kernel)) return undefined;
    let ports = 0;
    let first = 0;
    for (let port = PORT_COUNT - 1; port >= 0; port--) {
      const at = port * PORT_ENTRY.size;
      if (!differs(wanted, kernel, at)) continue;
      // These only: packets are decided by all others meanwhile.
      kernel.set(wanted.subarray(at, at + PORT_ENTRY.size), at);
      first = port;
      ports++;
    }
    return ports === 1 ? `the entry of port ${first}` : `the entries of ${ports} ports from ${first} on`;
  }

  async prepare(ports: PortMap, generation: number, sources = 0): Promise<Change> {
    const idle = await this.#halves.idle();
    // Not the mapping itself, which is the kernel's own memory and cannot differ from it.
    const wanted = this.#wanted[idle]!;
    const { lists, moreBytes } = packPorts(ports, wanted, this.#more);
    this.#addresses.write(idle, this.#own(), lists);
    this.#guards.write(idle, ports, this.limits.write(idle, ports));
    this.#setSources(idle, sources);
    this.#bytes.set(wanted, idle * TABLE_BYTES);
    const written = Math.max(moreBytes, this.#moreUsed[idle]!);
    new Uint8Array(this.#moreMemory.view()).set(this.#more.subarray(0, written), idle * MORE_BYTES);
    this.#moreUsed[idle] = moreBytes;
    packDeliveries(ports, new Uint8Array(this.#deliveryMemory.view(), idle * DELIVERY_BYTES, DELIVERY_BYTES));
    const kernel = readPortTable(this.#program.portTableFd, idle, this.#kernel);
    if (!equalBytes(wanted, kernel)) {
      const port = Math.floor(wanted.findIndex((byte, at) => byte !== kernel[at]) / PORT_ENTRY.size);
      throw new SteerError(`The kernel's port table differs from what was written, first at port ${port}`);
    }
    const before = this.#generation;
    return { flip: () => this.#flip(generation), back: () => this.#flip(before) };
  }

  #flip(generation: number): void {
    this.#halves.flip();
    this.#generation = generation;
    this.#store("generation", generation);
  }

  get settled(): Promise<void> {
    return this.#grace;
  }

  /** Lists of sources that have changed are the ones of the rules in force from now on; both number policies alike. */
  useSources(sources: number): void {
    this.#setSources(this.#active, sources);
    this.#grace = rcuGracePeriod();
  }

  #setSources(half: number, sources: number): void {
    this.#sources[half] = sources;
    Atomics.store(this.#control, CONTROL.sourceTable / 4 + half, sources);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#grace;
    this.#memory.close();
    this.#controlMemory.close();
    this.#moreMemory.close();
    this.#deliveryMemory.close();
    this.#addresses[Symbol.dispose]();
    this.#guards[Symbol.dispose]();
    this.limits[Symbol.dispose]();
  }
}

/** Whether two tables differ in the entry at `at`. */
function differs(one: Uint8Array, other: Uint8Array, at: number): boolean {
  for (let byte = at; byte < at + PORT_ENTRY.size; byte++) if (one[byte] !== other[byte]) return true;
  return false;
}

/**
 * Reads one half of the table, as the kernel has it.
 *
 * @param fd Of `port_to_queue_map`.
 * @param table Room for all tables, of which the result is a part.
 */
export function readPortTable(
  fd: number,
  half: number,
  table = new Uint8Array(LIMIT.PORT_TABLES * TABLE_BYTES),
): Uint8Array<ArrayBuffer> {
  const result = lookupElement(fd, new Uint8Array(4), table);
  if (result < 0) throw syscallError("bpf_map_lookup_elem", -result, "read port_to_queue_map back");
  return table.subarray(half * TABLE_BYTES, (half + 1) * TABLE_BYTES);
}
