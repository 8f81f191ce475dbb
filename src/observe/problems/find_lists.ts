/**
 * Problems of lists of sources.
 *
 * @module
 */
import type { ListReport } from "../../guard/list_report.ts";
import { plural } from "../../text.ts";
import type { FoundProblem } from "./kinds.ts";

export function listProblems(lists: readonly ListReport[]): FoundProblem[] {
  return lists.flatMap(({ name, entries, badLines, firstBad, error, successMs }): FoundProblem[] => [
    ...error === "" ? [] : [
      successMs === null
        ? {
          kind: "list_missing" as const,
          subject: name,
          message: `List ${name} has never been read, and only its ${plural(entries, "entry")} in the configuration ` +
            `${entries === 1 ? "counts" : "count"}: ${error}`,
          fix: "see that its file or page can be read: the message says what is wrong",
        }
        : {
          kind: "list_stale" as const,
          subject: name,
          message: `List ${name} is not what its source holds now; that of ` +
            `${new Date(successMs).toISOString()} is in force, with ${plural(entries, "entry")}: ${error}`,
          fix: "see that its file or page can be read: the message says what is wrong",
        },
    ],
    ...badLines === 0 ? [] : [{
      kind: "list_bad_lines" as const,
      subject: name,
      message: `List ${name} is in force without ${plural(badLines, "line")}: ${firstBad}`,
      fix: "correct the lines, or put # before them",
    }],
  ]);
}
