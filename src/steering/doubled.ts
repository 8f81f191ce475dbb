/**
 * Arrays of numbers that grow.
 *
 * @module
 */

/** The same numbers, with room for as many more. */
export function doubled<Numbers extends Float64Array | Uint32Array | Uint8Array>(numbers: Numbers): Numbers {
  const more = new (numbers.constructor as new (length: number) => Numbers)(2 * numbers.length);
  more.set(numbers);
  return more;
}
