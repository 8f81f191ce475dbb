/**
 * The kernel's port table: two halves of one variable, written through mmap, one in force at a time.
 *
 * A change is written into the half that no packet reads, compared with what the kernel then has, and put in force by one
 * 32-bit store. A packet reads the index
 * once, so it is decided by one half only. The half that went out of force may still be in use by a program run on another
 * CPU, so it is written again only after an RCU grace period.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { syscallError } from "../ffi/errno.ts";
import { rcuGracePeriod } from "../ffi/libc.ts";
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
  readonly #packed = new Uint8Array(TABLE_BYTES);
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
   * interfaces.
   *
   * @throws {SteerError} when the kernel's copy differs; it was never in force then.
   */
  async apply(ports: PortMap, generation: number): Promise<void> {
    let grace: Promise<void>;
    do await (grace = this.#grace); while (grace !== this.#grace); // another call may have flipped meanwhile
    const idle = (Atomics.load(this.#control, CONTROL.activeTable / 4) + 1) % LIMIT.TABLES;
    const packed = this.#packed;
    pack(ports, packed);
    this.#bytes.set(packed, idle * TABLE_BYTES);
    const different = firstDifference(packed, readPortTable(this.#program.portTableFd, idle, this.#kernel));
    if (different >= 0) {
      const port = Math.floor(different / PORT_ENTRY.size);
      throw new SteerError(`The kernel's port table differs from what was written, first at port ${port}`);
    }
    Atomics.store(this.#control, CONTROL.activeTable / 4, idle);
    Atomics.store(this.#control, CONTROL.generation / 4, generation);
    this.#grace = rcuGracePeriod();
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

function pack({ action, rule, worker }: PortMap, bytes: Uint8Array<ArrayBuffer>): void {
  bytes.fill(0);
  const halves = new Uint16Array(bytes.buffer);
  for (let port = 0; port < PORT_COUNT; port++) {
    if (action[port] === PORT_ACTION.none) continue;
    const at = port * PORT_ENTRY.size;
    halves[(at + PORT_ENTRY.rule) / 2] = rule[port]!;
    halves[(at + PORT_ENTRY.worker) / 2] = worker[port]!;
    bytes[at + PORT_ENTRY.action] = KERNEL_ACTION[action[port]!]!;
  }
}

/** Index of the first byte that differs, or -1. Compares words: the table is half a megabyte. */
function firstDifference(left: Uint8Array, right: Uint8Array): number {
  const leftWords = new Uint32Array(left.buffer, left.byteOffset, left.byteLength / 4);
  const rightWords = new Uint32Array(right.buffer, right.byteOffset, right.byteLength / 4);
  for (let index = 0; index < leftWords.length; index++) {
    if (leftWords[index] !== rightWords[index]) return index * 4;
  }
  return -1;
}
