/**
 * The list of problems as lines for people and for monitors. Pure.
 *
 * @module
 */
import type { EndedProblem, Problem } from "../observe/problems/kinds.ts";
import { plural } from "../text.ts";

/** Beyond so many, only their number is told: a rule may have a thousand backends. */
const SHOWN = 20;
const WORD_COLUMNS = 10;

/** The list as it stands on top: how bad, what, since when, and what to do. */
export function problemLines(problems: readonly Problem[]): string[] {
  return [
    `${plural(problems.length, "problem")}:`,
    ...problems.slice(0, SHOWN).flatMap(({ severity, message, since, fix, detail }) => [
      `  ${severity.padEnd(WORD_COLUMNS)}${message} (since ${toSeconds(since)})`,
      ...(detail ?? "").split("\n").filter((line) => line !== "").map((line) =>
        `${" ".repeat(WORD_COLUMNS + 2)}${line}`
      ),
      ...fix === null ? [] : [`  ${" ".repeat(WORD_COLUMNS)}fix: ${fix}`],
    ]),
    ...problems.length > SHOWN ? [`  and ${problems.length - SHOWN} more: xdpsteer status --json has them all`] : [],
  ];
}

/** Those that are over, under the list: what lasted a moment is seen by whoever looks after it. */
export function endedLines(problems: readonly EndedProblem[]): string[] {
  if (problems.length === 0) return [];
  return [
    "ended lately:",
    ...problems.map(({ message, since, endedSecondsAgo, times }) => {
      const more = times === 1 ? "" : `, the last of ${times}`;
      return `  ${"over".padEnd(WORD_COLUMNS)}${message} (since ${
        toSeconds(since)
      }, over for ${endedSecondsAgo} s${more})`;
    }),
  ];
}

/** For monitors as Nagios and keepalived: one line that says it all, then the list. */
export function checkLines(
  problems: readonly Problem[],
  { generation, rules }: { readonly generation: number; readonly rules: number },
): string[] {
  const [worst, ...others] = problems;
  if (worst === undefined) return [`xdpsteer OK: generation ${generation}, ${plural(rules, "rule")}, no problems`];
  const more = others.length === 0 ? "" : `; and ${plural(others.length, "other problem")}`;
  const first = `xdpsteer ${worst.severity.toUpperCase()}: ${worst.message}${more}`;
  return [first, ...problemLines(problems).slice(1)].map((line) => line.replaceAll("|", "/")); // where numbers begin
}

/** `2026-11-28T12:03:04Z` */
function toSeconds(time: string): string {
  return time.replace(/\.\d+Z$/, "Z");
}
