/**
 * Found problems as texts.
 *
 * @module
 */
import type { FoundProblem } from "../../src/observe/problems/kinds.ts";

export function told(problems: readonly FoundProblem[]): string[] {
  return problems.map(({ kind, subject, message }) => `${kind} ${subject}: ${message}`);
}
