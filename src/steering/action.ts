/**
 * The actions of rules. The configuration schema, port map, worker table, `ports`, `top`, the dashboard and the
 * documents are derived from this table. dataplane/process.ts implements the actions that workers execute.
 *
 * @module
 */
import type { Fate } from "./fate.ts";
import type { Forward } from "./forward.ts";

interface ActionEntry {
  /**
   * Where its packets end. Packets that end in the kernel never reach a worker; the action's name says what happens to
   * them.
   */
  readonly ends: "kernel" | "worker";
  /** The fates that its packets can have in a worker. */
  readonly fates: readonly Fate[];
  /**
   * True if who sends to its ports may get an answer. An echo to such a port would never end, so packets that come from
   * one are not echoed.
   */
  readonly answered: boolean;
  /** True if workers handle ICMP errors about packets from its ports, which pass to the kernel stack otherwise. */
  readonly errors: boolean;
  /** True if the kernel stack puts its fragments together and a program gets them. */
  readonly takesFragments?: true;
  /** For operators: lower case, without a full stop. */
  readonly words: string;
  /** True if it has settings: a map in YAML, not a word. */
  readonly settings?: true;
  /** True if rules in the configuration cannot have it. */
  readonly internal?: true;
}

export const ACTION_TABLE = {
  pass: {
    ends: "kernel",
    fates: [],
    answered: false,
    errors: false,
    takesFragments: true,
    words: "to the kernel stack",
  },
  drop: { ends: "kernel", fates: [], answered: false, errors: false, words: "discard in the driver" },
  count: { ends: "worker", fates: ["counted"], answered: false, errors: false, words: "receive, count and discard" },
  echo: {
    ends: "worker",
    fates: ["echoed", "unanswerable", "hops_exceeded", "tx_ring_full"],
    answered: true,
    errors: false,
    words: "send back to where it came from, with the TTL decremented",
  },
  forward: {
    ends: "worker",
    fates: [
      "forwarded",
      "no_backend",
      "no_neighbour",
      "sessions_full",
      "hops_exceeded",
      "too_big",
      "unanswerable",
      "wrong_interface",
      "tx_ring_full",
      "error_forwarded",
      "error_unmatched",
      "error_limited",
      "error_mtu_low",
      "interface_gone",
    ],
    answered: true,
    errors: true,
    words: "send to backends",
    settings: true,
  },
  deliver: {
    ends: "kernel",
    fates: [],
    answered: true,
    errors: false,
    takesFragments: true,
    words: "to a program of this box that listens on another port",
    settings: true,
  },
  answer: {
    ends: "worker",
    fates: [
      "returned",
      "no_session",
      "wrong_interface",
      "unanswerable",
      "hops_exceeded",
      "too_big",
      "tx_ring_full",
      "error_returned",
      "error_unmatched",
      "error_limited",
      "interface_gone",
      "no_client_header",
    ],
    answered: false,
    errors: true,
    words: "return a backend's answer to its client; the action of the translation ports",
    internal: true,
  },
} as const satisfies Readonly<Record<string, ActionEntry>>;

/** The settings of actions. Their schemas are in config/actions.ts. */
export interface ActionSettings extends Readonly<Record<KindsWith<{ readonly settings: true }>, object>> {
  readonly forward: Forward;
  readonly deliver: Deliver;
}

/** Where packets are delivered to. */
export interface Deliver {
  /** UDP port of the local program. */
  readonly port: number;
}

export type ActionKind = keyof typeof ACTION_TABLE;
export type KernelAction = KindsWith<{ readonly ends: "kernel" }>;
export type WorkerAction = KindsWith<{ readonly ends: "worker" }>;
/** The actions that a rule in the configuration can have. */
export type RuleAction = Exclude<ActionKind, KindsWith<{ readonly internal: true }>>;

type KindsWith<Part> = { [Kind in ActionKind]: (typeof ACTION_TABLE)[Kind] extends Part ? Kind : never }[ActionKind];
type SettingsOf<Kind> = Kind extends keyof ActionSettings ? ActionSettings[Kind] : unknown;

/** The action of a rule with its settings: `{ kind: "count" }`, `{ kind: "forward", to: [...], ... }`. */
export type Action = { [Kind in ActionKind]: { readonly kind: Kind } & SettingsOf<Kind> }[ActionKind];

export const ACTION_KINDS = Object.keys(ACTION_TABLE) as readonly ActionKind[];
function entryOf(kind: ActionKind): ActionEntry {
  return ACTION_TABLE[kind];
}

export const KERNEL_ACTIONS = ACTION_KINDS.filter((kind): kind is KernelAction => entryOf(kind).ends === "kernel");
export const WORKER_ACTIONS = ACTION_KINDS.filter((kind): kind is WorkerAction => entryOf(kind).ends === "worker");
export const RULE_ACTIONS = ACTION_KINDS.filter((kind): kind is RuleAction => entryOf(kind).internal !== true);

/** Those without settings whose packets end in the XDP program: `pass and drop`. */
export const KERNEL_WORDS = KERNEL_ACTIONS.filter((kind) => !hasSettings(kind)).join(" and ");

/** Actions without settings, which YAML writes as a word. */
export const PLAIN_ACTIONS = RULE_ACTIONS.filter((kind) => !hasSettings(kind));

export function hasSettings(kind: ActionKind): kind is keyof ActionSettings {
  return entryOf(kind).settings === true;
}

/** Whether the kernel stack puts its fragments together, so that none has to be dropped. */
export function takesFragments(kind: ActionKind): boolean {
  return entryOf(kind).takesFragments === true;
}

/** Whether its packets end in the XDP program, rather than in a worker. */
export function endsInKernel(kind: ActionKind): kind is KernelAction {
  return (KERNEL_ACTIONS as readonly ActionKind[]).includes(kind);
}
