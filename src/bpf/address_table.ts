/**
 * The kernel's table of addresses that packets can be for: two halves, in force together with those of the port table.
 *
 * Each address has a mask with a bit for each set that it is in. A few addresses stand in a struct that is mapped; the
 * others, and all prefixes, are in maps, under the number of their half.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { syscallError } from "../ffi/errno.ts";
import { deleteElement, updateElement } from "../ffi/libbpf.ts";
import { MappedMemory } from "../ffi/memory.ts";
import { isWithin, MAX_ADDRESS_LISTS, type OwnAddresses, parsePrefix, type Prefix } from "../steering/addresses.ts";
import { ADDRESS_FLAG, ADDRESS_KEY, ADDRESS_SET, ADDRESSES, IPV4_PREFIX, IPV6_PREFIX, LIMIT } from "./layout.gen.ts";
import type { SteeringProgram } from "./program.ts";

const OWN = 1n << BigInt(ADDRESS_SET.OWN);
const MARTIAN = 1n << BigInt(ADDRESS_SET.MARTIAN);
const ROOM = LIMIT.ADDRESSES / LIMIT.TABLES;

/** A prefix, or an address as the longest prefix, and the sets it is in. */
interface Entry extends Prefix {
  mask: bigint;
}

/** An element of one of the maps. */
interface Element {
  readonly key: Uint8Array<ArrayBuffer>;
  readonly mask: bigint;
}

/** Elements by their keys in hexadecimal. */
type Elements = Map<string, Element>;
const MAP_NAMES = ["addressMasks", "ipv4Prefixes", "ipv6Prefixes"] as const;
type MapName = typeof MAP_NAMES[number];
type AllElements = Readonly<Record<MapName, Elements>>;

/** The maps of a program that hold what has no place in the mapped struct. */
export type AddressMaps = Readonly<Record<MapName, number>>;

export class AddressTable implements Disposable {
  readonly #memory: MappedMemory;
  readonly #bytes: Uint8Array;
  readonly #maps: AddressMaps;
  /** By half: what it has in the maps. */
  readonly #inMaps: AllElements[] = Array.from({ length: LIMIT.TABLES }, noElements);

  constructor(program: SteeringProgram) {
    this.#maps = program.addressMaps;
    this.#memory = MappedMemory.shared(program.addressesFd, LIMIT.TABLES * ADDRESSES.size, 0, "map addresses");
    this.#bytes = new Uint8Array(this.#memory.view());
  }

  /**
   * Writes the half that no packet reads.
   *
   * @param lists Those of the rules: set number `ADDRESS_SET.LISTS` and following.
   * @throws {SteerError} where there are too many addresses.
   */
  write(half: number, own: OwnAddresses, lists: readonly (readonly string[])[]): void {
    const { elements, bytes } = compileAddresses(half, own, lists);
    for (const name of MAP_NAMES) {
      const size = elements[name].size;
      if (size <= ROOM) continue;
      throw new SteerError(
        `This machine and the rules have ${size} addresses or prefixes: at most ${ROOM} are possible`,
      );
    }
    for (const name of MAP_NAMES) this.#writeMap(half, name, elements[name]);
    this.#bytes.set(bytes, half * ADDRESSES.size);
  }

  #writeMap(half: number, name: MapName, next: ReadonlyMap<string, Element>): void {
    const before = this.#inMaps[half]![name]; // right also where a call fails
    const fd = this.#maps[name];
    for (const [id, { key }] of before) {
      if (next.has(id)) continue;
      const result = deleteElement(fd, key);
      if (result < 0) throw syscallError("bpf_map_delete_elem", -result, `remove an address from ${name}`);
      before.delete(id);
    }
    for (const [id, element] of next) {
      if (before.get(id)?.mask === element.mask) continue;
      const result = updateElement(fd, element.key, new Uint8Array(new BigUint64Array([element.mask]).buffer));
      if (result < 0) throw syscallError("bpf_map_update_elem", -result, `put an address into ${name}`);
      before.set(id, element);
    }
  }

  [Symbol.dispose](): void {
    this.#memory.close();
  }
}

function noElements(): AllElements {
  return { addressMasks: new Map(), ipv4Prefixes: new Map(), ipv6Prefixes: new Map() };
}

