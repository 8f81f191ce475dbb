/**
 * Lists of a configuration, looked at once by the means of the process that follows them: for `check` and the doctor.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import type { SourceList } from "../steering/guard.ts";
import { plural } from "../text.ts";
import { readListFile, RefusedListError } from "./list_text.ts";
import { readListPage } from "./page.ts";

/** What is found of a list's file. */
export interface FileFinding {
  readonly list: SourceList;
  /** Its place among the lists. */
  readonly index: number;
  /** refused: the list forbids what is in it. odd: it runs, and the list is not what it may be meant to be. */
  readonly status: "ok" | "odd" | "refused";
  /** Begins with the path of the file. */
  readonly text: string;
}

/** Looks at all files. */
export async function lookAtListFiles(lists: readonly SourceList[]): Promise<FileFinding[]> {
  const findings: FileFinding[] = [];
  for (const [index, list] of lists.entries()) {
    if (list.file !== null) findings.push({ list, index, ...await lookAtFile(list, list.file) });
  }
  return findings;
}

async function lookAtFile(list: SourceList, file: string): Promise<Pick<FileFinding, "status" | "text">> {
  try {
    const { set: { size }, badLines, firstBad } = await readListFile(file, list);
    if (badLines > 0) {
      const left = `${plural(badLines, "line")} ${badLines === 1 ? "is" : "are"} left out of it: ${firstBad}`;
      return { status: "odd", text: `${file} has ${plural(size, "entry")}, and ${left}` };
    }
    if (size > 0) return { status: "ok", text: `${file} has ${plural(size, "entry")}` };
    return { status: "odd", text: `${file} has no prefix in it: expected a prefix a line` };
  } catch (error) {
    if (!(error instanceof RefusedListError)) throw error;
    if (error.text && list.onBadLine === "refuse") return { status: "refused", text: error.message };
    return { status: "odd", text: `${error.message}; a start would do without it` };
  }
}

/** What came of one look at a list's page. */
export interface PageResult {
  readonly list: string;
  readonly url: string;
  readonly succeeded: boolean;
  readonly entries: number;
  readonly badLines: number;
  /** What is wrong with it, or with its first bad line; "" where nothing is. */
  readonly reason: string;
  readonly elapsedMs: number;
}

/** Fetches all pages, each once, all at a time. */
export function fetchListPages(lists: readonly SourceList[]): Promise<PageResult[]> {
  return Promise.all(lists.flatMap((list) => list.url === null ? [] : [fetchPage(list, list.url)]));
}

async function fetchPage(list: SourceList, url: string): Promise<PageResult> {
  const startMs = performance.now();
  const result = (found: Pick<PageResult, "succeeded" | "entries" | "badLines" | "reason">): PageResult => ({
    ...{ list: list.name, url, elapsedMs: performance.now() - startMs },
    ...found,
  });
  try {
    const { text } = await readListPage(url, list, { signal: new AbortController().signal });
    const { set, badLines, firstBad } = text!;
    return result({ succeeded: true, entries: set.size, badLines, reason: firstBad });
  } catch (error) {
    if (!(error instanceof SteerError)) throw error;
    return result({ succeeded: false, entries: 0, badLines: 0, reason: messageOf(error) });
  }
}
