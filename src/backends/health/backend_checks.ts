/**
 * From rules to the health checks they ask for.
 *
 * @module
 */
import type { HealthConfig } from "../../config/forward.ts";
import type { RuleConfig } from "../../config/schema.ts";
import { parseAddress } from "../../packet/address.ts";
import type { CheckedBackend } from "./checks.ts";

/** One check per backend: of rules that check the same backend differently, the first counts. */
export function checksOf(rules: readonly RuleConfig[]): CheckedBackend[] {
  const checks = new Map<string, CheckedBackend>();
  for (const { forward } of rules) {
    for (const backend of forward?.health ? forward.to : []) {
      if (checks.has(backend.name)) continue;
      const address = parseAddress(backend.address);
      checks.set(backend.name, {
        backend: { name: backend.name, address, port: backend.port },
        check: toCheck(forward!.health!),
      });
    }
  }
  return [...checks.values()];
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
