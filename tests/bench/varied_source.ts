/** A program that gives each packet another source and hands it to another program (vary_source.bpf.c). */
import {
  type BpfObjectHandle,
  closeObject,
  findMap,
  loadObject,
  mapFd,
  programFd,
  setInitialValue,
  setMaxEntries,
  u32,
  updateElement,
} from "../../src/ffi/libbpf.ts";
import { BUILD } from "./rig.ts";

/** Sources by number, from 0 on. */
export interface VariedSources {
  readonly count: number;
  /** From one to the next: has no factor in common with their number. */
  readonly stride: number;
  /** Address of number 0, where that of each is not spread. */
  readonly first?: number;
  /** By which the number of a source is multiplied. */
  readonly spread?: number;
  readonly isIpv6?: boolean;
}

const FOUND = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);

export class VariedSource implements Disposable {
  private constructor(private readonly handle: BpfObjectHandle, readonly program: number) {}

  /** @param addressOf Has each source looked up in a BPF hash map, too: its key there, by its number. */
  static async load(
    next: number,
    { count, stride, first = 0, spread = 1, isIpv6 = false }: VariedSources,
    addressOf?: (number: number) => Uint8Array<ArrayBuffer>,
  ): Promise<VariedSource> {
    const object = await Deno.readFile(`${BUILD}/vary_source.bpf.o`);
    const words = [first, count, stride, addressOf === undefined ? 0 : 1, spread, isIpv6 ? 1 : 0];
    const map = isIpv6 ? "ipv6_sources" : "sources";
    const handle = await loadObject(object, (object) => {
      setInitialValue(findMap(object, ".rodata"), new Uint8Array(new Uint32Array(words).buffer));
      setMaxEntries(findMap(object, map), count);
    });
    if (updateElement(mapFd(findMap(handle, "next")), u32(0), u32(next)) < 0) throw new Error("no tail call");
    if (addressOf !== undefined) {
      const fd = mapFd(findMap(handle, map));
      for (let number = 0; number < count; number++) updateElement(fd, addressOf(number), FOUND);
    }
    return new VariedSource(handle, programFd(handle, "vary_source"));
  }

  [Symbol.dispose](): void {
    closeObject(this.handle);
  }
}
