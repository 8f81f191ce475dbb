/**
 * Holds comments to 120 columns, and all text to plain words. Prints every violation and exits 1 when there is one;
 * prints files that are long, too, which is no violation.
 *
 *     scripts/dev lint                                              checks
 *     deno run --quiet -A scripts/check_text.ts --write             wraps the comments that are too wide
 */
// deno-lint-ignore-file no-console
import { isTooWide, MAX_COLUMNS, wrapComments } from "./wrap_comments.ts";

/** Longer files are named. */
const MAX_LINES = 350;

const CODE = /\.(ts|js|c|h)$/;
const TEXT = /\.(ts|js|c|h|md|html|yaml|sh)$/;
/** Made by programs, or about words themselves. */
const EXEMPT = /\.gen\.(ts|h)$|^scripts\/check_text\.ts$|^deno\.lock$/;

/** Words that readers stumble over, and what to say. */
const WORDS: readonly (readonly [unwanted: RegExp, plain: string])[] = [
  [/\bmend(s|ed|ing)?\b/i, "fix"],
  [/\bwhole or not at all\b/i, "at once and atomically"],
  [/\btakes? one off its\b/i, "decrements"],
  [/\belsewhere than on\b/i, "if the output is not"],
  [/\bfor want of\b/i, "because there is no; of memory: by the OOM killer"],
  [/\brather no start\b/i, "refuse to start"],
  [/\bno way (to|by|leads|out)\b|"no way"/i, "no route"],
  [/(^|[^\d,.])1 (rules|packets|workers|queues|backends|sockets|ports)\b/, "the singular: plural() of src/text.ts"],
];

const write = Deno.args.includes("--write");
const problems: string[] = [];
const long: string[] = [];
for (const file of await trackedFiles()) {
  if (!TEXT.test(file) || EXEMPT.test(file)) continue;
  const before = await Deno.readTextFile(file);
  const text = write && CODE.test(file) ? wrapComments(before) : before;
  if (text !== before) await Deno.writeTextFile(file, text);
  const lines = text.split("\n");
  if (CODE.test(file) && lines.length > MAX_LINES) long.push(`${file}: ${lines.length} lines`);
  for (const [index, line] of lines.entries()) {
    const place = `${file}:${index + 1}`;
    if (CODE.test(file) && isTooWide(line)) problems.push(`${place}: the comment is wider than ${MAX_COLUMNS} columns`);
    for (const [unwanted, plain] of WORDS) {
      const [found] = unwanted.exec(line) ?? [];
      if (found !== undefined) problems.push(`${place}: "${found.trim()}": say ${plain}`);
    }
  }
}

for (const file of long) console.log(`long: ${file}`);
for (const problem of problems) console.error(problem);
if (problems.length > 0) Deno.exit(1);

/** Those that git knows, and new ones that it does not ignore. */
async function trackedFiles(): Promise<string[]> {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const { success, stdout, stderr } = await new Deno.Command("git", { args }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`git ls-files failed: ${decoder.decode(stderr)}`);
  const names = decoder.decode(stdout).split("\0").filter((name) => name !== "");
  return [...new Set(names)].sort();
}
