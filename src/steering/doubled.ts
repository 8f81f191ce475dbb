/**
 * Arrays of numbers that grow, and whose memory is given back at once.
 *
 * The garbage collector frees what an array has outside of its heap when it gets around to it. A list of a million
 * prefixes that is read again every second would leave hundreds of megabytes behind until then.
 *
 * @module
 */

type Numbers =
  | Float64Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** The same numbers, with room for as many more. The array that is given has none any more, nor has a view of it. */
export function doubled<Array extends Numbers>(numbers: Array): Array {
  const bytes = 2 * numbers.byteLength;
  return new (numbers.constructor as new (buffer: ArrayBuffer) => Array)(numbers.buffer.transfer(bytes));
}

/** Gives memory of arrays back, which are empty from then on, as is every view of it. */
export function release(...arrays: readonly Numbers[]): void {
  for (const { buffer } of arrays) if (!buffer.detached) buffer.transfer(0);
}
