/**
 * From rules to the health checks they ask for.
 *
 * @module
 */
import type { HealthConfig } from "../../config/forward.ts";
import type { RuleConfig } from "../../config/schema.ts";
import { parseAddress } from "../../packet/address.ts";
import type { BackendSpec } from "../../steering/rule.ts";
import type { CheckedBackend } from "./checks.ts";

/** What rules ask of each backend: one check for each way in which it is checked. */
export function checksOf(rules: readonly RuleConfig[]): CheckedBackend[] {
  const checks = rules.flatMap(({ forward }) =>
    forward?.health ? forward.to.map((backend) => checkOf(backend, forward.health!)) : []
  );
  return [...new Map(checks.map((check) => [check.key, check])).values()];
}

/** How a rule checks a backend. */
export function checkOf(backend: Pick<BackendSpec, "name" | "address" | "port">, health: HealthConfig): CheckedBackend {
  return {
    key: `${backend.name} ${JSON.stringify(health)}`,
    backend: { name: backend.name, address: parseAddress(backend.address), port: backend.port },
    check: toCheck(health),
  };
}

function toCheck(health: HealthConfig): CheckedBackend["check"] {
  const encoder = new TextEncoder();
  return {
    kind: health.check,
    ...(health.port === null ? {} : { port: health.port }),
    payload: encoder.encode(health.send),
    ...(health.expect === null ? {} : { expect: encoder.encode(health.expect) }),
    intervalMs: health.interval * 1000,
    timeoutMs: health.timeout * 1000,
    rise: health.rise,
    fall: health.fall,
  };
}
