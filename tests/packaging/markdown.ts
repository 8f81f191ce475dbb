/** What tests read in Markdown: code blocks, links and the headings that links name. */

export interface CodeBlock {
  /** What follows the opening fence: `sh`. */
  readonly language: string;
  readonly text: string;
  /** Line of the opening fence, counted from 1. */
  readonly line: number;
}

export interface Link {
  readonly target: string;
  readonly line: number;
}

const FENCE = /^( *)(```+)(.*)$/;

/** The fenced blocks, without the indentation that a list gives them. */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open:
    | { readonly indent: string; readonly fence: string; readonly language: string; readonly line: number }
    | undefined;
  let lines: string[] = [];
  for (const [index, line] of markdown.split("\n").entries()) {
    const [, indent = "", fence, language = ""] = FENCE.exec(line) ?? [];
    if (open === undefined) {
      if (fence !== undefined) open = { indent, fence, language, line: index + 1 };
    } else if (fence === open.fence && language === "") {
      blocks.push({ language: open.language, text: lines.join("\n"), line: open.line });
      open = undefined;
      lines = [];
    } else {
      lines.push(line.slice(open.indent.length));
    }
  }
  return blocks;
}

/** The same lines, those of code blocks empty. */
function prose(markdown: string): string[] {
  let inside = false;
  return markdown.split("\n").map((line) => {
    const isFence = FENCE.test(line);
    if (isFence) inside = !inside;
    return inside || isFence ? "" : line;
  });
}

/** The lines that are code by four spaces alone, which says nothing of what they are. */
export function indentedCode(markdown: string): number[] {
  const lines = prose(markdown);
  return lines.flatMap((line, index) => {
    const first = /^ {4}\S/.test(line) && lines[index - 1] === "";
    const inList = lines.slice(0, index).findLast((before) => /^\S/.test(before))?.match(/^([-*]|\d+\.) /);
    return first && !inList ? [index + 1] : [];
  });
}

/** All links and images that are not to other machines. */
export function relativeLinks(markdown: string): Link[] {
  return prose(markdown).flatMap((line, index) =>
    [...line.replace(/`[^`]*`/g, "").matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => ({
      target: target!,
      line: index + 1,
    }))
  ).filter(({ target }) => !/^[a-z]+:/.test(target));
}

/**
 * The paths in prose and code spans that look like the repository's: below a folder in `tops`, or a source file's bare
 * name. Words in capitals stand for something else.
 */
export function namedPaths(markdown: string, tops: readonly string[]): Link[] {
  const below = new RegExp(
    `(?<![\\w./-])(?:${tops.join("|")})/[\\w./*-]*|(?<![\\w./*-])[\\w.*-]+\\.(?:ts|c|h|js)(?!\\w)`,
    "g",
  );
  return prose(markdown).flatMap((line, index) =>
    [...line.replace(/\]\([^)]*\)/g, "]").matchAll(below)].map(([path]) => ({
      target: path.replace(/\.$/, ""),
      line: index + 1,
    }))
  ).filter(({ target }) => !/[A-Z]/.test(target));
}

/** The names by which a page's headings are linked, as GitHub makes them. */
export function anchors(markdown: string): string[] {
  return prose(markdown).flatMap((line) => /^#+ (.*)$/.exec(line)?.[1] ?? [])
    .map((heading) => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-"));
}
