/**
 * How a backend stands, in the words that `status`, `top` and the dashboard show.
 *
 * @module
 */
import type { BackendStatus } from "../backends/status.ts";

export interface BackendWords {
  readonly name: string;
  /** The rules that name it, or for how long it has been leaving. */
  readonly rules: string;
  readonly health: string;
  /** The interface that leads to it, and what is in the way. */
  readonly via: string;
  readonly nextHop: string;
  readonly sessions: number;
  readonly lastCheck: string;
  /** bad: it gets no packets. leaving: it is only kept for the sessions it has. */
  readonly mark: "good" | "leaving" | "bad";
}

export function backendWords(
  { name, rules, health, nextHop, noWay, sessions, leavingSeconds }: BackendStatus,
): BackendWords {
  const isBad = noWay !== null || health?.healthy === false;
  return {
    name,
    rules: leavingSeconds === null ? rules.join(",") : `(leaving for ${leavingSeconds} s)`,
    health: health === null ? "not checked" : health.healthy ? "healthy" : "UNHEALTHY",
    via: viaOf(nextHop, noWay),
    nextHop: nextHop?.mac ?? "unknown",
    sessions,
    lastCheck: health?.reason ?? "",
    mark: isBad ? "bad" : leavingSeconds === null ? "good" : "leaving",
  };
}

const URGENCY: readonly BackendWords["mark"][] = ["bad", "leaving", "good"];

/** Those that need somebody first, else as they come. */
export function mostUrgentFirst(backends: readonly BackendStatus[]): BackendWords[] {
  const all = backends.map(backendWords);
  return URGENCY.flatMap((wanted) => all.filter(({ mark }) => mark === wanted));
}

function viaOf(nextHop: BackendStatus["nextHop"], noWay: BackendStatus["noWay"]): string {
  const by = noWay?.interface ?? nextHop?.interface ?? "";
  switch (noWay?.kind) {
    case "no_route":
      return "NO ROUTE";
    case "not_steered":
      return `${by}: NOT STEERED`;
    case "not_attached":
      return `${by}: NOT ATTACHED`;
    case "down":
      return `${by} (DOWN)`;
    default: // there is a way, or only its next hop does not answer, which has a column of its own
      return by;
  }
}
