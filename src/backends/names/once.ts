/**
 * What the names of backends mean, asked once: for a configuration that is not in force.
 *
 * @module
 */
import { SYSTEM_TIMERS } from "../../host/timers.ts";
import type { Rule } from "../../steering/rule.ts";
import type { DnsServer } from "./dns_query.ts";
import { Names, type NameStatus } from "./names.ts";
import { ANSWER_MS, ask } from "./servers.ts";

/** Longer than it takes to find that none of three servers answers: then it is known why. */
const PATIENCE_MS = 10_000;

/**
 * Rules with what their names mean now, and the names. Waits ten seconds at most for servers.
 *
 * @param servers None: those of this machine.
 */
export async function lookUpOnce(
  rules: readonly Rule[],
  servers: readonly DnsServer[],
): Promise<{ readonly rules: readonly Rule[]; readonly names: readonly NameStatus[] }> {
  const specs = rules.flatMap(({ action }) => action.kind === "forward" ? action : []);
  if (specs.every(({ names }) => names.length === 0)) return { rules, names: [] };
  using names = new Names({
    ask: (name, type) => ask(servers, name, type, { mayUse: () => true, timeoutMs: ANSWER_MS }),
    timers: SYSTEM_TIMERS,
    onChange: () => {},
  });
  await names.follow(specs, PATIENCE_MS);
  const expanded = rules.map((rule): Rule =>
    rule.action.kind === "forward" ? { ...rule, action: names.expand(rule.action) } : rule
  );
  return { rules: expanded, names: names.status() };
}
