/**
 * Packs a port map into what the XDP program reads: an entry for each port, further entries for ports that several
 * rules have, and the lists of addresses that the entries name.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { type Addresses, MAX_ADDRESS_LISTS, textOf } from "../steering/addresses.ts";
import { PORT_ACTION, PORT_COUNT, type PortMap, type PortOwner } from "../steering/port_map.ts";
import { portRuns } from "../steering/port_runs.ts";
import { ACTION, ADDRESS_SET, LIMIT, PORT_ENTRY, PORT_FLAG } from "./layout.gen.ts";

const KERNEL_ACTION: readonly number[] = Object.entries(PORT_ACTION)
  .sort(([, left], [, right]) => left - right)
  .map(([name]) => ACTION[name.toUpperCase() as keyof typeof ACTION]);

/** Bytes of a half of the table of ports, and of that of further entries. */
export const TABLE_BYTES = PORT_COUNT * PORT_ENTRY.size;
export const MORE_BYTES = LIMIT.MORE_ENTRIES * PORT_ENTRY.size;

/** Bytes of a half of the table of delivery ports, by rule slot. */
export const DELIVERY_BYTES = 2 * LIMIT.RULE_ROOM;

/** Fills a whole half of the table of delivery ports. */
export function packDeliveries(ports: PortMap, bytes: Uint8Array<ArrayBuffer>): void {
  bytes.fill(0);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (const { rule, deliverTo } of ports) if (deliverTo !== undefined) view.setUint16(2 * rule, deliverTo);
}

/** What goes into one half besides the entries of ports. */
export interface Packed {
  /** Lists of addresses by set number, less that of the first. */
  readonly lists: readonly (readonly string[])[];
  /** Bytes of `more` that are in use. */
  readonly moreBytes: number;
}

/**
 * Fills a whole half.
 *
 * @param bytes Gets the entry of every port; `more` gets the further entries.
 * @throws {SteerError} where there are too many lists or further entries.
 */
export function packPorts(ports: PortMap, bytes: Uint8Array<ArrayBuffer>, more: Uint8Array<ArrayBuffer>): Packed {
  bytes.fill(0);
  const sets = new AddressSets();
  const further = new FurtherEntries(more, sets);
  const words = new Uint32Array(bytes.buffer);
  const entry = new DataView(new ArrayBuffer(PORT_ENTRY.size));
  const stride = PORT_ENTRY.size / 4;
  for (const { first, last, owners } of portRuns(ports)) {
    writeEntry(entry, 0, owners[0]!, sets.idOf(owners[0]!.addresses), further.indexOf(owners.slice(1)));
    const [from, end] = [first * stride, (last + 1) * stride];
    for (let word = 0; word < stride; word++) words[from + word] = entry.getUint32(4 * word, true);
    // What is there, once more behind itself: a loop over all ports, in code that has hardly run, takes milliseconds.
    for (let done = stride; from + done < end; done *= 2) {
      words.copyWithin(from + done, from, Math.min(from + done, end - done));
    }
  }
  return { lists: sets.lists, moreBytes: further.bytes };
}

function writeEntry(view: DataView, at: number, owner: PortOwner, addresses: number, next: number): void {
  view.setUint16(at + PORT_ENTRY.rule, owner.rule, true);
  view.setUint8(at + PORT_ENTRY.worker, owner.worker);
  view.setUint8(at + PORT_ENTRY.action, KERNEL_ACTION[owner.action]!);
  const flags = (owner.errors ? PORT_FLAG.ERRORS : 0) | (owner.dropsFragments ? PORT_FLAG.DROP_FRAGMENTS : 0) |
    (owner.guard === undefined ? 0 : PORT_FLAG.GUARDED);
  view.setUint8(at + PORT_ENTRY.flags, flags);
  view.setUint8(at + PORT_ENTRY.addresses, addresses);
  view.setUint16(at + PORT_ENTRY.next, next, true);
}

/** Numbers for the sets of addresses. */
class AddressSets {
  readonly lists: (readonly string[])[] = [];
  readonly #ids = new Map<string, number>([["own", ADDRESS_SET.OWN], ["any", ADDRESS_SET.ANY]]);

  idOf(addresses: Addresses): number {
    const text = textOf(addresses);
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    if (this.lists.length === MAX_ADDRESS_LISTS) {
      throw new SteerError(`The rules have more than ${MAX_ADDRESS_LISTS} different lists of addresses`);
    }
    const id = ADDRESS_SET.LISTS + this.lists.push(addresses as readonly string[]) - 1;
    this.#ids.set(text, id);
    return id;
  }
}

/** Entries for the further rules of ports. Ports with the same further rules share them. */
class FurtherEntries {
  readonly #view: DataView;
  readonly #sets: AddressSets;
  readonly #indexes = new Map<PortOwner, Map<number, number>>();
  #used = 1; // index 0 is none

  constructor(bytes: Uint8Array<ArrayBuffer>, sets: AddressSets) {
    bytes.fill(0);
    this.#view = new DataView(bytes.buffer);
    this.#sets = sets;
  }

  get bytes(): number {
    return this.#used * PORT_ENTRY.size;
  }

  /** @returns The index of the first of these, 0 where there are none. */
  indexOf(owners: readonly PortOwner[]): number {
    return owners.reduceRight((next, owner) => this.#add(owner, next), 0);
  }

  #add(owner: PortOwner, next: number): number {
    const byNext = this.#indexes.get(owner) ?? new Map<number, number>();
    this.#indexes.set(owner, byNext);
    const known = byNext.get(next);
    if (known !== undefined) return known;
    if (this.#used === LIMIT.MORE_ENTRIES) {
      throw new SteerError("Too many ports are in several rules in too many different ways", {
        hint: "use the same ranges of ports in rules that differ by their addresses",
      });
    }
    const index = this.#used++;
    writeEntry(this.#view, index * PORT_ENTRY.size, owner, this.#sets.idOf(owner.addresses), next);
    byNext.set(next, index);
    return index;
  }
}
