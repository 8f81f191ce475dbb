/**
 * The lists of sources in the kernel: an array of lines for each IP version, as large as they need, in one of two
 * places. The one in force is named by the port table (bpf/port_table.ts); the other may be written.
 *
 * @module
 */
import { syscallError } from "../ffi/errno.ts";
import { closeFd } from "../ffi/libc.ts";
import { createInnerArray, deleteElement, u32, updateElement } from "../ffi/libbpf.ts";
import { MappedMemory } from "../ffi/memory.ts";
import { release } from "../steering/doubled.ts";
import type { Intervals } from "../steering/source_intervals.ts";
import { IPV4_NODE, IPV6_NODE, LIMIT, SOURCE_TABLE } from "./layout.gen.ts";
import { type PackedLines, packIpv4, packIpv6 } from "./source_lines.ts";

/** The maps of a program that hold the lists of sources. */
export interface SourceMaps {
  /** Of the variable `source_tables`. */
  readonly sources: number;
  readonly ipv4Sources: number;
  readonly ipv6Sources: number;
}

/** Intervals of both IP versions, by the same numbers of policies. */
export interface AllIntervals {
  readonly ipv4: Intervals;
  readonly ipv6: Intervals;
}

/**
 * Writes a place that no packet reads. Takes as long as two RCU grace periods, which hold up this thread.
 *
 * @returns Bytes of kernel memory that the lists take.
 * @throws {SteerError} when the kernel refuses; the place is not to be used then.
 */
export function writeSources(maps: SourceMaps, place: number, { ipv4, ipv6 }: AllIntervals): number {
  const packed4 = ipv4.count === 0 ? undefined : packIpv4(ipv4);
  const packed6 = ipv6.count === 0 ? undefined : packIpv6(ipv6);
  putLines(maps.ipv4Sources, "ipv4_sources", place, packed4, IPV4_NODE.size);
  putLines(maps.ipv6Sources, "ipv6_sources", place, packed6, IPV6_NODE.size);
  using memory = MappedMemory.shared(maps.sources, LIMIT.SOURCE_TABLES * SOURCE_TABLE.size, 0, "map source_tables");
  const view = new DataView(memory.view());
  const at = place * SOURCE_TABLE.size;
  view.setUint32(at + SOURCE_TABLE.ipv4Shift, packed4?.shift ?? 0, true);
  view.setUint32(at + SOURCE_TABLE.ipv4Masks, packed4?.masks ?? 0, true);
  view.setUint32(at + SOURCE_TABLE.ipv6Shift, packed6?.shift ?? 0, true);
  view.setUint32(at + SOURCE_TABLE.ipv6Masks, packed6?.masks ?? 0, true);
  const bytes = (packed4?.bytes.length ?? 0) + (packed6?.bytes.length ?? 0);
  for (const packed of [packed4, packed6]) if (packed !== undefined) release(packed.bytes);
  return bytes;
}

/** Gives the memory of a place back that no packet reads any more. */
export function clearSources(maps: SourceMaps, place: number): void {
  for (const fd of [maps.ipv4Sources, maps.ipv6Sources]) deleteElement(fd, keyOf(place)); // it may have none
}

function putLines(
  outer: number,
  name: string,
  place: number,
  packed: PackedLines | undefined,
  lineBytes: number,
): void {
  if (packed === undefined) {
    deleteElement(outer, keyOf(place));
    return;
  }
  const fd = createInnerArray(name, lineBytes, packed.lines);
  if (fd < 0) throw syscallError("bpf_map_create", -fd, `make room for ${packed.bytes.length} bytes of lists`);
  try {
    using memory = MappedMemory.shared(fd, packed.bytes.length, 0, `map ${name}`);
    new Uint8Array(memory.view()).set(packed.bytes);
    const result = updateElement(outer, keyOf(place), u32(fd));
    if (result < 0) throw syscallError("bpf_map_update_elem", -result, `put ${name} into its place`);
  } finally {
    closeFd(fd);
  }
}

function keyOf(place: number): Uint8Array<ArrayBuffer> {
  if (place >= LIMIT.SOURCE_TABLES) throw new RangeError(`There is no place ${place} for lists of sources`);
  return u32(place);
}
