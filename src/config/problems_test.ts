import assert from "node:assert/strict";
import { toProblems } from "./problems.ts";
import { show } from "./wording.ts";
import { YamlFile } from "./yaml_file.ts";

/** The snippet for the place of `mark` in a text. */
function snippet(text: string, mark: string): string | undefined {
  const start = text.indexOf(mark);
  return toProblems(new YamlFile(text), [{ start, end: start + 1, message: "wrong" }])[0]?.snippet;
}

Deno.test("toProblems() draws the line and a caret under the place", () => {
  assert.equal(snippet("a: 1\n  b: HERE # c\nc: 2\n", "HERE"), "  b: HERE # c\n     ^");
  assert.equal(snippet("a: 1\r\nb: HERE\r\n", "HERE"), "b: HERE\n   ^");
  assert.equal(snippet("HERE", "HERE"), "HERE\n^");
});

Deno.test("toProblems() puts the caret right behind tabs and characters of two units", () => {
  assert.equal(snippet("a:\t\tHERE", "HERE"), "a:  HERE\n    ^");
  assert.equal(snippet("😀😀: HERE", "HERE"), "😀😀: HERE\n    ^");
});

Deno.test("toProblems() cuts a long line around the caret, between characters", () => {
  const cut = snippet(`${"😀".repeat(500)}HERE${"😀".repeat(500)}`, "HERE");
  assert.equal(cut, `…${"😀".repeat(30)}HERE${"😀".repeat(18)}…\n${" ".repeat(31)}^`);
  const start = snippet(`HERE${"x".repeat(200)}`, "HERE");
  assert.equal(start, `HERE${"x".repeat(96)}…\n^`);
});

Deno.test("toProblems() shows nothing a terminal could take for a command", () => {
  assert.equal(snippet("a: \x1b[2J\u202eHERE", "HERE"), "a: \uFFFD[2J\uFFFDHERE\n        ^");
});

Deno.test("toProblems() sorts by place and drops what is said twice", () => {
  const text = "a: 1\nb: 2\n";
  const late = { start: 5, end: 6, message: "late" };
  const problems = toProblems(new YamlFile(text), [late, { start: 0, end: 1, message: "early" }, late]);
  assert.deepEqual(problems.map(({ line, column, message }) => [line, column, message]), [
    [1, 1, "early"],
    [2, 1, "late"],
  ]);
});

Deno.test("messages quote the file cut and harmless", () => {
  const long = "😀".repeat(100_000);
  for (const text of [`"${long}": 1`, `a: *${long}`, `a: !${long} 1`, `a: "\\e[2J${long}"`, `[]\n${long}`]) {
    const file = new YamlFile(text);
    assert.ok([...file.findings.map(({ message }) => message), show(file.value)].every((line) => line.length < 400));
  }
  assert.equal(show("\x1b[2J\u202e\u{e0001}"), '"\\u001b[2J\\u202e\\ue0001"');
  assert.equal(show(long), `"${"😀".repeat(59)}…"`);
  assert.equal(show("😀".repeat(60)), `"${"😀".repeat(60)}"`);
});
