/**
 * From rules to the health checks they ask for.
 *
 * @module
 */
import { parseAddress } from "../../packet/address.ts";
import type { Rule } from "../../steering/rule.ts";
import type { CheckedBackend } from "./checks.ts";

/** One check per backend: of rules that check the same backend differently, the first counts. */
export function checksOf(rules: readonly Rule[]): CheckedBackend[] {
  const checks = new Map<string, CheckedBackend>();
  for (const { action } of rules) {
    if (action.kind !== "forward" || action.health === null) continue;
    for (const { name, address, port } of action.to) {
      if (checks.has(name)) continue;
      checks.set(name, { backend: { name, address: parseAddress(address), port }, check: action.health });
    }
  }
  return [...checks.values()];
}
