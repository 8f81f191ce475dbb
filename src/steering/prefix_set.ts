/**
 * Sets of prefixes, as many as there are, in flat arrays: read from lines of text without an object for a line.
 *
 * @module
 */
import { doubled, release } from "./doubled.ts";
import { isWideIpv4, isWideIpv6 } from "./wide_prefix.ts";

/** IPv4 prefixes are a number each: the first address times 64, and the length. */
export const IPV4_KEY_STEP = 64;

const FIRST_ROOM = 64;

export class PrefixSet {
  #ipv4 = new Float64Array(FIRST_ROOM);
  #ipv4Count = 0;
  #ipv6 = new Uint32Array(4 * FIRST_ROOM);
  #ipv6Bits = new Uint8Array(FIRST_ROOM);
  #ipv6Count = 0;

  /** Prefixes so far; what is added twice counts twice. */
  get size(): number {
    return this.#ipv4Count + this.#ipv6Count;
  }

  /** `start * IPV4_KEY_STEP + bits` each. */
  get ipv4(): Float64Array {
    return this.#ipv4.subarray(0, this.#ipv4Count);
  }

  /** First addresses, four words each, and lengths. */
  get ipv6(): { readonly starts: Uint32Array; readonly bits: Uint8Array; readonly count: number } {
    return { starts: this.#ipv6, bits: this.#ipv6Bits, count: this.#ipv6Count };
  }

  /** Gives its memory back: it is empty then, and so is every view of it that somebody has. */
  release(): void {
    release(this.#ipv4, this.#ipv6, this.#ipv6Bits);
    [this.#ipv4, this.#ipv6, this.#ipv6Bits] = [
      new Float64Array(FIRST_ROOM),
      new Uint32Array(4 * FIRST_ROOM),
      new Uint8Array(FIRST_ROOM),
    ];
    this.#ipv4Count = this.#ipv6Count = 0;
  }

  addIpv4(start: number, bits: number): void {
    if (this.#ipv4Count === this.#ipv4.length) this.#ipv4 = doubled(this.#ipv4);
    this.#ipv4[this.#ipv4Count++] = start * IPV4_KEY_STEP + bits;
  }

  addIpv6(words: ArrayLike<number>, bits: number): void {
    if (this.#ipv6Count === this.#ipv6Bits.length) {
      this.#ipv6 = doubled(this.#ipv6);
      this.#ipv6Bits = doubled(this.#ipv6Bits);
    }
    const at = 4 * this.#ipv6Count;
    for (let word = 0; word < 4; word++) this.#ipv6[at + word] = words[word]!;
    this.#ipv6Bits[this.#ipv6Count++] = bits;
  }
}

/**
 * Reads a prefix or an address a line into a set. What follows a `#` or `;` is a comment.
 *
 * @param bad Called for each line that is not taken, with its number and where in `bytes` its text begins and ends.
 * @param takesWide Whether prefixes are taken that are as wide as in wide_prefix.ts.
 */
export function readPrefixLines(
  bytes: Uint8Array,
  set: PrefixSet,
  bad: (line: number, start: number, end: number) => void,
  takesWide = true,
): void {
  const reader = new LineReader(bytes, set, takesWide);
  let line = 0;
  // A byte order mark is no part of the first line.
  let at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  while (at < bytes.length) {
    line++;
    let end = bytes.indexOf(NEWLINE, at);
    if (end < 0) end = bytes.length;
    if (!reader.read(at, end)) {
      while (at < end && isSpace(bytes[at]!)) at++;
      let last = end;
      while (last > at && isSpace(bytes[last - 1]!)) last--;
      bad(line, at, last);
    }
    at = end + 1;
  }
}

const NEWLINE = 10;
const [HASH, SEMICOLON, DOT, SLASH, COLON, ZERO] = [35, 59, 46, 47, 58, 48];

function isSpace(byte: number): boolean {
  return byte === 32 || byte === 9 || byte === 13;
}

/** Reads one line after the other. */
class LineReader {
  readonly #words = new Uint32Array(4);
  readonly #groups = new Uint16Array(8);
  /** Behind what was read last. */
  #at = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly set: PrefixSet,
    private readonly takesWide: boolean,
  ) {}

  /** @returns False where the line is nothing that can be read, or is to be taken. */
  read(start: number, end: number): boolean {
    const { bytes } = this;
    let at = start;
    while (at < end && isSpace(bytes[at]!)) at++;
    if (at === end || bytes[at] === HASH || bytes[at] === SEMICOLON) return true;
    let stop = at;
    let isIpv6 = false;
    for (; stop < end; stop++) {
      const byte = bytes[stop]!;
      if (byte === COLON) isIpv6 = true;
      else if (isSpace(byte) || byte === HASH || byte === SEMICOLON) break;
    }
    let rest = stop;
    while (rest < end && isSpace(bytes[rest]!)) rest++;
    if (rest < end && bytes[rest] !== HASH && bytes[rest] !== SEMICOLON) return false;
    return isIpv6 ? this.#readIpv6(at, stop) : this.#readIpv4(at, stop);
  }

  #readIpv4(start: number, end: number): boolean {
    const address = this.#address(start, end);
    const bits = address < 0 ? -1 : this.#length(end, 32);
    if (bits < 0 || (bits < 32 && address % 2 ** (32 - bits) !== 0)) return false;
    if (!this.takesWide && isWideIpv4(address, bits)) return false;
    this.set.addIpv4(address, bits);
    return true;
  }

  /** The number of an IPv4 address, -1 where there is none. */
  #address(start: number, end: number): number {
    let address = 0;
    let at = start;
    for (let part = 0; part < 4; part++) {
      if (part > 0 && (at === end || this.bytes[at++] !== DOT)) return -1;
      this.#at = at;
      const number = this.#number(end, 255);
      if (number < 0) return -1;
      address = address * 256 + number;
      at = this.#at;
    }
    return address;
  }

