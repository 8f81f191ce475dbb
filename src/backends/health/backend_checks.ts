/**
 * From rules to the health checks they ask for.
 *
 * @module
 */
import { parseAddress } from "../../packet/address.ts";
import type { Backend, HealthCheck } from "../../steering/forward.ts";
import type { Rule } from "../../steering/rule.ts";
import type { CheckedBackend } from "./checks.ts";

/** What rules ask of each backend: one check for each way in which it is checked. */
export function checksOf(rules: readonly Rule[]): CheckedBackend[] {
  const checks = rules.map(withCheckPorts).flatMap(({ action }) =>
    action.kind === "forward" && action.health !== null
      ? action.to.map((backend) => checkOf(backend, action.health!))
      : []
  );
  return eachOnce(checks);
}

/** Of checks with the same key the last. */
export function eachOnce(checks: readonly CheckedBackend[]): CheckedBackend[] {
  return [...new Map(checks.map((check) => [check.key, check])).values()];
}

/** A rule whose backends that have no port of their own are checked on the rule's first one. */
export function withCheckPorts(rule: Rule): Rule {
  const { action, ports } = rule;
  if (action.kind !== "forward" || action.to.every(({ port }) => port !== 0)) return rule;
  const checkPort = ports[0]!.first;
  return {
    ...rule,
    action: { ...action, to: action.to.map((each) => each.port === 0 ? { ...each, checkPort } : each) },
  };
}

/** How a rule checks a backend. */
export function checkOf(
  { name, address, port, checkPort }: Omit<Backend, "weight">,
  check: HealthCheck,
): CheckedBackend {
  const own = checkPort === undefined || check.port !== null ? "" : ` port ${checkPort}`;
  const backend = { name, address: parseAddress(address), port: checkPort ?? port };
  return { key: `${name}${own} ${JSON.stringify(check)}`, backend, check };
}
