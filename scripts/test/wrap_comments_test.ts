import assert from "node:assert/strict";
import { isTooWide, MAX_COLUMNS, wrapComments } from "../wrap_comments.ts";

const LONG = `${"word ".repeat(25)}end`;
const TWENTY_FOUR = "word ".repeat(23).trimEnd();

Deno.test("isTooWide() is for comments with lines of their own, tabs and all", () => {
  for (const line of [` * ${LONG}`, `// ${LONG}`, `/** ${LONG} */`, `\t\t\t// ${"word ".repeat(20)}`]) {
    assert.ok(isTooWide(line), line);
  }
  for (const line of [` * ${TWENTY_FOUR}`, `const text = "${LONG}";`, `// deno-lint-ignore no-console -- ${LONG}`]) {
    assert.ok(!isTooWide(line), line);
  }
});

Deno.test("wrapComments() hands on what overflows, within a paragraph only", () => {
  const paragraph = [` * ${LONG}`, " * next", " *", " * other"].join("\n");
  assert.equal(wrapComments(paragraph), [` * ${TWENTY_FOUR}`, " * word word end next", " *", " * other"].join("\n"));
  const tag = [` * ${LONG}`, " * @returns it"].join("\n");
  assert.equal(wrapComments(tag), [` * ${TWENTY_FOUR}`, " * word word end", " * @returns it"].join("\n"));
  const list = [` * - ${LONG}`, " *   more"].join("\n");
  assert.match(wrapComments(list), /\n \* {3}word [word ]*end more$/);
});

Deno.test("wrapComments() makes lines of a comment that had one, and breaks no link or code", () => {
  const wrapped = wrapComments(`  /** ${LONG} */\n  code();`).split("\n");
  assert.deepEqual(wrapped, ["  /**", `   * ${TWENTY_FOUR}`, "   * word word end", "   */", "  code();"]);
  const words = `${"x".repeat(110)} {@linkcode Some.where.else} and \`some code here\``;
  assert.equal(wrapComments(`// ${words}`), `// ${"x".repeat(110)}\n// ${words.slice(111)}`);
});

Deno.test("wrapComments() leaves code, directives, columns and template literals alone, and does nothing twice", () => {
  const code = ["const a = `", ` * ${LONG}`, "`;", `const b = "${LONG}";`, `// deno-lint-ignore x -- ${LONG}`].join(
    "\n",
  );
  assert.equal(wrapComments(code), code);
  const columns = ` *     command    ${LONG}`;
  assert.equal(wrapComments(columns), columns);
  assert.ok(isTooWide(columns));
  const once = wrapComments(`// ${LONG}\n// ${LONG}\n`);
  assert.equal(wrapComments(once), once);
  assert.ok(once.split("\n").every((line) => line.length <= MAX_COLUMNS));
});
