/**
 * `action: deliver`, the way back: the memory of who was delivered to which port, and the program at tc egress that
 * gives answers the port that their clients have sent to.
 *
 * @module
 */
import objectBytes from "../../build/answer.bpf.o" with { type: "bytes" };
import { syscallError } from "../ffi/errno.ts";
import {
  type BpfObjectHandle,
  closeObject,
  createMap,
  deleteElement,
  findMap,
  loadObject,
  mapFd,
  programFd,
  reuseMap,
  u32,
  updateElement,
} from "../ffi/libbpf.ts";
import { closeFd } from "../ffi/libc.ts";
import { MappedMemory } from "../ffi/memory.ts";
import { UAPI } from "../ffi/uapi.ts";
import { PORT_COUNT } from "../steering/port_map.ts";
import { DELIVERY, FLOW, LIMIT } from "./layout.gen.ts";
import type { SteeringProgram } from "./program.ts";
import { ANSWER_PROGRAM, TcLink, type TcWay } from "./tc_link.ts";

const PORTS_MAP = ".bss.ports";
const FLOWS_MAP = "delivered_flows";

export class AnswerProgram implements Disposable {
  readonly #handle: BpfObjectHandle;
  readonly #ports: MappedMemory;
  readonly #words: Uint32Array;

  private constructor(handle: BpfObjectHandle, private readonly flowsFd: number) {
    this.#handle = handle;
    this.#ports = MappedMemory.shared(mapFd(findMap(handle, PORTS_MAP)), PORT_COUNT / 8, 0, "map delivered_to");
    this.#words = new Uint32Array(this.#ports.view());
  }

  /**
   * Loads the program, and makes the memory of deliveries if there is none. Nothing is attached yet.
   *
   * @param steering The instance whose counters answers are counted in.
   */
  static async load(steering: SteeringProgram): Promise<AnswerProgram> {
    const handle = await loadObject(objectBytes as Uint8Array<ArrayBuffer>, (object) => {
      reuseMap(findMap(object, "rule_counters"), steering.ruleCountersFd);
      reuseMap(findMap(object, FLOWS_MAP), steering.deliveredFlowsFd);
    });
    try {
      makeMemory(steering.deliveredFlowsFd);
      return new AnswerProgram(handle, mapFd(findMap(handle, FLOWS_MAP)));
    } catch (error) {
      closeObject(handle);
      throw error;
    }
  }

  /** Looks for answers among what leaves from these ports, too. */
  addPorts(ports: Iterable<number>): void {
    for (const port of ports) Atomics.or(this.#words, port >> 5, 1 << (port & 31));
  }

  get fd(): number {
    return programFd(this.#handle, ANSWER_PROGRAM);
  }

  /** Attaches it to what leaves by an interface. @throws {UnsupportedError} where the kernel has no tc. */
  attach(ifindex: number, interfaceName: string, ways?: readonly TcWay[]): TcLink {
    return TcLink.attach(this.fd, ifindex, interfaceName, ways);
  }

  /** Frees the program and the memory. What is attached must be closed before, and no rule may deliver any more. */
  [Symbol.dispose](): void {
    deleteElement(this.flowsFd, new Uint8Array(4));
    this.#ports.close();
    closeObject(this.#handle);
  }
}

/** The maps that stay when this is done hold the memory. */
function makeMemory(deliveredFlows: number): void {
  const memory = createMap(UAPI.BPF_MAP_TYPE_LRU_HASH, "deliveries", FLOW.size, DELIVERY.size, LIMIT.FLOWS);
  if (memory < 0) throw syscallError("bpf_map_create", -memory, "make the memory of deliveries");
  const result = updateElement(deliveredFlows, new Uint8Array(4), u32(memory));
  closeFd(memory);
  if (result < 0) throw syscallError("bpf_map_update_elem", -result, "make the memory of deliveries");
}
