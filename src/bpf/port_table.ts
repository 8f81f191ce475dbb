/**
 * The kernel's port table: two halves of one variable, written through mmap, one in force at a time.
 *
 * A change is written into the half that no packet reads, compared with what the kernel then has, and put in force by one
 * 32-bit store. A packet reads the index once, so it is decided by one half only. The half that went out of force may
 * still be in use by a program run on another CPU, so it is written again only after an RCU grace period.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { syscallError } from "../ffi/errno.ts";
import { equalBytes, rcuGracePeriod } from "../ffi/libc.ts";
import { lookupElement } from "../ffi/libbpf.ts";
import { MappedMemory } from "../ffi/memory.ts";
import { PORT_ACTION, PORT_COUNT, type PortMap } from "../steering/port_map.ts";
import { ACTION, CONTROL, LIMIT, PORT_ENTRY } from "./layout.gen.ts";
import type { SteeringProgram } from "./program.ts";

const KERNEL_ACTION: readonly number[] = Object.entries(PORT_ACTION)
  .sort(([, left], [, right]) => left - right)
  .map(([name]) => ACTION[name.toUpperCase() as keyof typeof ACTION]);

const TABLE_BYTES = PORT_COUNT * PORT_ENTRY.size;
const PAGE_BYTES = 4096;

export class PortTable implements AsyncDisposable {
  readonly #program: SteeringProgram;
  readonly #memory: MappedMemory;
  readonly #controlMemory: MappedMemory;
  readonly #bytes: Uint8Array;
  readonly #control: Uint32Array;
  // Kept: memory that is touched for the first time costs more than all the rest of a change.
  readonly #wanted = new Uint8Array(TABLE_BYTES);
  readonly #kernel = new Uint8Array(LIMIT.TABLES * TABLE_BYTES);
  #grace: Promise<void> = Promise.resolve();

  constructor(program: SteeringProgram) {
    this.#program = program;
    this.#memory = MappedMemory.shared(program.portTableFd, LIMIT.TABLES * TABLE_BYTES, 0, "map port_to_queue_map");
    this.#controlMemory = MappedMemory.shared(program.controlFd, PAGE_BYTES, 0, "map steering_control");
    this.#bytes = new Uint8Array(this.#memory.view());
    this.#control = new Uint32Array(this.#controlMemory.view());
  }

  /** Generation in force in the kernel; 0 before the first {@linkcode apply}. */
  get generation(): number {
    return Atomics.load(this.#control, CONTROL.generation / 4);
  }

  /**
   * Writes `ports` into the idle half, reads it back from the kernel and compares, then puts it in force at once for all
   * interfaces. One change at a time: the next begins when the half that it writes is read no more.
   *
   * @param ready What has to be done before, and can be done meanwhile.
   * @throws {SteerError} when the kernel's copy differs; it was never in force then.
   */
  apply(ports: PortMap, generation: number, ready?: Promise<void>): Promise<void> {
    const applied = this.#grace.then(() => this.#apply(ports, generation, ready));
    this.#grace = applied.then(rcuGracePeriod, () => {});
    return applied;
  }

  async #apply(ports: PortMap, generation: number, ready?: Promise<void>): Promise<void> {
    const idle = (Atomics.load(this.#control, CONTROL.activeTable / 4) + 1) % LIMIT.TABLES;
    const wanted = this.#wanted; // not the mapping itself, which is the kernel's own memory and cannot differ from it
    pack(ports, wanted);
    this.#bytes.set(wanted, idle * TABLE_BYTES);
    const kernel = readPortTable(this.#program.portTableFd, idle, this.#kernel);
    if (!equalBytes(wanted, kernel)) {
      const port = Math.floor(wanted.findIndex((byte, at) => byte !== kernel[at]) / PORT_ENTRY.size);
      throw new SteerError(`The kernel's port table differs from what was written, first at port ${port}`);
    }
    await ready;
    Atomics.store(this.#control, CONTROL.activeTable / 4, idle);
    Atomics.store(this.#control, CONTROL.generation / 4, generation);
  }

  /** Resolves when no packet is on its way any more that was steered by the half that went out of force last. */
  get settled(): Promise<void> {
    return this.#grace;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#grace;
    this.#memory.close();
    this.#controlMemory.close();
  }
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

/** Fills a whole half, by copying: a loop over all ports, in code that has hardly run before, takes some milliseconds. */
function pack(ports: PortMap, bytes: Uint8Array<ArrayBuffer>): void {
  bytes.fill(0);
  const words = new Uint32Array(bytes.buffer);
  const entry = new DataView(new ArrayBuffer(PORT_ENTRY.size));
  const stride = PORT_ENTRY.size / 4;
  for (const { first, last, action, rule, worker } of ports) {
    entry.setUint16(PORT_ENTRY.rule, rule, true);
    entry.setUint16(PORT_ENTRY.worker, worker, true);
    entry.setUint8(PORT_ENTRY.action, KERNEL_ACTION[action]!);
    const [from, end] = [first * stride, (last + 1) * stride];
    for (let word = 0; word < stride; word++) words[from + word] = entry.getUint32(4 * word, true);
    // What is there, once more behind itself.
    for (let done = stride; from + done < end; done *= 2) {
      words.copyWithin(from + done, from, Math.min(from + done, end - done));
    }
  }
}