  /** What stands behind an address: its prefix length, `most` where there is none, -1 where it cannot be read. */
  #length(end: number, most: number): number {
    if (this.#at === end) return most;
    if (this.bytes[this.#at++] !== SLASH) return -1;
    const bits = this.#number(end, most);
    return this.#at === end ? bits : -1;
  }

  /** Decimal digits without a zero before them, -1 where there is no number or it is too large. */
  #number(end: number, most: number): number {
    const first = this.#at;
    let number = 0;
    for (; this.#at < end; this.#at++) {
      const digit = this.bytes[this.#at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      number = number * 10 + digit;
      if (number > most) return -1;
    }
    const digits = this.#at - first;
    return digits === 0 || (digits > 1 && this.bytes[first] === ZERO) ? -1 : number;
  }

  #readIpv6(start: number, end: number): boolean {
    if (!this.#readGroups(start, end)) return false;
    const bits = this.#length(end, 128);
    if (bits < 0) return false;
    const words = this.#words;
    for (let word = 0; word < 4; word++) words[word] = this.#groups[2 * word]! * 65536 + this.#groups[2 * word + 1]!;
    if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) return false; // IPv4, and no packet has it so
    for (let word = bits >> 5; word < 4; word++) {
      const beyond = word === bits >> 5 && (bits & 31) !== 0 ? words[word]! << (bits & 31) : words[word]!;
      if (beyond !== 0) return false;
    }
    if (!this.takesWide && isWideIpv6(words[0]!, bits)) return false;
    this.set.addIpv6(words, bits);
    return true;
  }

  /** Reads the groups up to a slash or the end. */
  #readGroups(start: number, end: number): boolean {
    const { bytes } = this;
    const groups = this.#groups.fill(0);
    let count = 0;
    let gap = -1;
    let at = start;
    if (bytes[at] === COLON && (at + 1 >= end || bytes[at + 1] !== COLON)) return false;
    while (at < end && bytes[at] !== SLASH) {
      if (bytes[at] === COLON) {
        at++;
        if (at < end && bytes[at] === COLON) {
          if (gap >= 0) return false;
          gap = count;
          at++;
          continue;
        }
        if (count === 0 || at === end) return false;
      } else if (count > 0 && bytes[at - 1] !== COLON) return false;
      if (count === 8) return false;
      let group = 0;
      const first = at;
      for (; at < end; at++) {
        const digit = hexDigit(bytes[at]!);
        if (digit < 0) break;
        group = group * 16 + digit;
      }
      if (at < end && bytes[at] === DOT && count <= 6) {
        let stop = at;
        while (stop < end && bytes[stop] !== SLASH) stop++;
        const address = this.#address(first, stop);
        if (address < 0 || this.#at !== stop) return false;
        groups[count++] = address >>> 16;
        groups[count++] = address & 0xffff;
        at = stop;
        break;
      }
      if (at === first || at - first > 4) return false;
      groups[count++] = group;
    }
    if (gap < 0 ? count !== 8 : count > 7) return false;
    if (gap >= 0) {
      groups.copyWithin(8 - (count - gap), gap, count);
      groups.fill(0, gap, 8 - (count - gap));
    }
    this.#at = at;
    return true;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}
