/**
 * Whether a box is ready, from its problems: what `/readyz` and `/healthz` answer.
 *
 * @module
 */
import { ACTION_TABLE } from "../../steering/action.ts";
import type { Rule } from "../../steering/rule.ts";
import type { Problem } from "./kinds.ts";

export interface Readiness {
  readonly ready: boolean;
  /** Why not, one sentence each. */
  readonly reasons: readonly string[];
}

/** Whether this box can steer packets, wherever they then go: its interfaces and workers. */
export function healthOf(problems: readonly Problem[]): Readiness {
  return readinessBy(problems.filter(({ stops }) => stops === "box"));
}

/**
 * Whether packets that come to this box are served: it can steer them, and not every rule that would serve them is
 * without a backend.
 */
export function readinessOf(problems: readonly Problem[], rules: readonly Rule[]): Readiness {
  const stopped = stoppedRules(problems);
  const serving = rules.filter(({ action: { kind } }) => ACTION_TABLE[kind].answered);
  const works = serving.length === 0 || serving.some(({ name }) => !stopped.has(name));
  return readinessBy(problems.filter(({ stops }) => stops === "box" || (stops === "rule" && !works)));
}

/** The same for one rule. */
export function ruleReadiness(problems: readonly Problem[], rule: string): Readiness {
  return readinessBy(
    problems.filter(({ stops, subject }) => stops === "box" || (stops === "rule" && subject.name === rule)),
  );
}

function stoppedRules(problems: readonly Problem[]): ReadonlySet<string> {
  return new Set(problems.filter(({ stops }) => stops === "rule").map(({ subject }) => subject.name));
}

function readinessBy(problems: readonly Problem[]): Readiness {
  return { ready: problems.length === 0, reasons: problems.map(({ message }) => message) };
}
