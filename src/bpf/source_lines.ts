/**
 * Packs intervals of source addresses into the lines that bpf/source_lists.h searches: an index by the first bits of
 * an address, the masks of classes, and nodes with the starts of intervals.
 *
 * Keys in nodes are less one, so that the place of an address is the number of keys that are below it, and an unused
 * key is below none. No interval in a node begins at 0: where it did, it is what stands before the first key.
 *
 * @module
 */
import { doubled } from "../steering/doubled.ts";
import type { Intervals } from "../steering/source_intervals.ts";
import { IPV4_NODE, IPV6_NODE, LIMIT, SOURCE_ENTRY } from "./layout.gen.ts";

/** Lines of one IP version, and how to read them. */
export interface PackedLines {
  /** Whole lines. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly lines: number;
  /** By how many bits an address, or the first 64 of one, is shifted to be its place in the index. */
  readonly shift: number;
  /** The first line of masks. */
  readonly masks: number;
}

const KEYS = LIMIT.NODE_KEYS;
const FAN = KEYS + 1;
const MIN_INDEX_BITS = 16;
const MAX_INDEX_BITS = 20;

/** Bits of an index with which one node is enough for most places where intervals begin: they are not everywhere. */
function indexBits({ count, starts }: Intervals, words: number): number {
  let places = 0;
  let last = -1;
  for (let at = 0; at < count * words; at += words) {
    const place = starts[at]! >>> 32 - MIN_INDEX_BITS;
    if (place !== last) places++;
    last = place;
  }
  const more = Math.ceil(Math.log2(Math.max(1, count / places / (FAN / 2))));
  return Math.min(MAX_INDEX_BITS, MIN_INDEX_BITS + more);
}

export function packIpv4(intervals: Intervals): PackedLines {
  const { starts, classes, masks } = intervals;
  const bits = indexBits(intervals, 1);
  const shift = 32 - bits;
  const width = 2 ** shift;
  const indexLines = 2 ** bits / 16;
  const firstNode = indexLines + Math.ceil(masks.length / 16);
  let nodes = 0;
  forEachBucket(intervals, bits, width, (_bucket, from, to) => nodes += nodesFor(to - from + 1));
  const bytes = new Uint8Array((firstNode + nodes) * IPV4_NODE.size);
  const words = new Uint32Array(bytes.buffer);
  const halves = new Uint16Array(bytes.buffer);
  words.set(masks, indexLines * 16);
  let free = firstNode;
  let previous = 0;
  let filled = 0;
  forEachBucket(intervals, bits, width, (bucket, from, to, before) => {
    words.fill(previous, filled, bucket);
    words[bucket] = to === from ? before : addNodes(from, to, before);
    filled = bucket + 1;
    previous = to === from ? before : classes[to - 1]!;
  });
  words.fill(previous, filled, 2 ** bits);
  return { bytes, lines: firstNode + nodes, shift, masks: indexLines };

  /** Nodes for the intervals that begin inside a bucket. @returns The entry of the topmost. */
  function addNodes(from: number, to: number, before: number): number {
    // Value 0 is `before`, value i the class of interval from + i - 1, behind the key that is its start.
    const classOf = (value: number): number => value === 0 ? before : classes[from + value - 1]!;
    const keyOf = (value: number): number => (starts[from + value - 1]! & 0xffff) - 1;
    const values = to - from + 1;
    let children = Math.ceil(values / FAN);
    let first = free;
    free += children;
    for (let node = 0; node < children; node++) {
      const base = node * FAN;
      const at = (first + node) * (IPV4_NODE.size / 2);
      const last = Math.min(FAN, values - base) - 1;
      for (let place = 0; place < KEYS; place++) halves[at + place] = place < last ? keyOf(base + place + 1) : 0xffff;
      for (let place = 0; place < FAN; place++) {
        halves[at + IPV4_NODE.classes / 2 + place] = classOf(base + Math.min(place, last));
      }
    }
    let flags: number = SOURCE_ENTRY.NODE;
    let span = FAN; // values below each child
    while (children > 1) {
      const parents = Math.ceil(children / FAN);
      const above = free;
      free += parents;
      for (let node = 0; node < parents; node++) {
        const base = node * FAN;
        const at = (above + node) * (IPV4_NODE.size / 2);
        const last = Math.min(FAN, children - base) - 1;
        for (let place = 0; place < KEYS; place++) {
          halves[at + place] = place < last ? keyOf((base + place + 1) * span) : 0xffff;
        }
        words[(above + node) * (IPV4_NODE.size / 4) + IPV4_NODE.classes / 4] = flags | (first + base);
      }
      flags = SOURCE_ENTRY.NODE | SOURCE_ENTRY.INNER;
      [first, children, span] = [above, parents, span * FAN];
    }
    return flags | first;
  }
}

function nodesFor(values: number): number {
  if (values === 1) return 0;
  let nodes = 0;
  let level = values;
  do {
    level = Math.ceil(level / FAN);
    nodes += level;
  } while (level > 1);
  return nodes;
}

/**
 * The places of an index in which intervals begin, ascending.
 *
 * @param visit Gets the intervals that begin behind the place's first address, `from` up to `to`, and the class at it.
 */
