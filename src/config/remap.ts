/**
 * Moves ports from rule to rule: what `xdpsteer ports set` and `ports unset` mean. Only the rules that gain or lose a
 * port change.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { SteerError } from "../errors.ts";
import { type Addresses, commonAddress, textOf as addressesText } from "../steering/addresses.ts";
import { type Action, KERNEL_WORDS } from "../steering/action.ts";
import { describeAction } from "../steering/diff.ts";
import { common, merged, portsText, samePorts, without } from "../steering/port_set.ts";
import { type PortRange, rangeText, type Rule } from "../steering/rule.ts";
import { actionWord, staysInKernel } from "./actions.ts";
import { checkRules } from "./parse.ts";
import { portsSchema, readPorts } from "./ports.ts";
import type { Config } from "./schema.ts";

/** What is asked for, as it came: every value is checked. */
export interface PortsOrder {
  /** `7777`, `7777,27015-27030`, or a list of ports and ranges. */
  readonly ports?: unknown;
  /** Needed for actions whose packets reach a worker; for others, default: what the rule has, or `hash`. */
  readonly worker?: unknown;
  /** As in the file. Default: what the rule has that gets the ports, or `own`. */
  readonly addresses?: unknown;
  /**
   * A word, or a map as in the file. Default: what the ports have; for those that no rule has what `rule` does, or
   * `count`.
   */
  readonly action?: unknown;
  /** Backends, as a list or with commas: the action is to forward to them. What else the ports' action says stays. */
  readonly to?: unknown;
  /** The rule that gets the ports. Default: the one that has exactly these, else a new one named after them. */
  readonly rule?: unknown;
}

/** An order in which everything is known to exist. */
export interface PortsChange {
  readonly ports: readonly PortRange[];
  readonly worker: Rule["worker"] | undefined;
  readonly addresses?: Addresses | undefined;
  readonly action: Action | undefined;
  /** Its backends are wanted, and the rest where the ports do not forward yet. */
  readonly forward?: ForwardAction | undefined;
  readonly rule: string | undefined;
}

type ForwardAction = Extract<Action, { kind: "forward" }>;

/** One run of ports in force, and its rule. */
export interface SteeredPorts extends PortRange {
  readonly rule: string;
  readonly addresses: Addresses;
  readonly worker: Rule["worker"];
  readonly action: Action["kind"];
}

const NO_WORKER =
  `missing key "worker": expected a worker id or hash; only action ${KERNEL_WORDS} or forward need none`;
/** Longest name of a rule. */
const NAME_LENGTH = 64;

/** All ports of all rules, ascending; runs of one rule that touch are one. */
export function listPorts(rules: readonly Rule[]): SteeredPorts[] {
  return rules.flatMap(({ name, ports, addresses, worker, action }) =>
    merged(ports).map(({ first, last }) => ({ first, last, rule: name, addresses, worker, action: action.kind }))
  ).sort((one, other) => one.first - other.first);
}

/**
 * Checks an order with the very checks of the configuration file.
 *
 * @param config In force.
 * @throws {SteerError} with everything that is wrong.
 */
export function readOrder(order: PortsOrder, config: Config): PortsChange {
  const { ports, addresses, worker, to, rule } = order;
  if (to !== undefined && order.action !== undefined) {
    throw new SteerError('"to" and "action" are both given: expected one, as "to" means to forward');
  }
  const action = to === undefined ? order.action : { forward: { to: backendItems(to) } };
  const asked = {
    name: rule ?? "ports",
    ports: portItems(ports),
    ...(addresses === undefined ? {} : { addresses }),
    ...(worker === undefined ? {} : { worker: numberOrWord(worker) }),
    ...(action === undefined ? {} : { action }),
  };
  const isNeeded = worker === undefined && !staysInKernel(action) && actionWord(action) !== "forward";
  const faults = isNeeded ? [NO_WORKER] : [];
  let checked: Rule | undefined;
  try {
    [checked] = checkRules([asked], config);
  } catch (error) {
    if (!(error instanceof SteerError)) throw error;
    faults.push(error.message);
  }
  if (faults.length > 0) throw new SteerError(faults.join("\n"));
  return {
    ports: merged(checked!.ports),
    worker: worker === undefined ? undefined : checked!.worker,
    addresses: addresses === undefined ? undefined : checked!.addresses,
    action: order.action === undefined ? undefined : checked!.action,
    forward: to === undefined || checked!.action.kind !== "forward" ? undefined : checked!.action,
    rule: rule === undefined ? undefined : checked!.name,
  };
}

/** Checks ports alone. @throws {SteerError} for what is no port. */
export function readPortList(ports: unknown): PortRange[] {
  const { success, data, error } = portsSchema.safeParse(portItems(ports));
  if (!success) throw new SteerError([...new Set(error.issues.map(({ message }) => message))].join("\n"));
  return merged(data);
}

/**
 * The rules after `ports` have gone to one rule with this worker and action.
 *
 * @throws {SteerError} where that would change what happens to other ports, or is not said clearly enough.
 */
export function setPorts(rules: readonly Rule[], change: PortsChange): Rule[] {
  const { ports } = change;
  const addresses = change.addresses ?? addressesOf(rules, change);
  // Rules for other addresses keep their ports.
  const rivals = rules.filter((rule) => commonAddress(rule.addresses, addresses) !== undefined);
  const action = change.forward === undefined
    ? change.action ?? actionOf(rivals, change)
    : forwardOf(actionOf(rivals, change), change.forward);
  const target = targetOf(rules, { ...change, action, addresses });
  const known = rules.find(({ name }) => name === target);
  const worker = change.worker ?? known?.worker ?? "hash";
  const result = rules.flatMap((rule): Rule[] => {
    if (rule !== known) return rivals.includes(rule) ? remaining(rule, ports) : [rule];
    return [{ ...rule, ports: [...rule.ports, ...without(ports, rule.ports)], addresses, worker, action }];
  });
  if (known !== undefined) return result;
  const fragments = fragmentsOf(rivals, ports);
  const limit = limitOf(rivals, ports);
  // A capture stays with what is left of its rule. A rule that only gets another name takes it along.
  const capture = rivals.find((rule) => samePorts(rule.ports, ports))?.capture;
  return [...result, {
    name: target,
    ports: [...ports],
    addresses,
    worker,
    action,
    fragments,
    ...(limit === undefined ? {} : { limit }),
    ...(capture === undefined ? {} : { capture }),
  }];
}

