/**
 * Whether the files of lists can be read, and what is in them.
 *
 * @module
 */
import { lookAtListFiles } from "../guard/list_check.ts";
import { ok, problem, warning } from "../host/question.ts";
import type { SourceList } from "../steering/guard.ts";
import { type Finding, finding } from "./finding.ts";

const FILE = { check: "lists.file", explains: [] } as const;
const PAGE = { check: "lists.page", explains: [] } as const;

/** One for each file, and one for all pages, which are not fetched. */
export async function listFindings(lists: readonly SourceList[]): Promise<Finding[]> {
  const files = (await lookAtListFiles(lists)).map(({ list: { name }, status, text }) => {
    const words = `list ${name}: ${text}`;
    if (status === "ok") return finding(FILE, ok(words));
    return status === "refused"
      ? finding(FILE, problem(words, "correct the line, or put # before it"))
      : finding(FILE, warning(words, "see that it is a file with a prefix a line that the service may read"));
  });
  const pages = lists.filter(({ url }) => url !== null).map(({ name }) => name);
  if (pages.length === 0) return files;
  return [
    ...files,
    finding(PAGE, ok(`pages of lists were not fetched, which check --probe does: ${pages.join(", ")}`)),
  ];
}
