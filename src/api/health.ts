/**
 * `/livez`, `/healthz` and `/readyz`: three questions that have different answers. Would a new process help? Can this
 * box steer packets? Are packets that come to it served?
 *
 * @module
 */
import { healthOf, readinessOf, ruleReadiness } from "../observe/problems/readiness.ts";
import { escapeControls } from "../text.ts";
import { ALIVE, NOT_ALIVE } from "./alive.ts";
import { HttpError } from "./answers.ts";
import { requireWords } from "./conditions.ts";
import type { Answer } from "./question.ts";
import { workerProblems, workerStates } from "../observe/problems/find_rest.ts";
import type { AskedAppliance, HttpOptions } from "./wire.ts";

export function alive({ appliance }: HttpOptions): Answer {
  return answer(ALIVE, appliance.alive ? [] : [NOT_ALIVE, ...standing(appliance)]);
}

export function healthy({ appliance, problems }: HttpOptions): Answer {
  return answer("ok", whyNot(appliance, healthOf(problems.list()).reasons));
}

/** `/readyz` is about the box; `/readyz?rule=NAME` about one rule of it. */
export function ready({ appliance, problems }: HttpOptions, query: URLSearchParams): Answer {
  requireWords(query, ["rule"]);
  const names = query.getAll("rule");
  if (names.length > 1) throw new HttpError(400, "rule is given twice: expected it once");
  const [rule] = names;
  const { rules } = appliance.steering;
  if (rule !== undefined && !rules.some(({ name }) => name === rule)) {
    throw new HttpError(404, `there is no rule ${JSON.stringify(rule)}; there is ${namesOf(rules)}`);
  }
  const list = problems.list();
  const { reasons } = rule === undefined ? readinessOf(list, rules) : ruleReadiness(list, rule);
  return answer("ready", whyNot(appliance, reasons));
}

const NOT_STEERING = {
  starting: "It does not steer: it is starting, and has put no rules in force yet",
  stopping: "It does not steer: it is stopping",
} as const;

/** @param found What the list of problems says; a moment ago, so a worker may stand still that is not in it yet. */
function whyNot(appliance: AskedAppliance, found: readonly string[]): readonly string[] {
  const { alive, stage } = appliance;
  if (stage !== "steering") return [NOT_STEERING[stage], ...found];
  return found.length > 0 || alive ? found : standing(appliance);
}

function standing({ workers }: AskedAppliance): string[] {
  return workerProblems(workerStates(workers)).map(({ message }) => message);
}

const SHOWN_RULES = 20;

function namesOf(rules: readonly { readonly name: string }[]): string {
  if (rules.length === 0) return "none";
  const more = rules.length > SHOWN_RULES ? ` and ${rules.length - SHOWN_RULES} more` : "";
  return rules.slice(0, SHOWN_RULES).map(({ name }) => name).join(", ") + more;
}

/** As `/readyz` has it. */
export function isReady({ appliance, problems }: HttpOptions): boolean {
  return appliance.ready && readinessOf(problems.list(), appliance.steering.rules).ready;
}

/** 200, or 503 with the reasons why not, one a line. */
function answer(yes: string, whyNot: readonly string[]): Answer {
  return {
    status: whyNot.length === 0 ? 200 : 503,
    headers: { "content-type": "text/plain; charset=utf-8" },
    body: `${whyNot.length === 0 ? yes : whyNot.map(escapeControls).join("\n")}\n`,
  };
}
