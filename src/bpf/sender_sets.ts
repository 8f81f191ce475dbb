/**
 * The counts of who sends most, which the XDP program keeps while this is open. See bpf/senders.h.
 *
 * @module
 */
import { syscallError } from "../ffi/errno.ts";
import { createMap, deleteElement, lookupRange, possibleCpus, u32, updateElement } from "../ffi/libbpf.ts";
import { closeFd } from "../ffi/libc.ts";
import { MappedMemory } from "../ffi/memory.ts";
import { UAPI } from "../ffi/uapi.ts";
import type { Sender, SenderReading } from "../steering/senders.ts";
import { CONTROL, LIMIT, SENDER, SENDER_SET } from "./layout.gen.ts";
import type { SteeringProgram } from "./program.ts";

const FIRST = new Uint8Array(4);
const MAKE = "make room for counts of senders";

export class SenderSets implements Disposable {
  readonly #map: number;
  readonly #outer: number;
  readonly #control: MappedMemory;
  readonly #cpus = possibleCpus();

  /** Counts from now on, from zero. @throws {SyscallError} */
  constructor(program: Pick<SteeringProgram, "controlFd" | "senderSetsFd">) {
    this.#outer = program.senderSetsFd;
    this.#map = createMap(UAPI.BPF_MAP_TYPE_PERCPU_ARRAY, "senders", 4, SENDER_SET.size, LIMIT.SENDER_SETS);
    if (this.#map < 0) throw syscallError("bpf_map_create", -this.#map, MAKE);
    const result = updateElement(this.#outer, FIRST, u32(this.#map));
    if (result < 0) {
      closeFd(this.#map);
      throw syscallError("bpf_map_update_elem", -result, MAKE);
    }
    this.#control = MappedMemory.shared(program.controlFd, CONTROL.size, 0, "map steering_control");
    this.#switch(1);
  }

  /** The counts so far. */
  read(): SenderReading {
    const bytes = lookupRange(
      this.#map,
      0,
      LIMIT.SENDER_SETS,
      SENDER_SET.size * this.#cpus,
      "read the counts of senders",
    );
    const view = new DataView(bytes.buffer);
    const groups: Sender[][] = [];
    for (let at = 0; at < bytes.length; at += SENDER_SET.size) {
      const group: Sender[] = [];
      for (let way = 0; way < LIMIT.SENDER_WAYS; way++) {
        const sender = senderAt(bytes, view, at + SENDER_SET.senders + way * SENDER.size);
        if (sender !== undefined) group.push(sender);
      }
      groups.push(group);
    }
    return groups;
  }

  #switch(on: number): void {
    Atomics.store(new Uint32Array(this.#control.view()), CONTROL.countsSources / 4, on);
  }

  /** Counts no more. */
  [Symbol.dispose](): void {
    this.#switch(0);
    this.#control.close();
    deleteElement(this.#outer, FIRST);
    closeFd(this.#map);
  }
}

function senderAt(bytes: Uint8Array, view: DataView, at: number): Sender | undefined {
  const number = (offset: number): number => Number(view.getBigUint64(at + offset, true));
  const packets = number(SENDER.packets);
  if (packets === 0) return undefined;
  const length = view.getUint32(at + SENDER.family, true) === 4 ? 4 : 8;
  return {
    prefix: bytes.subarray(at + SENDER.prefix, at + SENDER.prefix + length).toHex(),
    rule: view.getUint32(at + SENDER.rule, true),
    packets,
    inherited: number(SENDER.inherited),
    bytes: number(SENDER.bytes),
  };
}
