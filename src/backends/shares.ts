/**
 * Which of a rule's backends get new sessions: those with a weight that are healthy; where none is, the backups; where
 * too few are, all of them.
 *
 * @module
 */
import type { Backend, Forward } from "../steering/forward.ts";
import { type Holds, takesNew } from "./holds.ts";
import { type Health, isHealthy } from "./forward_writer.ts";

export interface Taking {
  /** Those that new sessions go to, by weight. */
  readonly backends: readonly Backend[];
  /** True where unhealthy ones are among them: too few are healthy, and sessions stay where they are. */
  readonly failsOpen: boolean;
}

/** What a rule does with its backends of an IP version. Neither a backup nor a weight of 0 counts for `fail_open`. */
export function takingOf(spec: Forward, isIpv6: boolean, health: Health, holds: Holds = new Map()): Taking {
  const weighted = spec.to.filter((each) => mayServe(spec, each, isIpv6) && takesNew(each, holds));
  const ordinary = weighted.filter(({ backup }) => backup !== true);
  const healthy = ordinary.filter((backend) => isHealthy(spec, backend, health));
  const isShort = spec.failOpen !== null && 100 * healthy.length < spec.failOpen * ordinary.length;
  if (healthy.length > 0 && !isShort) return { backends: healthy, failsOpen: false };
  const backups = weighted.filter((backend) => backend.backup === true && isHealthy(spec, backend, health));
  if (backups.length > 0) return { backends: [...healthy, ...backups], failsOpen: false };
  return isShort ? { backends: weighted, failsOpen: true } : { backends: healthy, failsOpen: false };
}

/** Whether a rule drops or passes all its packets, since it may send them to no backend. */
export function hasNone(spec: Forward, health: Health): boolean {
  return !spec.to.some((backend) => isHealthy(spec, backend, health)) &&
    ![false, true].some((isIpv6) => takingOf(spec, isIpv6, health).failsOpen);
}

/** Whether packets of an IP version can go to a backend: those of its own, and both in a tunnel. */
export function mayServe({ tunnel }: Forward, { address }: Pick<Backend, "address">, isIpv6: boolean): boolean {
  return tunnel !== null || address.includes(":") === isIpv6;
}