/** What a half has to hold: the mapped struct, and the elements of the maps. */
function compileAddresses(
  half: number,
  own: OwnAddresses,
  lists: readonly (readonly string[])[],
): { readonly bytes: Uint8Array; readonly elements: AllElements } {
  if (lists.length > MAX_ADDRESS_LISTS) throw new RangeError(`${lists.length} lists of addresses`);
  const entries = entriesOf(own, lists);
  const isWhole = ({ address, bits }: Prefix): boolean => bits === address.length * 8;
  const prefixes = entries.filter((entry) => !isWhole(entry));
  const masks = new Map(entries.map((entry) => [
    entry,
    prefixes.reduce((mask, prefix) => isWithin(entry, prefix) ? mask | prefix.mask : mask, entry.mask),
  ]));
  const bytes = new Uint8Array(ADDRESSES.size);
  const view = new DataView(bytes.buffer);
  const elements = noElements();
  const put = (name: MapName, key: Uint8Array<ArrayBuffer>, mask: bigint): void => {
    elements[name].set(key.toHex(), { key, mask });
  };
  for (const length of [4, 16]) {
    const [addressAt, maskAt] = length === 4
      ? [ADDRESSES.ipv4, ADDRESSES.ipv4Masks]
      : [ADDRESSES.ipv6, ADDRESSES.ipv6Masks];
    const whole = entries.filter((entry) => entry.address.length === length && isWhole(entry));
    // Nothing is for a broadcast address that no rule lists: these come last.
    const order = whole.toSorted((one, other) => Number(one.mask === MARTIAN) - Number(other.mask === MARTIAN));
    for (const [index, entry] of order.entries()) {
      const mask = masks.get(entry)!;
      if (index < LIMIT.INLINE_ADDRESSES) {
        bytes.set(entry.address, addressAt + index * length);
        view.setBigUint64(maskAt + 8 * index, mask, true);
      } else put("addressMasks", addressKey(half, entry.address), mask);
    }
  }
  for (const prefix of prefixes) {
    const isIpv4 = prefix.address.length === 4;
    put(isIpv4 ? "ipv4Prefixes" : "ipv6Prefixes", prefixKey(half, prefix), masks.get(prefix)!);
  }
  for (const { address, mask } of entries) {
    if ((mask & MARTIAN) === 0n) continue;
    const hash = sourceHash(address);
    const at = ADDRESSES.sourceFilter + (hash >>> 19 & 8 * (LIMIT.SOURCE_WORDS - 1));
    view.setBigUint64(at, view.getBigUint64(at, true) | 1n << BigInt(hash >>> 26), true);
  }
  const flags = (elements.addressMasks.size > 0 ? ADDRESS_FLAG.HASHED : 0) |
    (elements.ipv4Prefixes.size > 0 ? ADDRESS_FLAG.IPV4_PREFIXES : 0) |
    (elements.ipv6Prefixes.size > 0 ? ADDRESS_FLAG.IPV6_PREFIXES : 0);
  view.setUint32(ADDRESSES.flags, flags, true);
  return { bytes, elements };
}

/** Every address and prefix once, own ones first. */
function entriesOf({ own, broadcasts }: OwnAddresses, lists: readonly (readonly string[])[]): Entry[] {
  const entries = new Map<string, Entry>();
  const add = (prefix: Prefix, mask: bigint): void => {
    const id = `${prefix.address.toHex()}/${prefix.bits}`;
    const known = entries.get(id);
    if (known === undefined) entries.set(id, { ...prefix, mask });
    else known.mask |= mask;
  };
  for (const address of own) {
    add({ address, bits: address.length * 8 }, address.length === 4 ? OWN | MARTIAN : OWN);
  }
  for (const [index, list] of lists.entries()) {
    for (const text of list) add(parsePrefix(text), 1n << BigInt(ADDRESS_SET.LISTS + index));
  }
  for (const address of broadcasts) add({ address, bits: address.length * 8 }, MARTIAN);
  return [...entries.values()];
}

function addressKey(half: number, address: Uint8Array): Uint8Array<ArrayBuffer> {
  const key = new Uint8Array(ADDRESS_KEY.size);
  const view = new DataView(key.buffer);
  view.setUint16(ADDRESS_KEY.table, half, true);
  view.setUint16(ADDRESS_KEY.family, address.length === 4 ? 4 : 6, true);
  key.set(address, ADDRESS_KEY.address);
  return key;
}

function prefixKey(half: number, { address, bits }: Prefix): Uint8Array<ArrayBuffer> {
  const layout = address.length === 4 ? IPV4_PREFIX : IPV6_PREFIX;
  const key = new Uint8Array(layout.size);
  const view = new DataView(key.buffer);
  view.setUint32(layout.length, 32 + bits, true);
  view.setUint32(layout.table, half); // compared bit by bit from the first on, as the address is
  key.set(address, layout.address);
  return key;
}

/** As is_plain_source() in bpf/address.h. */
function sourceHash(address: Uint8Array): number {
  const number = new DataView(address.buffer, address.byteOffset).getUint32(0, true);
  return Math.imul(number, 0x9e3779b1);
}