function forEachBucket(
  { count, starts, classes }: Intervals,
  bits: number,
  width: number,
  visit: (bucket: number, from: number, to: number, before: number) => void,
): void {
  let at = 0;
  let before = 0;
  while (at < count) {
    const bucket = starts[at]! >>> 32 - bits;
    const begin = bucket * width;
    const end = begin + width;
    if (starts[at] === begin) before = classes[at++]!;
    const from = at;
    while (at < count && starts[at]! < end) at++;
    visit(bucket, from, at, before);
    if (at > from) before = classes[at - 1]!;
  }
}

/** Nodes of IPv6 so far. */
class Ipv6Nodes {
  words = new Uint32Array(32 * 64);
  count = 0;
  /** The number of the first node's line. */
  readonly #first: number;

  constructor(first: number) {
    this.#first = first;
  }

  /**
   * Nodes over these values, each behind its key; that of the first is not looked at.
   *
   * @returns The entry of the topmost.
   */
  add(keys: readonly number[], values: readonly number[]): number {
    if (values.length === 1) return values[0]!;
    let level = { keys, values };
    while (level.values.length > 1) {
      const above = { keys: [] as number[], values: [] as number[] };
      for (let base = 0; base < level.values.length; base += FAN) {
        above.keys.push(level.keys[base]!);
        above.values.push(this.#node(level.keys, level.values, base));
      }
      level = above;
    }
    return level.values[0]!;
  }

  #node(keys: readonly number[], values: readonly number[], base: number): number {
    if (32 * (this.count + 1) > this.words.length) this.words = doubled(this.words);
    const at = 32 * this.count;
    const last = Math.min(FAN, values.length - base) - 1;
    for (let place = 0; place < KEYS; place++) {
      this.words[at + place] = place < last ? keys[base + place + 1]! - 1 : 0xffffffff;
    }
    for (let place = 0; place < FAN; place++) {
      this.words[at + IPV6_NODE.entries / 4 + place] = values[base + Math.min(place, last)]!;
    }
    return SOURCE_ENTRY.NODE | (this.#first + this.count++);
  }
}

export function packIpv6(intervals: Intervals): PackedLines {
  const { count, starts, classes, masks } = intervals;
  const bits = indexBits(intervals, 4);
  const places = 2 ** bits;
  const indexLines = places / 32;
  const firstNode = indexLines + Math.ceil(masks.length / 32);
  const nodes = new Ipv6Nodes(firstNode);
  const index = new Uint32Array(places);
  let before = 0;
  let filled = 0;
  for (let at = 0; at < count;) {
    const bucket = starts[4 * at]! >>> 32 - bits;
    let to = at;
    while (to < count && starts[4 * to]! >>> 32 - bits === bucket) to++;
    index.fill(before, filled, bucket);
    const isFirst = starts[4 * at]! === bucket * 2 ** (32 - bits) && isZeroFrom(at, 32);
    const initial = isFirst ? classes[at]! : before;
    index[bucket] = addStride(isFirst ? at + 1 : at, to, 16, initial);
    filled = bucket + 1;
    before = classes[to - 1]!;
    at = to;
  }
  index.fill(before, filled);
  const words = new Uint32Array(32 * (firstNode + nodes.count));
  words.set(index);
  words.set(masks, 32 * indexLines);
  words.set(nodes.words.subarray(0, 32 * nodes.count), 32 * firstNode);
  return {
    bytes: new Uint8Array(words.buffer),
    lines: firstNode + nodes.count,
    shift: 64 - bits,
    masks: indexLines,
  };

  /** 32 bits of an interval's start, from bit `offset` on. */
  function keyAt(interval: number, offset: number): number {
    const word = offset >> 5;
    const high = starts[4 * interval + word]!;
    const low = word === 3 ? 0 : starts[4 * interval + word + 1]!;
    return ((high << 16) | (low >>> 16)) >>> 0;
  }

  function isZeroFrom(interval: number, offset: number): boolean {
    let word = offset >> 5;
    if ((offset & 31) !== 0 && (starts[4 * interval + word++]! & 0xffff) !== 0) return false;
    for (; word < 4; word++) if (starts[4 * interval + word] !== 0) return false;
    return true;
  }

  /** The entry for intervals that have all bits before `offset` in common, where the space begins with a class. */
  function addStride(from: number, to: number, offset: number, initial: number): number {
    const keys = [0];
    const values = [initial];
    let current = initial;
    for (let at = from; at < to;) {
      const key = keyAt(at, offset);
      let end = at;
      while (end < to && keyAt(end, offset) === key) end++;
      const isExact = offset >= 112 || isZeroFrom(at, offset + 32);
      const inside = isExact ? at + 1 : at;
      let value: number = isExact ? classes[at]! : current;
      if (end > inside) value = addStride(inside, end, offset + 32, value) | SOURCE_ENTRY.NEXT;
      put(key, value);
      current = classes[end - 1]!;
      const isNext = end < to && keyAt(end, offset) === key + 1;
      if (end > inside && !isNext && key !== 0xffffffff) put(key + 1, current);
      at = end;
    }
    return nodes.add(keys, values);

    function put(key: number, value: number): void {
      if (key === 0) values[0] = value;
      else {
        keys.push(key);
        values.push(value);
      }
    }
  }
}
