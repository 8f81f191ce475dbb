/**
 * Ports that several rules have, each for other destination addresses: how a worker finds the rule of a packet.
 *
 * The XDP program has seen that one of the rules has the packet's address, so the last one of a port need not be asked.
 * That is the one for the box's own addresses, where there is one: workers do not know these.
 *
 * @module
 */
import { type Addresses, parsePrefix, textOf } from "./addresses.ts";
import type { Claim } from "./port_runs.ts";
import { CHAINED, LISTED_WORDS, MAX_CHAINED, type WorkerTable } from "./worker_table.ts";

const LITTLE = true;
const chained = CHAINED;
const listedWords = LISTED_WORDS;

/** The rule of a packet, a slot, where `rule` is that of its port in the table. Hot path: no allocation. */
export function ruleByAddress(table: WorkerTable, rule: number, view: DataView, at: number, isIpv6: boolean): number {
  const { chains, lists, listed } = table;
  let word0 = 0;
  let word1 = 0;
  let word2 = 0;
  let word3 = 0;
  if (isIpv6) {
    word0 = view.getInt32(at, LITTLE);
    word1 = view.getInt32(at + 4, LITTLE);
    word2 = view.getInt32(at + 8, LITTLE);
    word3 = view.getInt32(at + 12, LITTLE);
  } else word3 = view.getInt32(at, LITTLE);
  const family = isIpv6 ? 1 : 0;
  let pair = (rule - chained) << 1;
  for (let list = chains[pair + 1]!; list !== 0; list = chains[pair + 1]!) {
    const end = lists[list]! * listedWords;
    for (let word = lists[list - 1]! * listedWords; word < end; word += listedWords) {
      const differs = (word3 ^ listed[word + 3]!) & listed[word + 7]! |
        (word2 ^ listed[word + 2]!) & listed[word + 6]! |
        (word1 ^ listed[word + 1]!) & listed[word + 5]! |
        (word0 ^ listed[word]!) & listed[word + 4]! |
        (family ^ listed[word + 8]!);
      if (differs === 0) return chains[pair]!;
    }
    pair += 2;
  }
  return chains[pair]!;
}

interface ChainedRule extends Claim {
  readonly slot: number;
}

/** Writes the chains of a new generation. */
export class RuleChains {
  readonly #table: WorkerTable;
  readonly #known = new Map<string, number>();
  readonly #lists = new Map<string, number>();
  #used = 0;

  /** @param table The lists that it has are forgotten; its chains stay until they are written over. */
  constructor(table: WorkerTable) {
    this.#table = table;
    table.lists.fill(0);
  }

  /** Gives each port that had several rules the last of them. The chains are this generation's from now on. */
  forget({ chains, lists }: WorkerTable): void {
    if (lists[1] === 0) return; // no list, so no chain
    const { ruleOfPort } = this.#table;
    for (let port = 0; port < ruleOfPort.length; port++) {
      const rule = ruleOfPort[port]!;
      if (rule < CHAINED) continue;
      let pair = (rule - CHAINED) * 2;
      while (chains[pair + 1] !== 0) pair += 2;
      ruleOfPort[port] = chains[pair]!;
    }
  }

  /**
   * What a port of these rules has in the table.
   *
   * @throws {RangeError} where there are more than the port table takes.
   */
  ruleOf(owners: readonly ChainedRule[]): number {
    if (owners.length === 1) return owners[0]!.slot;
    const key = owners.map(({ slot }) => slot).join();
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.#used + owners.length > MAX_CHAINED) throw new RangeError("Too many ports with several rules");
    const { chains } = this.#table;
    const first = this.#used;
    for (const [index, { slot, addresses }] of owners.entries()) {
      const isLast = index === owners.length - 1;
      chains[2 * this.#used] = slot;
      chains[2 * this.#used++ + 1] = isLast ? 0 : this.#listOf(addresses);
    }
    this.#known.set(key, CHAINED + first);
    return CHAINED + first;
  }

  /** The number of a list, from 1 on. */
  #listOf(addresses: Addresses): number {
    const text = textOf(addresses);
    const known = this.#lists.get(text);
    if (known !== undefined) return known;
    const { listed, lists } = this.#table;
    const number = this.#lists.size + 1;
    let at = number === 1 ? 0 : lists[number - 1]!;
    lists[number - 1] = at;
    for (const item of addresses as readonly string[]) listed.set(wordsOf(item), LISTED_WORDS * at++);
    lists[number] = at;
    this.#lists.set(text, number);
    return number;
  }
}

/** An address and its mask, both as they stand in packets. */
function wordsOf(text: string): Int32Array {
  const { address, bits } = parsePrefix(text);
  const bytes = new Uint8Array(LISTED_WORDS * 4);
  const skipped = 16 - address.length;
  bytes[4 * 8] = skipped === 0 ? 1 : 0;
  bytes.set(address, skipped);
  const masked = skipped * 8 + bits;
  bytes.fill(0xff, 16, 16 + (masked >> 3));
  if ((masked & 7) !== 0) bytes[16 + (masked >> 3)] = 0xff00 >> (masked & 7) & 0xff;
  return new Int32Array(bytes.buffer);
}
