/**
 * The table of sessions whose clients keep their addresses: its memory, which the XDP program and the workers share,
 * and what the program has to know of it. See bpf/kept.h.
 *
 * @module
 */
import { syscallError } from "../ffi/errno.ts";
import { createInnerArray, u32, updateElement } from "../ffi/libbpf.ts";
import { closeFd } from "../ffi/libc.ts";
import { MappedMemory } from "../ffi/memory.ts";
import { type KeptMemory, type KeptPlace, keptSets } from "../steering/kept_clients.ts";
import { CONTROL, KEPT, KEPT_SET, KEPT_TAG, LIMIT } from "./layout.gen.ts";
import type { SteeringProgram } from "./program.ts";

/** What a process gives to the one that takes over from it: the sessions that are in the table stay where they are. */
export interface HandedKept {
  /** Everything that decides what is where in it. */
  readonly shape: string;
  /** Descriptor of the table. */
  readonly sets: number;
  readonly key: KeptPlace["key"];
}

export class KeptTable implements KeptMemory, Disposable {
  readonly place: KeptPlace;
  readonly #setsFd: number;
  readonly #sets: MappedMemory;
  readonly #kept: MappedMemory;
  readonly #control: MappedMemory;

  /**
   * Makes a table without a session, or goes on with that of the process before. It stays until it is disposed of.
   *
   * @param sessions As many as all workers together may have.
   * @param handed Of the process before, if it has one. A table of another layout is left alone.
   * @throws {SyscallError}
   */
  constructor(
    program: Pick<SteeringProgram, "controlFd" | "keptFd" | "keptSetsFd">,
    sessions: number,
    handed?: HandedKept | null,
  ) {
    using opened = new DisposableStack();
    const sets = keptSets(sessions);
    const bytes = sets * KEPT_SET.size;
    const what = `make room for ${sessions} sessions whose clients keep their addresses`;
    const before = handed?.shape === shapeOf(sets) ? handed : undefined;
    const fd = before?.sets ?? createInnerArray("kept_clients", KEPT_SET.size, sets);
    if (fd < 0) throw syscallError("bpf_map_create", -fd, what);
    opened.defer(() => closeFd(fd));
    this.#setsFd = fd;
    this.#sets = opened.use(MappedMemory.shared(fd, bytes, 0, "map kept_clients"));
    const result = updateElement(program.keptSetsFd, u32(0), u32(fd));
    if (result < 0) throw syscallError("bpf_map_update_elem", -result, what);
    this.#kept = opened.use(MappedMemory.shared(program.keptFd, KEPT.size, 0, "map kept"));
    this.#control = opened.use(MappedMemory.shared(program.controlFd, CONTROL.size, 0, "map steering_control"));
    const [first, second] = crypto.getRandomValues(new Int32Array(2));
    const { low, high } = before?.key ?? { low: first!, high: second! };
    this.place = { memory: this.#sets.address, setMask: sets - 1, key: { low, high } };
    const view = new DataView(this.#kept.view());
    view.setInt32(KEPT.key, low, true);
    view.setInt32(KEPT.key + 4, high, true);
    view.setUint32(KEPT.setMask, sets - 1, true);
    opened.move();
  }

  steer(ports: ReadonlySet<number>, rule: number): void {
    const words = new Uint32Array(this.#kept.view(), KEPT.ports, LIMIT.PORTS / 32);
    for (const port of ports) Atomics.or(words, port >> 5, 1 << (port & 31));
    new DataView(this.#kept.view()).setUint32(KEPT.rule, rule, true);
    this.#switch(1);
  }

  get isEmpty(): boolean {
    const words = new Int32Array(this.#sets.view());
    for (let set = 0; set < words.length; set += KEPT_SET.size / 4) {
      for (let place = set; place < set + LIMIT.KEPT_PLACES; place++) if (words[place] !== 0) return false;
    }
    return true;
  }

  rest(): void {
    this.#switch(0);
    new Uint32Array(this.#kept.view(), KEPT.ports, LIMIT.PORTS / 32).fill(0);
  }

  #switch(on: number): void {
    Atomics.store(new Uint32Array(this.#control.view()), CONTROL.keepsClients / 4, on);
  }

  /** What another process goes on with. @param fd Takes a descriptor along, and returns its number there. */
  handOver(fd: (fd: number) => number): HandedKept {
    const { setMask, key } = this.place;
    return { shape: shapeOf(setMask + 1), sets: fd(this.#setsFd), key };
  }

  /** No worker may use it any more. */
  [Symbol.dispose](): void {
    this.#switch(0);
    this.#sets.close();
    this.#kept.close();
    this.#control.close();
    closeFd(this.#setsFd);
  }
}

function shapeOf(sets: number): string {
  return JSON.stringify([sets, KEPT_SET, LIMIT.KEPT_PLACES, KEPT_TAG]);
}
