/**
 * `action:` of a rule: a word, or a map with the settings of an action that has some.
 *
 * @module
 */
import * as z from "zod";
import {
  type Action,
  ACTION_TABLE,
  type ActionSettings,
  hasSettings,
  KERNEL_ACTIONS,
  PLAIN_ACTIONS,
  RULE_ACTIONS,
} from "../steering/action.ts";
import { unlessCapture } from "./capture.ts";
import { forwardSchema } from "./forward.ts";
import { LAST_PORT } from "./ports.ts";
import { choice, map, whole, written } from "./shapes.ts";
import { complainAboutChoice, complainAboutNumber } from "./wording.ts";

const deliverSchema = map("deliver", {
  port: whole(complainAboutNumber("port", `1 to ${LAST_PORT}`), 1, LAST_PORT).describe(
    "UDP port that the program listens on. Its answers leave with the port that the client has sent to.",
  ),
}).describe("Deliver packets to a program of this box that listens on another port.");

/** The schema of each action's own settings, and how they look in a message. */
const SETTINGS: { readonly [Kind in keyof ActionSettings]: readonly [z.ZodType<ActionSettings[Kind]>, string] } = {
  forward: [forwardSchema, "{ to: [...] }"],
  deliver: [deliverSchema, "{ port: 5353 }"],
};
/** Actions that the configuration language has, but not this version. */
const LATER = ["script"];

const complainAboutAction = complainAboutChoice(
  "action",
  RULE_ACTIONS.map((kind) => hasSettings(kind) ? `${kind}: ${SETTINGS[kind][1]}` : kind),
  LATER,
);

const [first, ...others] = RULE_ACTIONS.filter(hasSettings).map((kind) =>
  map("action", { [kind]: SETTINGS[kind][0] }).describe("A map with one of these keys.")
);
const forms = z.union([choice("action", PLAIN_ACTIONS, LATER), first!, ...others], {
  error: unlessCapture(complainAboutAction),
});

/** Schema of the value of `action:`. */
export const actionSchema: z.ZodType<Action> = written<typeof forms, Action>(
  forms,
  (value) => {
    if (typeof value === "string") return { kind: value } as Action;
    const [[kind, settings]] = Object.entries(value) as [[string, object]];
    return { kind, ...settings } as Action;
  },
  ({ kind, ...settings }) => (hasSettings(kind) ? { [kind]: settings } : kind) as z.output<typeof forms>,
);

/** What the actions are, for the key's description. */
export const ACTION_WORDS = RULE_ACTIONS.map((kind) =>
  `${hasSettings(kind) ? `a map with ${kind}` : kind}: ${ACTION_TABLE[kind].words}`
).join("; ");

/** The word of an `action:` as it is in the file: that of a map is its key. */
export function actionWord(action: unknown): unknown {
  return typeof action === "object" && action !== null ? Object.keys(action)[0] : action;
}

/** Whether packets of a rule with this `action:`, as it is in the file, never reach a worker. */
export function staysInKernel(action: unknown): boolean {
  return (KERNEL_ACTIONS as readonly unknown[]).includes(actionWord(action));
}

/** `count, echo or forward`: the actions whose packets reach a worker. */
export const REACHING_WORKERS = RULE_ACTIONS.filter((kind) => !staysInKernel(kind)).join(", ").replace(
  /, (\w+)$/,
  " or $1",
);
