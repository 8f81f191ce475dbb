/**
 * Why packets got their verdict, by the names that metrics, status and log use. bpf/steer.h declares them.
 *
 * @module
 */
import { EVENT_KIND, REASON, VERDICT, VERDICT_OF } from "./layout.gen.ts";

export type Verdict = Lowercase<keyof typeof VERDICT>;
export type Reason = Lowercase<Exclude<keyof typeof REASON, "COUNT">>;
export type EventKind = Lowercase<Exclude<keyof typeof EVENT_KIND, "COUNT">>;

/** `redirect`, `pass`, `drop`. */
export const VERDICTS = names<Verdict>(VERDICT);

/** `bad_length` for `REASON.BAD_LENGTH`: by number. */
export const REASON_NAMES = names<Reason>(REASON);

/** By the number of the event's kind. */
export const EVENT_KINDS = names<EventKind>(EVENT_KIND);

/** By the number of the reason. */
export const VERDICT_OF_REASON: readonly Verdict[] = REASON_NAMES.map((reason) => {
  const number = VERDICT_OF[reason.toUpperCase() as keyof typeof VERDICT_OF];
  return VERDICTS.find((verdict) => VERDICT[verdict.toUpperCase() as keyof typeof VERDICT] === number)!;
});

function names<Name extends string>(enumeration: Readonly<Record<string, number>>): readonly Name[] {
  return Object.entries(enumeration).filter(([name]) => name !== "COUNT")
    .sort(([, left], [, right]) => left - right)
    .map(([name]) => name.toLowerCase() as Name);
}
