/**
 * Moves ports from rule to rule: what `xdpsteer ports set` and `ports unset` mean. Only the rules that gain or lose a port change.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { ConfigError, SteerError } from "../errors.ts";
import { parseConfig } from "./parse.ts";
import { common, merged, portsText, rangeText, samePorts, without } from "./port_set.ts";
import { type PortRange, readPorts } from "./ports.ts";
import { MAX_RULES, type RuleConfig } from "./schema.ts";

/** What is asked for, as it came: every value is checked. */
export interface PortsOrder {
  /** `7777`, `7777,27015-27030`, or a list of ports and ranges. */
  readonly ports?: unknown;
  readonly worker?: unknown;
  /** Default: what the ports have; `count` for those that no rule has. */
  readonly action?: unknown;
  /** The rule that gets the ports. Default: the one that has exactly these, else a new one named after them. */
  readonly rule?: unknown;
}

/** An order in which everything is known to exist. */
export interface PortsChange {
  readonly ports: readonly PortRange[];
  readonly worker: RuleConfig["worker"];
  readonly action: RuleConfig["action"] | undefined;
  readonly rule: string | undefined;
}

/** One run of ports in force, and its rule. */
export interface SteeredPorts extends PortRange {
  readonly rule: string;
  readonly worker: RuleConfig["worker"];
  readonly action: RuleConfig["action"];
}

/** Longest name of a rule. */
const NAME_LENGTH = 64;

/** All ports of all rules, ascending; runs of one rule that touch are one. */
export function listPorts(rules: readonly RuleConfig[]): SteeredPorts[] {
  return rules.flatMap(({ name, ports, worker, action }) =>
    merged(ports).map(({ first, last }) => ({ first, last, rule: name, worker, action }))
  ).sort((one, other) => one.first - other.first);
}

/**
 * Checks an order with the very checks of the configuration file.
 *
 * @throws {SteerError} with everything that is wrong.
 */
export function readOrder(order: PortsOrder, workers: number): PortsChange {
  const { ports, worker, action, rule } = order;
  if (worker === undefined) {
    throw new SteerError('There is no "worker": expected a worker id, or hash', { hint: "name one with --worker" });
  }
  const asked = {
    name: rule ?? "ports",
    ports: portItems(ports),
    worker: numberOrWord(worker),
    ...(action === undefined ? {} : { action }),
  };
  const [checked] = checkRules([asked], workers);
  return {
    ports: merged(checked!.ports),
    worker: checked!.worker,
    action: action === undefined ? undefined : checked!.action,
    rule: rule === undefined ? undefined : checked!.name,
  };
}

/** Checks ports alone. @throws {SteerError} for what is no port. */
export function readPortList(ports: unknown): PortRange[] {
  return merged(checkRules([{ name: "ports", ports: portItems(ports) }], 1)[0]!.ports);
}

/**
 * The rules after `ports` have gone to one rule with this worker and action.
 *
 * @throws {SteerError} where that would change what happens to other ports, or is not said clearly enough.
 */
export function setPorts(rules: readonly RuleConfig[], change: PortsChange): RuleConfig[] {
  const { ports, worker } = change;
  const action = change.action ?? actionOf(rules, ports);
  const target = targetOf(rules, { ...change, action });
  const known = rules.find(({ name }) => name === target);
  const result = rules.flatMap((rule): RuleConfig[] => {
    if (rule !== known) return remaining(rule, ports);
    return [{ ...rule, ports: [...rule.ports, ...without(ports, rule.ports)], worker, action }];
  });
  if (known === undefined) result.push({ name: target, ports: [...ports], worker, action });
  if (result.length > MAX_RULES) {
    throw new SteerError(`That would be rule number ${result.length}: expected at most ${MAX_RULES}`, {
      hint: "name a rule that is there already with --rule",
    });
  }
  return result;
}

/** The rules without these ports; a rule with no port left is gone. */
export function unsetPorts(rules: readonly RuleConfig[], ports: readonly PortRange[]): RuleConfig[] {
  return rules.flatMap((rule) => remaining(rule, ports));
}

