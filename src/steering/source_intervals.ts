/**
 * Who may send, for all policies at once: cuts the addresses into intervals that all policies treat alike.
 *
 * Of each policy the most specific prefix decides about an address. Where a prefix is both allowed and denied, it is
 * denied. An address that is in none is let in, unless the policy allows some: then it is denied.
 *
 * @module
 */
import { doubled, release } from "./doubled.ts";
import { IPV4_KEY_STEP, type PrefixSet } from "./prefix_set.ts";

/** Most policies at once. */
export const MAX_POLICIES = 64;
/** Most different sets of policies that deny an address. */
export const MAX_CLASSES = 65536;

/** Who may send, as one rule has it, or the whole box. */
export interface SourcePolicy {
  readonly allow: readonly PrefixSet[];
  readonly deny: readonly PrefixSet[];
  /** Denies what is in no prefix: some are allowed. */
  readonly closed: boolean;
}

/** Intervals of addresses, ascending: each ends where the next begins. What is before the first is of class 0. */
export interface Intervals {
  readonly count: number;
  /** Of IPv4 one word each, of IPv6 four. */
  readonly starts: Uint32Array<ArrayBuffer>;
  readonly classes: Uint16Array<ArrayBuffer>;
  /** By class: the policies that deny it, a bit each; two words, the low one first. Class 0: none does. */
  readonly masks: Uint32Array<ArrayBuffer>;
}

/** There are more different sets of policies than can be told apart. */
export class TooManyClasses extends Error {}

const END = 2 ** 32;
/** Events of policies at one place are told apart by the last bits. */
const STEP = MAX_POLICIES;

/** Growing array of numbers, of which the last can be taken back. */
class Numbers {
  values = new Float64Array(256);
  count = 0;

  push(value: number): void {
    if (this.count === this.values.length) this.values = doubled(this.values);
    this.values[this.count++] = value;
  }

  /** Where what was pushed last since `first` is the same, both go. */
  toggle(value: number, first: number): void {
    if (this.count > first && this.values[this.count - 1] === value) this.count--;
    else this.push(value);
  }
}

export function ipv4Intervals(policies: readonly SourcePolicy[]): Intervals {
  const events = new Numbers(); // address times STEP, and policy: where one begins to deny, or ends
  for (const [policy, what] of policies.entries()) ipv4Events(what, policy, events);
  const sorted = events.values.subarray(0, events.count).sort();
  const classes = new Classes();
  const starts = new Uint32Array(sorted.length);
  const classOf = new Uint16Array(sorted.length);
  let count = 0;
  for (let at = 0; at < sorted.length;) {
    const address = Math.floor(sorted[at]! / STEP);
    while (at < sorted.length && sorted[at]! < (address + 1) * STEP) classes.toggle(sorted[at++]! % STEP);
    const number = classes.number();
    if (number === (count === 0 ? 0 : classOf[count - 1])) continue;
    starts[count] = address;
    classOf[count++] = number;
  }
  release(events.values);
  return { count, starts: starts.subarray(0, count), classes: classOf.subarray(0, count), masks: classes.masks() };
}

function ipv4Events({ allow, deny, closed }: SourcePolicy, policy: number, events: Numbers): void {
  const first = events.count;
  const sizes = [...allow, ...deny].reduce((sum, { ipv4 }) => sum + ipv4.length, 0);
  const keys = new Float64Array(sizes); // doubled, one more where it is denied
  let filled = 0;
  for (const [sets, denies] of [[allow, 0], [deny, 1]] as const) {
    for (const { ipv4 } of sets) for (let at = 0; at < ipv4.length; at++) keys[filled++] = 2 * ipv4[at]! + denies;
  }
  keys.sort();
  const outside = closed ? 1 : 0;
  const ends = new Float64Array(34);
  const verdicts = new Uint8Array(34);
  verdicts[0] = outside;
  ends[0] = Infinity;
  let depth = 0;
  let state = 0;
  const become = (address: number, verdict: number): void => {
    if (verdict === state || address === END) return;
    state = verdict;
    events.toggle(address * STEP + policy, first);
  };
  become(0, outside);
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at]!;
    if (at + 1 < keys.length && keys[at + 1]! < 2 * Math.floor(key / 2) + 2) continue; // the same, or denied too
    const prefix = Math.floor(key / 2);
    const start = Math.floor(prefix / IPV4_KEY_STEP);
    const bits = prefix % IPV4_KEY_STEP;
    while (ends[depth]! <= start) {
      const end = ends[depth--]!;
      become(end, verdicts[depth]!);
    }
    ends[++depth] = start + 2 ** (32 - bits);
    verdicts[depth] = key % 2;
    become(start, verdicts[depth]!);
  }
  while (depth > 0) {
    const end = ends[depth--]!;
    become(end, verdicts[depth]!);
  }
  release(keys);
}

