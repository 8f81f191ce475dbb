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
  const checks = rules.flatMap(({ action }) =>
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

/** How a rule checks a backend. */
export function checkOf({ name, address, port }: Omit<Backend, "weight">, check: HealthCheck): CheckedBackend {
  return { key: `${name} ${JSON.stringify(check)}`, backend: { name, address: parseAddress(address), port }, check };
}
