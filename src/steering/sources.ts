/**
 * The box's own addresses that sessions are translated to, each at a place of the forward table. Sessions hold places,
 * so an address keeps its place while it is listed, and one that takes the place of another has another generation.
 *
 * @module
 */
import { parseAddress } from "../packet/address.ts";
import { type ForwardTable, sourceAt, sourceGenerationAt, SOURCES } from "./forward_table.ts";

export interface Source {
  /** As the configuration has it. */
  readonly address: string;
  readonly bytes: Uint8Array;
  /** Among the addresses of its IP version. */
  readonly place: number;
  readonly generation: number;
}

/**
 * Finds a place for each address.
 *
 * @param before Those in force.
 * @param generation Of no address before.
 */
export function placeSources(before: readonly Source[], addresses: readonly string[], generation: number): Source[] {
  const placed = before.filter(({ address }) => addresses.includes(address));
  for (const address of addresses) {
    if (placed.some((source) => source.address === address)) continue;
    const bytes = parseAddress(address);
    const taken = placed.filter((source) => source.bytes.length === bytes.length).map(({ place }) => place);
    let place = 0;
    while (taken.includes(place)) place++;
    placed.push({ address, bytes, place, generation });
  }
  return placed;
}

/** Writes all that a forward table says of translation addresses. */
export function writeSources({ sources: words }: ForwardTable, sources: readonly Source[]): void {
  words.fill(0);
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  for (const { bytes: address, place, generation } of sources) {
    const isIpv6 = address.length === 16;
    words[isIpv6 ? SOURCES.places6 : SOURCES.places4]! |= 1 << place;
    words[sourceGenerationAt(isIpv6, place)] = generation;
    bytes.set(address, sourceAt(isIpv6, place) * 4);
  }
}
