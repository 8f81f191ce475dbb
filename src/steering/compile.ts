/**
 * Rules to tables: the port map for the kernel, and the worker table for the workers.
 *
 * @module
 */
import { PORT_ACTION, type PortAction, type PortMap } from "./port_map.ts";
import { ACTION_TABLE, endsInKernel, takesFragments } from "./action.ts";
import { portRuns } from "./port_runs.ts";
import type { Rule } from "./rule.ts";
import type { RuleBans, RuleGuard } from "./rule_guard.ts";
import { RuleChains } from "./rule_chains.ts";
import { NO_RULE } from "./slots.ts";
import { copyWorkerTable, WORKER_ACTION, type WorkerTable } from "./worker_table.ts";

/**
 * Services that answer nearly any datagram, error messages among them: an echo to one never ends. echo, discard,
 * systat, daytime, qotd, chargen, time, DNS, TFTP, NTP.
 */
const REFLECTORS = [7, 9, 11, 13, 17, 19, 37, 53, 69, 123];

/**
 * @param slots Slot of each rule, in the same order.
 * @param policiesOf Policies whose lists say who may send to a rule.
 * @param bansOf Which bans there are for a rule.
 */
export function compilePortMap(
  rules: readonly Rule[],
  slots: readonly number[],
  policiesOf: (rule: Rule) => bigint = () => 0n,
  bansOf: (rule: Rule) => RuleBans | undefined = () => undefined,
): PortMap {
  return rules.flatMap((rule, index) => {
    const action = portAction(rule);
    const worker = rule.worker === "hash" ? 0 : rule.worker;
    const { kind } = rule.action;
    const { errors } = ACTION_TABLE[kind];
    const dropsFragments = rule.fragments === "drop" && !takesFragments(kind);
    const guard = guardOf(rule, policiesOf(rule), bansOf(rule));
    const asked = guard === undefined ? {} : { guard };
    const deliver = rule.action.kind === "deliver" ? { deliverTo: rule.action.port } : {};
    const what = { action, errors, dropsFragments, ...asked, rule: slots[index]!, worker, ...deliver };
    return rule.ports.map(({ first, last }) => ({ first, last, addresses: rule.addresses, ...what }));
  });
}

/** What is asked before a packet of the rule is taken; undefined: nothing. */
function guardOf({ name, limit }: Rule, policies: bigint, bans: RuleBans | undefined): RuleGuard | undefined {
  if (limit === undefined && policies === 0n && bans === undefined) return undefined;
  return { name, policies, ...limit === undefined ? {} : { limit }, ...bans === undefined ? {} : { bans } };
}

function portAction({ action, worker }: Rule): PortAction {
  const { kind } = action;
  if (endsInKernel(kind)) return PORT_ACTION[kind];
  return worker === "hash" ? PORT_ACTION.spread : PORT_ACTION.redirect;
}

/**
 * Writes the worker table of a new generation. Packets of the generation before may be in the workers' rings, so no
 * worker has a rule of all its packets.
 *
 * @param target The idle table.
 * @param previous The table in force, whose ports stay known where the new rules do not name them.
 * @param reused Slots that belonged to another rule before.
 */
export function compileWorkerTable(
  target: WorkerTable,
  previous: WorkerTable,
  rules: readonly Rule[],
  slots: readonly number[],
  reused: ReadonlySet<number>,
): void {
  copyWorkerTable(previous, target);
  target.soleOfWorker.fill(NO_RULE);
  const chains = new RuleChains(target);
  chains.forget(previous);
  if (reused.size > 0) {
    target.ruleOfPort.forEach((slot, port) => {
      if (reused.has(slot)) target.ruleOfPort[port] = NO_RULE;
    });
  }
  target.answersOnPort.fill(0);
  for (const port of REFLECTORS) target.answersOnPort[port] = 1;
  rules.forEach((rule, index) => {
    const { kind } = rule.action;
    for (const { first, last } of rule.ports) {
      if (ACTION_TABLE[kind].answered) target.answersOnPort.fill(1, first, last + 1);
    }
    if (!endsInKernel(kind)) target.actionOfRule[slots[index]!] = WORKER_ACTION[kind];
  });
  const claims = rules.flatMap(({ action, addresses, ports }, index) =>
    endsInKernel(action.kind) ? [] : ports.map((range) => ({ ...range, addresses, slot: slots[index]! }))
  );
  for (const { first, last, owners } of portRuns(claims)) {
    target.ruleOfPort.fill(chains.ruleOf(owners), first, last + 1);
  }
}

/**
 * For each worker the slot of the one rule whose packets it gets, where that rule only counts them; else
 * {@linkcode NO_RULE}. Such a packet need not be looked at.
 */
export function soleRules(rules: readonly Rule[], slots: readonly number[], workers: number): number[] {
  const sole = new Array<number>(workers).fill(NO_RULE);
  const reached = new Array<boolean>(workers).fill(false);
  rules.forEach((rule, index) => {
    if (endsInKernel(rule.action.kind)) return;
    const slot = rule.action.kind === "count" ? slots[index]! : NO_RULE;
    for (let worker = 0; worker < workers; worker++) {
      if (rule.worker !== "hash" && rule.worker !== worker) continue;
      sole[worker] = reached[worker] ? NO_RULE : slot;
      reached[worker] = true;
    }
  });
  return sole;
}
