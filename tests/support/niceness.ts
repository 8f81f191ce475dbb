/**
 * Which program goes first where a test has more to do than the machine has CPUs.
 *
 * @module
 */

/** Before everything else on the machine. */
export const FAVOURED = -15;

/** A command line that runs `argv` with this niceness, as nice(1) takes it. */
export function niced(niceness: number, argv: readonly string[]): string[] {
  return ["nice", "-n", `${niceness}`, ...argv];
}
