/**
 * What the log says of lists: once for each thing that changes.
 *
 * @module
 */
import { logger } from "../log.ts";
import { nounFor, plural } from "../text.ts";
import { type ListReport, sameReport } from "./list_report.ts";

const log = logger("lists");

export class ListLog {
  #told = new Map<string, ListReport>();

  /** @param reports Of all lists in force. */
  tell(reports: readonly ListReport[]): void {
    const before = this.#told;
    this.#told = new Map(reports.map((report) => [report.name, report]));
    for (const report of reports) {
      const known = before.get(report.name);
      if (known === undefined || !sameReport(known, report)) tellOf(report, known);
    }
  }
}

function tellOf({ name, entries, badLines, firstBad, error, successMs }: ListReport, known?: ListReport): void {
  if (error !== "" && error !== known?.error) {
    const what = successMs === null ? "and counts as empty" : "and stays as it was";
    log.warn(`List {list} cannot be followed, ${what}: {reason}`, { list: name, reason: error });
  }
  if (error === "" && known !== undefined && known.error !== "") {
    log.info("List {list} is followed again", { list: name });
  }
  if (entries !== (known?.entries ?? 0)) {
    log.info(`List {list} has {entries} ${nounFor(entries, "entry")}`, { list: name, entries });
  }
  if (badLines > 0 && (badLines !== known?.badLines || firstBad !== known.firstBad)) {
    log.warn(`List {list}: ${plural(badLines, "line")} left out; {first}`, { list: name, first: firstBad });
  }
}
