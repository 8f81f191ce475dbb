/**
 * The kernel's port table: two halves of one variable, written through mmap, one in force at a time
 * (steering/published.ts).
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
import { PORT_ACTION, PORT_COUNT, type PortMap } from "../steering/port_map.ts";
import { type Change, Published } from "../steering/published.ts";
import { ACTION, CONTROL, LIMIT, PORT_ENTRY, PORT_FLAG } from "./layout.gen.ts";
import type { SteeringProgram } from "./program.ts";

const KERNEL_ACTION: readonly number[] = Object.entries(PORT_ACTION)
  .sort(([, left], [, right]) => left - right)
  .map(([name]) => ACTION[name.toUpperCase() as keyof typeof ACTION]);

type ControlWord = "activeTable" | "generation";

const TABLE_BYTES = PORT_COUNT * PORT_ENTRY.size;
const PAGE_BYTES = 4096;

/** Where ports are steered: what {@linkcode PortTable} does, and what tests do without a kernel. */
export interface PortSteering extends AsyncDisposable {
  /**
   * Makes a new table ready. One at a time: the next may be prepared when this one has flipped, or is given up.
   *
   * @throws {SteerError} when the kernel's copy differs; it was never in force then.
   */
  prepare(ports: PortMap, generation: number): Promise<Change>;
  /** Resolves when no packet is on its way any more that was steered by the half that went out of force last. */
  readonly settled: Promise<void>;
}

export class PortTable implements PortSteering {
  readonly #program: SteeringProgram;
  readonly #memory: MappedMemory;
  readonly #controlMemory: MappedMemory;
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
  readonly #kernel = new Uint8Array(LIMIT.TABLES * TABLE_BYTES);
  #grace: Promise<void> = Promise.resolve();

  constructor(program: SteeringProgram) {
    this.#program = program;
    this.#memory = MappedMemory.shared(program.portTableFd, LIMIT.TABLES * TABLE_BYTES, 0, "map port_to_queue_map");
    this.#controlMemory = MappedMemory.shared(program.controlFd, PAGE_BYTES, 0, "map steering_control");
    this.#bytes = new Uint8Array(this.#memory.view());
    this.#control = new Uint32Array(this.#controlMemory.view());
    this.#active = this.#read("activeTable") & 1;
    const active = (): number => this.#active;
    this.#halves = new Published([0, 1], {
      get version(): number {
        return active();
      },
      publish: (version) => {
        this.#active = version & 1;
        this.#store("activeTable", this.#active);
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

  #repairControl(): string | undefined {
    const wanted = { activeTable: this.#active, generation: this.#generation } as const;
    const words = (["activeTable", "generation"] as const).flatMap((word) => {
      const found = this.#read(word);
      if (found === wanted[word]) return [];
      this.#store(word, wanted[word]);
      return [`${word === "activeTable" ? "half of the port table" : word} ${found} instead of ${wanted[word]}`];
    });
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

  async prepare(ports: PortMap, generation: number): Promise<Change> {
    const idle = await this.#halves.idle();
    const wanted = this.#wanted[idle]!; // not the mapping itself, which is the kernel's own memory and cannot differ from it
    pack(ports, wanted);
    this.#bytes.set(wanted, idle * TABLE_BYTES);
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#grace;
    this.#memory.close();
    this.#controlMemory.close();
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
 * @param table Room for both halves, of which the result is a part.
 */
export function readPortTable(
  fd: number,
  half: number,
  table = new Uint8Array(LIMIT.TABLES * TABLE_BYTES),
): Uint8Array<ArrayBuffer> {
  const result = lookupElement(fd, new Uint8Array(4), table);
  if (result < 0) throw syscallError("bpf_map_lookup_elem", -result, "read port_to_queue_map back");
  return table.subarray(half * TABLE_BYTES, (half + 1) * TABLE_BYTES);
}

/**
 * Fills a whole half, by copying: a loop over all ports, in code that has hardly run before, takes some milliseconds.
 */
function pack(ports: PortMap, bytes: Uint8Array<ArrayBuffer>): void {
  bytes.fill(0);
  const words = new Uint32Array(bytes.buffer);
  const entry = new DataView(new ArrayBuffer(PORT_ENTRY.size));
  const stride = PORT_ENTRY.size / 4;
  for (const { first, last, action, errors, dropsFragments, rule, worker } of ports) {
    entry.setUint16(PORT_ENTRY.rule, rule, true);
    entry.setUint16(PORT_ENTRY.worker, worker, true);
    entry.setUint8(PORT_ENTRY.action, KERNEL_ACTION[action]!);
    const flags = (errors ? PORT_FLAG.ERRORS : 0) | (dropsFragments ? PORT_FLAG.DROP_FRAGMENTS : 0);
    entry.setUint8(PORT_ENTRY.flags, flags);
    const [from, end] = [first * stride, (last + 1) * stride];
    for (let word = 0; word < stride; word++) words[from + word] = entry.getUint32(4 * word, true);
    // What is there, once more behind itself.
    for (let done = stride; from + done < end; done *= 2) {
      words.copyWithin(from + done, from, Math.min(from + done, end - done));
    }
  }
}
