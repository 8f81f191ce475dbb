/**
 * Whether somebody can take the sessions that an operator wants moved.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { type Forwards, type Health, isHealthy } from "./forward_writer.ts";
import type { HoldOrder, Holds } from "./holds.ts";
import { mayServe, takingOf } from "./shares.ts";

/**
 * Moved sessions are not kept where they are, so each rule needs a backend that gets them.
 *
 * @param holds As they are after the order.
 * @throws {SteerError} for a rule that has none.
 */
export function requireTakers(
  { rules }: Pick<Forwards, "rules">,
  health: Health,
  holds: Holds,
  { name, action, to }: HoldOrder,
): void {
  if (action !== "move") return;
  for (const { name: rule, spec } of rules) {
    const backend = spec.to.find((each) => each.name === name);
    if (backend === undefined) continue;
    const isIpv6 = backend.address.includes(":");
    const target = spec.to.find((each) => each.name === to);
    if (target !== undefined && isHealthy(spec, target, health) && holds.get(target.name)?.kind !== "move") continue;
    if (takingOf(spec, isIpv6, health, holds).backends.length > 0) continue;
    const others = spec.to.filter((each) => each.name !== name && mayServe(spec, each, isIpv6));
    const family = spec.tunnel === null && others.length < spec.to.length - 1 ? `IPv${isIpv6 ? 6 : 4} ` : "";
    const lack = others.length === 0 ? "" : " that is healthy and takes new sessions";
    throw new SteerError(
      `Sessions of "${name}" cannot be moved: rule "${rule}" has no other ${family}backend${lack}`,
      {
        hint: `xdpsteer backends drain ${name} lets them end by themselves; to move them, first ${
          others.length === 0 ? "add another backend to the rule" : "undrain another backend, or give it a weight"
        }`,
      },
    );
  }
}
