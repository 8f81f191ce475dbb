/**
 * What is known of a list's file or page.
 *
 * @module
 */

/** How a list stands. */
export interface ListReport {
  readonly name: string;
  /** Prefixes in it as they are written, so duplicates count twice; those of lists that it names left out. */
  readonly entries: number;
  /** Lines that were left out, since they are no prefix or too wide. */
  readonly badLines: number;
  /** What is wrong with the first of them, in words. */
  readonly firstBad: string;
  /** Why what it holds is not what its file or page holds now, in words; "" where it is. */
  readonly error: string;
  /** When its content was last found to be good, milliseconds since 1970; null: never. */
  readonly successMs: number | null;
}

/** Both are about the same content. */
export function sameReport(one: ListReport, other: ListReport): boolean {
  return JSON.stringify({ ...one, successMs: 0 }) === JSON.stringify({ ...other, successMs: 0 });
}
