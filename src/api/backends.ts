/**
 * `/v1/backends`: how backends stand, and taking them out of use and back while packets flow.
 *
 * @module
 */
import { HOLD_ACTIONS, type HoldAction, type HoldOrder } from "../backends/holds.ts";
import type { BackendStatus } from "../backends/status.ts";
import { readCalled } from "../config/backend.ts";
import { drainRules } from "../config/drain.ts";
import { HttpError, readObject } from "./answers.ts";
import { conditionsOf, ofGeneration } from "./conditions.ts";
import type { Answer, Question } from "./question.ts";
import type { HttpOptions } from "./wire.ts";

/** What doing something to a backend answers. */
export interface BackendChanged {
  readonly generation: number;
  /** As it stands afterwards. */
  readonly backend: BackendStatus;
  /** What else it means. */
  readonly warnings: readonly string[];
  /** True when the configuration file now says the same. */
  readonly saved: boolean;
  /** True when nothing was done: this is what would be. */
  readonly dryRun: boolean;
}

/** GET: every backend in force, and those that are only kept for the sessions they have. */
export function list({ appliance }: HttpOptions): Answer {
  const { forwarding, generation } = appliance.steering;
  return ofGeneration(generation, { generation, backends: forwarding.status() });
}

/** POST `{ backend, action, to?, save? }`. */
export async function act(
  { appliance, reloader }: HttpOptions,
  query: URLSearchParams,
  question: Question,
): Promise<Answer> {
  const { dryRun = false, ...conditions } = conditionsOf(question, query);
  const { save, ...order } = readOrder(question);
  const { forwarding } = appliance.steering;
  const { warnings } = await forwarding.hold(order, { dryRun: true }); // what cannot be done is not saved either
  if (!dryRun) {
    const drains = order.action !== "undrain";
    if (save) requireInFile(forwarding.status(), order.name);
    if (save) await reloader.changeRules((rules) => drainRules(rules, order.name, drains), true, conditions);
    // What the file says now needs nobody's hand.
    await forwarding.hold(order);
  }
  const { generation } = appliance.steering;
  const backend = forwarding.status().find(({ name }) => name === order.name);
  return ofGeneration(
    generation,
    { generation, backend: backend!, warnings, saved: save && !dryRun, dryRun } satisfies BackendChanged,
  );
}

/** What only a name means stands nowhere in the file. */
function requireInFile(backends: readonly BackendStatus[], name: string): void {
  const { meantBy = [] } = backends.find((each) => each.name === name) ?? {};
  if (meantBy.length === 0) return;
  throw new HttpError(
    409,
    `"${name}" is not in the file, which has the name ${
      meantBy.join(", ")
    }: leave --save out, or take the address out of DNS`,
  );
}

const KEYS = ["backend", "action", "to", "save"];

function readOrder({ body }: Question): HoldOrder & { readonly save: boolean } {
  const { backend, action, to, save = false } = readObject(body, KEYS);
  if (typeof save !== "boolean") throw new HttpError(400, 'the value of "save" is not true or false');
  if (!HOLD_ACTIONS.includes(action as HoldAction)) {
    throw new HttpError(400, `action ${JSON.stringify(action)} is not known: expected ${HOLD_ACTIONS.join(", ")}`);
  }
  if (to !== undefined && action !== "move") throw new HttpError(400, '"to" belongs to the action move');
  return {
    name: nameOf("backend", backend),
    action: action as HoldAction,
    ...(to === undefined ? {} : { to: nameOf("to", to) }),
    save,
  };
}

/** A backend, or a name of the file, in its one spelling. */
function nameOf(key: string, value: unknown): string {
  if (typeof value === "string") return readCalled(value) ?? value;
  throw new HttpError(400, `the value of "${key}" is no text: expected a backend like "10.0.0.11:9000"`);
}
