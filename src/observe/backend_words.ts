/**
 * How a backend stands, in the words that `status`, `top` and the dashboard show.
 *
 * @module
 */
import { secondsText } from "../text.ts";
import type { BackendStatus, Drain } from "../backends/status.ts";

export interface BackendWords {
  readonly name: string;
  /** The rules that name it, or for how long it has been leaving. */
  readonly rules: string;
  /** Names of the configuration that mean it; "": it stands there itself. */
  readonly names: string;
  readonly health: string;
  /** In a word: whether it is used. */
  readonly state: string;
  /** What is to be known of its state. */
  readonly why: string;
  /** Packets a second, and what came of the last one that was timed. */
  readonly toRate: number;
  readonly fromRate: number;
  readonly lastAnswer: string;
  readonly answerTime: string;
  /** The interface that leads to it, and what is in the way. */
  readonly via: string;
  readonly nextHop: string;
  readonly sessions: number;
  readonly lastCheck: string;
  /** bad: it gets no packets. leaving: it is only kept for the sessions it has, or takes no new ones. */
  readonly mark: "good" | "leaving" | "bad";
}

export function backendWords(backend: BackendStatus): BackendWords {
  const { name, rules, health, nextHop, noWay, sessions, leavingSeconds, drain } = backend;
  const isBad = noWay !== null || health?.healthy === false;
  return {
    name,
    rules: leavingSeconds === null ? rules.join(",") : `(leaving for ${leavingSeconds} s)`,
    names: backend.meantBy.join(","),
    health: health === null ? "not checked" : health.healthy ? "healthy" : "UNHEALTHY",
    state: stateOf(backend),
    why: whyOf(backend),
    toRate: backend.perSecond.to,
    fromRate: backend.perSecond.from,
    lastAnswer: backend.lastAnswerSeconds === null ? "never" : `${secondsText(backend.lastAnswerSeconds * 1000)} ago`,
    answerTime: backend.answerMs === null ? "-" : `${backend.answerMs.toFixed(backend.answerMs < 10 ? 2 : 0)} ms`,
    via: viaOf(nextHop, noWay),
    nextHop: nextHop?.mac ?? "unknown",
    sessions,
    lastCheck: health?.reason ?? "",
    mark: isBad ? "bad" : drain === null ? "good" : "leaving",
  };
}

function stateOf({ rules, health, noWay, drain }: BackendStatus): string {
  if (health?.healthy === false) return "UNHEALTHY";
  if (noWay !== null) return "NOT REACHED";
  if (rules.length === 0) return "leaving";
  if (drain !== null) return drain.movedTo === null ? "drained" : "moved";
  return health === null ? "in use" : "healthy";
}

const DRAINED_BY: Readonly<Record<Drain["by"], string>> = {
  hand: "drained by hand",
  file: "drained by the file",
  weight: "it has weight: 0",
};

/** `answered; drained by hand since 10:04:05`, `no answer in 500 ms` */
function whyOf({ rules, health, findings, noWay, drain }: BackendStatus): string {
  const parts = [
    ...noWay === null || noWay.text === "" ? [] : [noWay.text],
    ...findings.length > 0
      ? findings.map(({ rules, reason }) => `${rules.length > 1 ? "rules" : "rule"} ${rules.join(", ")}: ${reason}`)
      : health === null
      ? ["not checked"]
      : [health.hindered ?? health.reason],
  ];
  if (drain === null) return parts.join("; ");
  const moved = drain.movedTo === null ? "" : `, sessions moved to ${drain.movedTo || "others"}`;
  const since = drain.since === null ? "" : ` since ${timeOfDay(drain.since)}`;
  const until = drain.until === null ? "" : `, sessions end at ${timeOfDay(drain.until)}`;
  const by = rules.length === 0 ? "no rule names it" : DRAINED_BY[drain.by];
  return [...parts, `${by}${since}${moved}${until}`].join("; ");
}

/** `2026-01-02 10:04:05 UTC` */
function timeOfDay(iso: string): string {
  return `${iso.slice(0, 19).replace("T", " ")} UTC`;
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