function remaining(rule: RuleConfig, taken: readonly PortRange[]): RuleConfig[] {
  const ports = without(rule.ports, taken);
  if (ports.length === 0) return [];
  return samePorts(ports, rule.ports) ? [rule] : [{ ...rule, ports }];
}

/** The action that all of the ports have. */
function actionOf(rules: readonly RuleConfig[], ports: readonly PortRange[]): RuleConfig["action"] {
  const found = new Map<RuleConfig["action"], PortRange[]>();
  for (const rule of rules) {
    const here = common(rule.ports, ports);
    if (here.length > 0) found.set(rule.action, [...found.get(rule.action) ?? [], ...here]);
  }
  const unlisted = without(ports, [...found.values()].flat());
  if (unlisted.length > 0) found.set("count", [...found.get("count") ?? [], ...unlisted]);
  const [first, ...others] = found.keys();
  if (others.length === 0) return first!;
  const each = [...found].map(([action, these]) => `${wordOf(action)} for ${portsText(merged(these))}`);
  throw new SteerError(`These ports do not have one action: it would be ${each.join(", and ")}`, {
    hint: "name one for all of them with --action, or set them one after the other",
  });
}

/** The name of the rule that is to have the ports. */
function targetOf(
  rules: readonly RuleConfig[],
  { ports, worker, action, rule }: PortsChange & { readonly action: RuleConfig["action"] },
): string {
  const alike = (other: RuleConfig): boolean => other.worker === worker && isDeepStrictEqual(other.action, action);
  if (rule !== undefined) {
    const named = rules.find(({ name }) => name === rule);
    const others = named === undefined ? [] : merged(without(named.ports, ports));
    if (named !== undefined && others.length > 0 && !alike(named)) {
      throw new SteerError(
        `Rule "${rule}" has other ports too (${portsText(others)}), with worker ${named.worker}, action ${
          wordOf(named.action)
        }`,
        { hint: "name another rule, or leave --rule out: these ports get a rule of their own" },
      );
    }
    return rule;
  }
  const exact = rules.find((other) => samePorts(other.ports, ports));
  if (exact !== undefined) return exact.name;
  const own = nameFor(ports);
  for (let number = 1;; number++) {
    const name = number === 1 ? own : `${own}-${number}`;
    const taken = rules.find((other) => other.name === name);
    if (taken === undefined || alike(taken)) return name;
  }
}

/** The word for an action, also where it has settings. */
function wordOf(action: unknown): string {
  return typeof action === "object" && action !== null ? Object.keys(action)[0] ?? "" : String(action);
}

/** `port-7777`, `ports-27015-27030`, `ports-7777_27015-27030`; of many the first and how many more. */
function nameFor(ports: readonly PortRange[]): string {
  const [first, ...others] = ports.map(rangeText);
  const word = others.length === 0 && ports[0]!.first === ports[0]!.last ? "port" : "ports";
  const all = `${word}-${[first, ...others].join("_")}`;
  // Room for a number that makes it unique.
  return all.length <= NAME_LENGTH - 8 ? all : `${word}-${first}-and-${others.length}-more`;
}

function portItems(ports: unknown): unknown {
  if (typeof ports !== "string") return ports;
  const items = ports.split(",").map((item) => item.trim());
  // The same port twice in one order is no mistake; the checks of the file would take it for one.
  const ranges = items.map(readPorts);
  if (ranges.some((range) => typeof range === "string")) return items.map(numberOrWord);
  return merged(ranges.filter((range) => typeof range !== "string")).map(rangeText);
}

function numberOrWord(value: unknown): unknown {
  return typeof value === "string" && /^(0|[1-9]\d{0,8})$/.test(value) ? Number(value) : value;
}

/** Rules by the checks of the file. @throws {SteerError} in the file's words, without the places. */
function checkRules(rules: readonly unknown[], workers: number): RuleConfig[] {
  const text = JSON.stringify({
    version: 1,
    interfaces: [{ name: "any" }],
    workers: { count: workers },
    steering: rules,
  });
  try {
    return parseConfig(text, { file: "", cpuCount: workers }).steering; // JSON is YAML
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new SteerError(error.problems.map(({ message }) => message).join("\n"));
  }
}
