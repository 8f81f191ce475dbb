import assert from "node:assert/strict";
import { Lexer } from "yaml";
import { ConfigError } from "../errors.ts";
import { parseConfig } from "./parse.ts";
import { MAX_FILE_SIZE } from "./problems.ts";
import { MAX_BLANKS, MAX_MARKS, STOPS, YamlBudget } from "./yaml_budget.ts";
import { GARBAGE } from "../../tests/support/garbage.ts";

/** Lexemes of a text that are parsed, and why no more. */
function parsed(text: string): { readonly lexemes: number; readonly stop: string | undefined } {
  const budget = new YamlBudget();
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    const stop = budget.take(lexeme);
    if (stop !== undefined) return { lexemes, stop };
    lexemes++;
  }
  return { lexemes, stop: undefined };
}

Deno.test("no text of the largest size has more parsed of it than the budget", () => {
  for (const [kind, text] of Object.entries(GARBAGE)) {
    const { lexemes } = parsed(text);
    assert.ok(lexemes <= 2 * MAX_MARKS + MAX_BLANKS, `${kind}: ${lexemes}`); // a plain scalar is two
  }
  assert.deepEqual(parsed(GARBAGE.quotes!).stop, STOPS.repetitions);
  assert.deepEqual(parsed(GARBAGE.numbers!).stop, STOPS.marks);
  assert.deepEqual(parsed(GARBAGE.lines!).stop, STOPS.blanks);
});

Deno.test("what is not parsed to its end is refused, with the place where it ends", () => {
  const refused = (text: string): readonly string[] => {
    try {
      parseConfig(text, { file: "f", cpuCount: 1 });
    } catch (error) {
      if (error instanceof ConfigError) return error.problems.map(({ message }) => message);
      throw error;
    }
    return [];
  };
  const valid = "version: 1\ninterfaces: [{ name: eth0 }]\nsteering: []\nx-more: ";
  assert.deepEqual(refused(`${valid}[${"1,".repeat(90_000)}]`), []);
  assert.deepEqual(refused(`${valid}[${"1,".repeat(110_000)}]`), [STOPS.marks]);
  assert.deepEqual(refused(`${valid}1${"\n".repeat(500_000)}`), [STOPS.blanks]);
  assert.ok(refused(`${valid}\n${'"" '.repeat(2000)}`).length > 0);
  assert.ok(refused(`${valid}[${",".repeat(900)}]`).length > 0);
  assert.ok(refused(`${valid}[${",".repeat(2000)}]`).length > 0);
});

Deno.test("all ports one by one, in as many rules as there can be, are within it", () => {
  const ports = Array.from({ length: 65_535 }, (_, index) => index + 1);
  const rules = Array.from({ length: 1000 }, (_, rule) => ports.filter((port) => port % 1000 === rule));
  const head = "version: 1\ninterfaces: [{ name: eth0 }]\nsteering:\n";
  const flow = rules.map((list, rule) =>
    `  - { name: r${rule}, ports: [${list.join(", ")}], worker: 0, action: count }\n`
  );
  const block = rules.map((list, rule) => {
    const lines = list.map((port) => `      - ${port}\n`).join("");
    return `  - name: r${rule}\n    worker: 0\n    action: count\n    ports:\n${lines}`;
  });
  for (const lines of [flow, block]) {
    const text = head + lines.join("");
    assert.ok(text.length <= MAX_FILE_SIZE);
    assert.equal(parsed(text).stop, undefined);
  }
});