/** Those of the rule named, or else those that all of the ports have now; of ports that nobody has, own ones. */
function addressesOf(rules: readonly Rule[], { ports, rule }: PortsChange): Addresses {
  const named = rules.find(({ name }) => name === rule);
  if (named !== undefined) return named.addresses;
  const found = new Map<string, Addresses>();
  for (const other of rules) {
    if (common(other.ports, ports).length > 0) found.set(addressesText(other.addresses), other.addresses);
  }
  const [first = "own", ...others] = found.values();
  if (others.length === 0) return first;
  throw new SteerError(`These ports are in rules for different addresses: ${[...found.keys()].join(" and ")}`, {
    hint: "say for which addresses they are to be set",
  });
}

/** What becomes of first fragments to ports that get a rule of their own: as before, where that was one thing. */
function fragmentsOf(rules: readonly Rule[], ports: readonly PortRange[]): Rule["fragments"] {
  const before = rules.filter((rule) => common(rule.ports, ports).length > 0).map(({ fragments }) => fragments);
  return before.length > 0 && before.every((fragments) => fragments === "pass") ? "pass" : "drop";
}

/** How much ports take that get a rule of their own: as before, where all of them had the same limit. */
function limitOf(rules: readonly Rule[], ports: readonly PortRange[]): Rule["limit"] {
  const [first, ...others] = rules.filter((rule) => common(rule.ports, ports).length > 0).map(({ limit }) => limit);
  return others.every((limit) => JSON.stringify(limit) === JSON.stringify(first)) ? first : undefined;
}

/** The rules without these ports; a rule with no port left is gone. */
export function unsetPorts(rules: readonly Rule[], ports: readonly PortRange[]): Rule[] {
  return rules.flatMap((rule) => remaining(rule, ports));
}

function remaining(rule: Rule, taken: readonly PortRange[]): Rule[] {
  const ports = without(rule.ports, taken);
  if (ports.length === 0) return [];
  return samePorts(ports, rule.ports) ? [rule] : [{ ...rule, ports }];
}

/** The action that all of the ports have. Those that no rule has get that of the rule named, or are counted. */
function actionOf(rules: readonly Rule[], { ports, rule }: Pick<PortsChange, "ports" | "rule">): Action {
  const found: { readonly action: Action; readonly ports: PortRange[] }[] = [];
  const add = (action: Action, these: readonly PortRange[]): void => {
    if (these.length === 0) return;
    const same = found.find((other) => isDeepStrictEqual(other.action, action));
    if (same === undefined) found.push({ action, ports: [...these] });
    else same.ports.push(...these);
  };
  for (const { ports: others, action } of rules) add(action, common(others, ports));
  const unlisted = without(ports, found.flatMap((each) => each.ports));
  add(rules.find(({ name }) => name === rule)?.action ?? { kind: "count" }, unlisted);
  const [first, ...others] = found;
  if (others.length === 0) return first!.action;
  const each = found.map(({ action, ports: these }) => `${describeAction(action)} for ${portsText(merged(these))}`);
  throw new SteerError(`These ports do not have one action: it would be ${each.join(", and ")}`, {
    hint: "name one action for all of them, or set them one after the other",
  });
}

/** The action with other backends: those that stay keep their weights and what else there is. */
function forwardOf(action: Action, wanted: ForwardAction): Action {
  if (action.kind !== "forward") return wanted;
  return { ...action, to: wanted.to.map((each) => action.to.find(({ name }) => name === each.name) ?? each) };
}

function backendItems(to: unknown): unknown {
  return typeof to === "string" ? to.split(",").map((item) => item.trim()) : to;
}

/** The name of the rule that is to have the ports. */
function targetOf(
  rules: readonly Rule[],
  { ports, addresses, worker, action, rule }: PortsChange & { readonly action: Action; readonly addresses: Addresses },
): string {
  const alike = (other: Rule): boolean =>
    (worker === undefined || other.worker === worker) && isDeepStrictEqual(other.action, action) &&
    isDeepStrictEqual(other.addresses, addresses);
  if (rule !== undefined) {
    const named = rules.find(({ name }) => name === rule);
    const others = named === undefined ? [] : merged(without(named.ports, ports));
    if (named !== undefined && others.length > 0 && !alike(named)) {
      throw new SteerError(
        `Rule "${rule}" has other ports too (${portsText(others)}), with ${
          named.addresses === "own" ? "" : `addresses ${addressesText(named.addresses)}, `
        }worker ${named.worker}, action ${describeAction(named.action)}`,
        { hint: "name another rule, or none: these ports get a rule of their own" },
      );
    }
    return rule;
  }
  const exact = rules.find((other) =>
    samePorts(other.ports, ports) && commonAddress(other.addresses, addresses) !== undefined
  );
  if (exact !== undefined) return exact.name;
  const own = nameFor(ports);
  for (let number = 1;; number++) {
    const name = number === 1 ? own : `${own}-${number}`;
    const taken = rules.find((other) => other.name === name);
    if (taken === undefined || alike(taken)) return name;
  }
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