/** Gives the memory of intervals back, which are none then. */
export function releaseIntervals({ starts, classes, masks }: Intervals): void {
  release(starts, classes, masks);
}

/** Numbers for the sets of policies. */
class Classes {
  #low = 0;
  #high = 0;
  readonly #numbers = new Map<number, Map<number, number>>([[0, new Map([[0, 0]])]]);
  readonly #masks = [0, 0];

  /** A policy begins to deny, or ends. */
  toggle(policy: number): void {
    if (policy < 32) this.#low ^= 1 << policy;
    else this.#high ^= 1 << policy - 32;
  }

  /** @throws {TooManyClasses} */
  number(): number {
    let byLow = this.#numbers.get(this.#high);
    if (byLow === undefined) this.#numbers.set(this.#high, byLow = new Map());
    const known = byLow.get(this.#low);
    if (known !== undefined) return known;
    const number = this.#masks.length / 2;
    if (number === MAX_CLASSES) throw new TooManyClasses();
    byLow.set(this.#low, number);
    this.#masks.push(this.#low, this.#high);
    return number;
  }

  masks(): Uint32Array<ArrayBuffer> {
    return Uint32Array.from(this.#masks, (word) => word >>> 0);
  }
}

/** Growing array of IPv6 addresses with a policy each. */
class Ipv6Events {
  words = new Uint32Array(4 * 256);
  policies = new Uint8Array(256);
  count = 0;

  toggle(words: Uint32Array, at: number, policy: number, first: number): void {
    if (this.count > first && compareWords(this.words, 4 * (this.count - 1), words, at) === 0) {
      this.count--;
      return;
    }
    if (this.count === this.policies.length) {
      this.words = doubled(this.words);
      this.policies = doubled(this.policies);
    }
    for (let word = 0; word < 4; word++) this.words[4 * this.count + word] = words[at + word]!;
    this.policies[this.count++] = policy;
  }
}

export function ipv6Intervals(policies: readonly SourcePolicy[]): Intervals {
  const events = new Ipv6Events();
  for (const [policy, what] of policies.entries()) ipv6Events(what, policy, events);
  const { words, policies: policyOf } = events;
  const order = sortedOrder(words, events.count, () => 0);
  const classes = new Classes();
  const starts = new Uint32Array(4 * events.count);
  const classOf = new Uint16Array(events.count);
  let count = 0;
  for (let at = 0; at < order.length;) {
    const first = 4 * order[at]!;
    while (at < order.length && compareWords(words, 4 * order[at]!, words, first) === 0) {
      classes.toggle(policyOf[order[at++]!]!);
    }
    const number = classes.number();
    if (number === (count === 0 ? 0 : classOf[count - 1])) continue;
    for (let word = 0; word < 4; word++) starts[4 * count + word] = words[first + word]!;
    classOf[count++] = number;
  }
  release(order, words, policyOf);
  return { count, starts: starts.subarray(0, 4 * count), classes: classOf.subarray(0, count), masks: classes.masks() };
}

function ipv6Events({ allow, deny, closed }: SourcePolicy, policy: number, events: Ipv6Events): void {
  const first = events.count;
  const total = [...allow, ...deny].reduce((sum, { ipv6 }) => sum + ipv6.count, 0);
  const words = new Uint32Array(4 * total);
  const ranks = new Uint16Array(total); // the length doubled, one more where it is denied
  let filled = 0;
  for (const [sets, denies] of [[allow, 0], [deny, 1]] as const) {
    for (const { ipv6: { starts, bits, count } } of sets) {
      words.set(starts.subarray(0, 4 * count), 4 * filled);
      for (let at = 0; at < count; at++) ranks[filled++] = 2 * bits[at]! + denies;
    }
  }
  const order = sortedOrder(words, total, (one, other) => ranks[one]! - ranks[other]!);
  const outside = closed ? 1 : 0;
  const ends = new Uint32Array(4 * 131);
  const isLast = new Uint8Array(131); // those that end with the last address
  const verdicts = new Uint8Array(131);
  verdicts[0] = outside;
  let depth = 0;
  let state = 0;
  const become = (at: Uint32Array, index: number, verdict: number): void => {
    if (verdict === state) return;
    state = verdict;
    events.toggle(at, index, policy, first);
  };
  const pop = (): void => {
    const ended = depth--;
    if (isLast[ended] === 0) become(ends, 4 * ended, verdicts[depth]!);
  };
  become(new Uint32Array(4), 0, outside);
  for (let at = 0; at < total; at++) {
    const prefix = order[at]!;
    const rank = ranks[prefix]!;
    const start = 4 * prefix;
    const next = order[at + 1];
    if (
      next !== undefined && ranks[next]! >> 1 === rank >> 1 && compareWords(words, 4 * next, words, start) === 0
    ) continue; // the same, or denied too
    while (depth > 0 && isLast[depth] === 0 && compareWords(ends, 4 * depth, words, start) <= 0) pop();
    depth++;
    verdicts[depth] = rank & 1;
    isLast[depth] = addPrefix(words, start, rank >> 1, ends, 4 * depth) ? 0 : 1;
    become(words, start, verdicts[depth]!);
  }
  while (depth > 0) pop();
  release(words, ranks, order);
}

/** The address behind a prefix. @returns False where there is none. */
function addPrefix(from: Uint32Array, at: number, bits: number, to: Uint32Array, into: number): boolean {
  for (let word = 0; word < 4; word++) to[into + word] = from[at + word]!;
  if (bits === 0) return false;
  let step = 2 ** (31 - (bits - 1 & 31));
  for (let word = bits - 1 >> 5; word >= 0; word--) {
    const sum = to[into + word]! + step;
    to[into + word] = sum >>> 0;
    if (sum < END) return true;
    step = 1;
  }
  return false;
}

function compareWords(one: Uint32Array, at: number, other: Uint32Array, otherAt: number): number {
  for (let word = 0; word < 4; word++) {
    const [left, right] = [one[at + word]!, other[otherAt + word]!];
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}

/** Most addresses that are sorted by their first words as numbers; with more, all of them are compared in turn. */
const MAX_PACKED = 2 ** 21;

/** Indexes of addresses in ascending order; `then` decides between equal ones. */
function sortedOrder(
  words: Uint32Array,
  count: number,
  then: (one: number, other: number) => number,
): Uint32Array<ArrayBuffer> {
  const compare = (one: number, other: number): number =>
    compareWords(words, 4 * one, words, 4 * other) || then(one, other);
  const order = new Uint32Array(count);
  if (count > MAX_PACKED) {
    for (let index = 0; index < count; index++) order[index] = index;
    return order.sort(compare);
  }
  // Numbers are sorted much faster than by a function: by the first word, and then what has it in common.
  const keys = new Float64Array(count);
  for (let index = 0; index < count; index++) keys[index] = words[4 * index]! * MAX_PACKED + index;
  keys.sort();
  for (let index = 0; index < count; index++) order[index] = keys[index]! % MAX_PACKED;
  release(keys);
  for (let from = 0; from < count;) {
    let to = from + 1;
    while (to < count && words[4 * order[to]!] === words[4 * order[from]!]) to++;
    if (to - from > 1) order.subarray(from, to).sort(compare);
    from = to;
  }
  return order;
}
