/**
 * Maglev hashing: a table that tells which backend a flow goes to (Eisenbud and others, "Maglev: A Fast and Reliable
 * Software Network Load Balancer", NSDI 2016, section 3.4). It depends on nothing but the names and weights of the
 * backends, so machines beside each other that know the same backends choose alike without talking, and it changes
 * little when one comes or goes.
 *
 * What {@linkcode fillMaglev} makes of given backends is a contract between versions: a golden test holds it.
 *
 * @module
 */

/** An entry of a table without backends. */
export const NO_BACKEND = 0xffff;

export interface MaglevBackend {
  /** What is put into the table: 0 to 65,534. It has no influence on which entries are the backend's. */
  readonly id: number;
  /** `10.0.0.11:9000`: the same text on every machine that is to choose alike. */
  readonly name: string;
  /** Share of the entries relative to the other backends, a whole number. 0: none. */
  readonly weight: number;
}

/** Seeds of the two hashes that make a backend's order of preference. */
const OFFSET_SEED = 0x6d61676c;
const SKIP_SEED = 0x65762121;

/** Sums of weights stay exact below this, by far. */
const MAX_WEIGHT = 0x7fffffff;

/** A backend while the table is filled. */
interface Turn {
  readonly id: number;
  readonly weight: number;
  readonly skip: number;
  /** The entry it asks for next. */
  next: number;
  /** What it has saved towards its next turn; a turn costs as much as the greatest weight. */
  credit: number;
}

/**
 * Fills a table with the ids of backends, each in proportion to its weight; all entries are {@linkcode NO_BACKEND}
 * where no backend has a weight. It writes entry by entry: a table that others read is to be filled apart and copied.
 *
 * A backend with a weight gets at least one entry as long as there are no more backends than entries.
 *
 * @param table Its length is a prime, best a hundred times the number of backends or more.
 * @throws {RangeError} for a length that is not prime, an id or weight out of range, or two backends of one name.
 */
export function fillMaglev(table: Uint16Array, backends: readonly MaglevBackend[]): void {
  const size = table.length;
  if (!isPrime(size)) throw new RangeError(`A Maglev table has a prime number of entries, not ${size}`);
  const turns = takeTurns(size, backends);
  table.fill(NO_BACKEND);
  if (turns.length === 0) return;
  const price = turns.reduce((most, { weight }) => Math.max(most, weight), 0);
  // Everybody's first turn is in the first round, so that a small weight in a small table is not left out.
  for (const turn of turns) turn.credit = price - turn.weight;
  for (let left = size;;) {
    for (const turn of turns) {
      turn.credit += turn.weight;
      if (turn.credit < price) continue;
      turn.credit -= price;
      let entry = turn.next;
      while (table[entry] !== NO_BACKEND) entry = following(entry, turn.skip, size);
      table[entry] = turn.id;
      turn.next = following(entry, turn.skip, size);
      if (--left === 0) return;
    }
  }
}

/** A skip is less than the size and the size is prime, so this visits every entry before it comes back. */
function following(entry: number, skip: number, size: number): number {
  const next = entry + skip;
  return next >= size ? next - size : next;
}

/** The backends that have a weight, in an order that depends on nothing but their names. */
function takeTurns(size: number, backends: readonly MaglevBackend[]): Turn[] {
  // Code units are compared, not letters: a locale must not matter.
  const sorted = [...backends].sort((one, other) => one.name < other.name ? -1 : one.name > other.name ? 1 : 0);
  sorted.forEach(({ id, name, weight }, index) => {
    if (!Number.isInteger(id) || id < 0 || id >= NO_BACKEND) throw new RangeError(`Backend "${name}" has the id ${id}`);
    if (!Number.isInteger(weight) || weight < 0 || weight > MAX_WEIGHT) {
      throw new RangeError(`Backend "${name}" has the weight ${weight}`);
    }
    if (index > 0 && sorted[index - 1]!.name === name) throw new RangeError(`Two backends are named "${name}"`);
  });
  const encoder = new TextEncoder();
  return sorted.filter(({ weight }) => weight > 0).map(({ id, name, weight }) => {
    const bytes = encoder.encode(name);
    const next = murmur3(bytes, OFFSET_SEED) % size;
    const skip = size === 2 ? 1 : murmur3(bytes, SKIP_SEED) % (size - 1) + 1;
    return { id, weight, skip, next, credit: 0 };
  });
}

/** MurmurHash3_x86_32: 32 bits without sign, in 32-bit arithmetic, so every machine has the same. */
export function murmur3(bytes: Uint8Array, seed: number): number {
  const [C1, C2] = [0xcc9e2d51, 0x1b873593];
  const mixed = (word: number): number => {
    const product = Math.imul(word, C1);
    return Math.imul((product << 15) | (product >>> 17), C2);
  };
  const whole = bytes.length & ~3;
  let hash = seed | 0;
  for (let at = 0; at < whole; at += 4) {
    hash ^= mixed(bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let at = bytes.length - 1; at >= whole; at--) rest = (rest << 8) | bytes[at]!;
  if (whole < bytes.length) hash ^= mixed(rest);
  hash ^= bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** By trial division: quick enough for any table there can be. */
export function isPrime(number: number): boolean {
  if (!Number.isInteger(number) || number < 2) return false;
  if (number % 2 === 0) return number === 2;
  for (let divisor = 3; divisor * divisor <= number; divisor += 2) {
    if (number % divisor === 0) return false;
  }
  return true;
}

/** The least prime that is not less than `number`. */
export function nextPrime(number: number): number {
  let candidate = Math.max(2, Math.ceil(number));
  while (!isPrime(candidate)) candidate++;
  return candidate;
}
