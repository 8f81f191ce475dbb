import fc from "fast-check";
import assert from "node:assert/strict";
import { fillMaglev, isPrime, type MaglevBackend, murmur3, nextPrime, NO_BACKEND } from "./maglev.ts";

/** The table size of the paper's evaluation. */
const USUAL_SIZE = 65537;

/** The ids are those of the list: taking one out leaves the others theirs. */
function backends(count: number, weightOf: (index: number) => number = () => 1, network = 0): MaglevBackend[] {
  return Array.from(
    { length: count },
    (_, id) => ({ id, name: `10.0.${network}.${id + 1}:9000`, weight: weightOf(id) }),
  );
}

function filled(size: number, from: readonly MaglevBackend[]): Uint16Array<ArrayBuffer> {
  const table = new Uint16Array(size);
  fillMaglev(table, from);
  return table;
}

/** Which part of the entries each backend has. */
function shares(table: Uint16Array, count: number): number[] {
  const entries = new Uint32Array(NO_BACKEND + 1);
  for (const id of table) entries[id]!++;
  return Array.from({ length: count }, (_, id) => entries[id]! / table.length);
}

/** Which part of the entries is not the same. */
function moved(before: Uint16Array, after: Uint16Array): number {
  return before.reduce((sum, id, entry) => sum + (id === after[entry] ? 0 : 1), 0) / before.length;
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

Deno.test("fillMaglev() makes the tables it always made: machines of two versions side by side choose alike", () => {
  const digest = (size: number, from: readonly MaglevBackend[]): string => {
    const table = filled(size, from);
    const bytes = new Uint8Array(size * 2);
    table.forEach((id, entry) => new DataView(bytes.buffer).setUint16(entry * 2, id));
    return murmur3(bytes, 0).toString(16);
  };
  const ipv6 = [1, 2, 3].map((id) => ({ id, name: `[2001:db8::${id}]:53`, weight: id }));
  // A change here sends flows to other backends on every machine that is updated while its neighbour is not.
  assert.deepEqual([...filled(13, backends(3))], [2, 0, 0, 1, 1, 1, 2, 2, 0, 1, 0, 2, 0]);
  assert.equal(digest(251, backends(10)), "147ba48a");
  assert.equal(digest(USUAL_SIZE, backends(3)), "9c33da61");
  assert.equal(digest(USUAL_SIZE, backends(100, (index) => 1 + index % 7)), "8cd82775");
  assert.equal(digest(USUAL_SIZE, ipv6), "8f064d39");
});

Deno.test("murmur3() is MurmurHash3_x86_32", () => {
  // Vectors that other implementations test themselves with.
  assert.equal(murmur3(utf8(""), 0), 0);
  assert.equal(murmur3(utf8(""), 1), 0x514e28b7);
  assert.equal(murmur3(utf8(""), 0xffffffff), 0x81f16f39);
  assert.equal(murmur3(utf8("a"), 0x9747b28c), 0x7fa09ea6);
  assert.equal(murmur3(utf8("aa"), 0x9747b28c), 0x5d211726);
  assert.equal(murmur3(utf8("aaa"), 0x9747b28c), 0x283e0130);
  assert.equal(murmur3(utf8("aaaa"), 0x9747b28c), 0x5a97808a);
  assert.equal(murmur3(utf8("Hello, world!"), 0x9747b28c), 0x24884cba);
  assert.equal(murmur3(utf8("ππππππππ"), 0x9747b28c), 0xd58063c1);
});

Deno.test("isPrime() and nextPrime() agree with a sieve", () => {
  const END = 70_000;
  const composite = new Uint8Array(END);
  for (let number = 2; number * number < END; number++) {
    for (let multiple = number * number; multiple < END; multiple += number) composite[multiple] = 1;
  }
  let next = 69_997;
  assert.ok(isPrime(next));
  for (let number = next; number >= -1; number--) {
    const prime = number >= 2 && composite[number] === 0;
    if (prime) next = number;
    assert.equal(isPrime(number), prime, `${number}`);
    assert.equal(nextPrime(number), next, `${number}`);
  }
  assert.equal(isPrime(2.5), false);
  assert.equal(nextPrime(65_536), USUAL_SIZE);
});

Deno.test("without a backend that has a weight every entry says so", () => {
  for (const none of [[], backends(3, () => 0)]) {
    const table = new Uint16Array(251).fill(7);
    fillMaglev(table, none);
    assert.ok(table.every((id) => id === NO_BACKEND));
  }
});

Deno.test("one backend has every entry, also of the smallest tables", () => {
  for (const size of [2, 3, 5, 251]) assert.ok(filled(size, backends(1)).every((id) => id === 0), `${size}`);
});

Deno.test("more backends than entries fill the table too", () => {
  assert.equal(new Set(filled(5, backends(40))).size, 5);
});

Deno.test("the sizes, ids, weights and names it cannot do with are refused, and the table is left alone", () => {
  const one = { id: 0, name: "a", weight: 1 };
  const refused: readonly [number, readonly MaglevBackend[], RegExp][] = [
    [65536, [one], /prime number of entries, not 65536/],
    [0, [one], /not 0/],
    [5, [{ ...one, id: NO_BACKEND }], /"a" has the id 65535/],
    [5, [{ ...one, id: -1 }], /id -1/],
    [5, [{ ...one, weight: -1 }], /"a" has the weight -1/],
    [5, [{ ...one, weight: 1.5 }], /weight 1.5/],
    [5, [{ ...one, weight: 2 ** 31 }], /weight 2147483648/],
    [5, [one, { ...one, id: 1 }], /Two backends are named "a"/],
  ];
  for (const [size, from, expected] of refused) {
    const table = new Uint16Array(size).fill(7);
    assert.throws(
      () => fillMaglev(table, from),
      (error) => error instanceof RangeError && expected.test(error.message),
    );
    assert.ok(table.every((id) => id === 7));
  }
});

Deno.test("backends of equal weight have equal shares", () => {
  for (const count of [2, 3, 10, 100]) {
    const all = shares(filled(USUAL_SIZE, backends(count)), count);
    assert.ok(Math.max(...all) / Math.min(...all) < 1.01, `${count}: ${Math.max(...all) / Math.min(...all)}`);
  }
  const small = shares(filled(251, backends(10)), 10);
  assert.ok(Math.max(...small) - Math.min(...small) <= 1.5 / 251, "25 or 26 entries each");
});

Deno.test("shares are as the weights", () => {
  const weights: readonly (readonly number[])[] = [[1, 2], [1, 2, 3, 4], [100, 1, 1, 1], [7, 7, 7, 1], [1e9, 2e9, 0]];
  for (const given of weights) {
    const sum = given.reduce((total, weight) => total + weight, 0);
    const all = shares(filled(USUAL_SIZE, backends(given.length, (index) => given[index]!)), given.length);
    all.forEach((share, index) => {
      const wanted = given[index]! / sum;
      assert.ok(Math.abs(share - wanted) <= wanted * 0.01 + 1 / USUAL_SIZE, `${given}: ${all}`);
    });
  }
});

Deno.test("the smallest of weights gets an entry of a small table", () => {
  const all = shares(filled(251, backends(20, (index) => index === 0 ? 1_000_000 : 1)), 20);
  assert.ok(all.every((share) => share > 0), `${all}`);
});

/**
 * Moves that are not the removed or added backend's own, at most: small tables are coarse, and the product's bound is 2
 * %.
 */
const DISRUPTION: readonly { readonly size: number; readonly most: number }[] = [
  { size: 251, most: 0.15 },
  { size: 1009, most: 0.05 },
  { size: 4093, most: 0.02 },
  { size: 16381, most: 0.02 },
  { size: USUAL_SIZE, most: 0.005 },
];

for (const { size, most } of DISRUPTION) {
  Deno.test(`one of ten backends that goes or comes moves its own part of ${size} entries, and ${most * 100} % at most`, () => {
    const kinds = [() => 1, (index: number) => 1 + index % 3, (index: number) => index === 0 ? 10 : 1];
    for (const [kind, weightOf] of kinds.entries()) {
      for (let network = 0; network < 4; network++) {
        const all = backends(10, weightOf, network);
        const full = filled(size, all);
        const own = shares(full, 10);
        all.forEach(({ id }) => {
          const without = filled(size, all.filter((backend) => backend.id !== id));
          assert.ok(!without.includes(id));
          // The same two tables the other way round are the backend's coming.
          const others = moved(full, without) - own[id]!;
          assert.ok(others >= 0 && others <= most, `kind ${kind}, network ${network}, backend ${id}: ${others}`);
          if (kind === 0) assert.ok(moved(full, without) <= 1 / 10 + most + 1 / size);
        });
      }
    }
  });
}

Deno.test("an unhealthy backend is one that is not there, and its return brings the very table back", () => {
  const all = backends(10);
  const before = filled(USUAL_SIZE, all);
  const without = filled(USUAL_SIZE, all.filter(({ id }) => id !== 4));
  const weightless = filled(USUAL_SIZE, all.map((backend) => backend.id === 4 ? { ...backend, weight: 0 } : backend));
  assert.deepEqual(weightless, without);
  fillMaglev(without, all);
  assert.deepEqual(without, before);
});

const PRIMES = [2, 3, 13, 251, 1009, 4093];

const anyBackends = fc.uniqueArray(fc.string({ unit: "binary", maxLength: 30 }), { maxLength: 40 }).chain((names) =>
  fc.tuple(
    fc.constant(names),
    fc.array(fc.oneof(fc.nat(5), fc.nat(0x7fffffff)), { minLength: names.length, maxLength: names.length }),
    fc.shuffledSubarray(names.map((_, index) => index), { minLength: names.length }),
  )
).map(([names, weights, order]) => {
  const given = names.map((name, id) => ({ id, name, weight: weights[id]! }));
  return { given, shuffled: order.map((index) => given[index]!) };
});

Deno.test("any backends fill any table: only those with a weight, whatever the order, each with its share", () => {
  fc.assert(fc.property(anyBackends, fc.constantFrom(...PRIMES), ({ given, shuffled }, size) => {
    const table = filled(size, given);
    const weighted = given.filter(({ weight }) => weight > 0);
    const ids = new Set(weighted.map(({ id }) => id));
    assert.ok(table.every((id) => ids.size === 0 ? id === NO_BACKEND : ids.has(id)));
    assert.deepEqual(filled(size, shuffled), table);
    if (ids.size === 0 || size < ids.size) return;
    const all = shares(table, given.length);
    const sum = weighted.reduce((total, { weight }) => total + weight, 0);
    // A first turn for each, and the round the table ends in, are all that may be beside the weights.
    for (const { id, weight } of weighted) {
      assert.ok(all[id]! > 0);
      const beside = (weighted.length + 2) / size;
      assert.ok(Math.abs(all[id]! - weight / sum) <= beside, `${all[id]} of ${weight / sum} ± ${beside}`);
    }
  }));
});

Deno.test("machines that number the same backends differently choose the same names", () => {
  fc.assert(fc.property(anyBackends, fc.constantFrom(...PRIMES), ({ given, shuffled }, size) => {
    const renumbered = shuffled.map(({ name, weight }, index) => ({ id: 1000 + index, name, weight }));
    const one = filled(size, given);
    const other = filled(size, renumbered);
    one.forEach((id, entry) => {
      if (id === NO_BACKEND) return assert.equal(other[entry], NO_BACKEND);
      assert.equal(given[id]!.name, renumbered[other[entry]! - 1000]!.name);
    });
  }));
});
