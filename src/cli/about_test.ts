import assert from "node:assert/strict";
import { join } from "node:path";
import { ABOUT, ENVIRONMENT } from "./about.ts";
import { buildProgram } from "./commands.ts";
import { manual } from "./manual.ts";

const SOURCE = join(import.meta.dirname!, "..");
const LAUNCHER = join(SOURCE, "../packaging/launcher");
/** Set by the launcher, or a running xdpsteer, for the program that it starts, and nobody's business but theirs. */
const INTERNAL = /^(XDPSTEER_(TEST_\w+|SELF|UNPACKED|GLIBC_TUNABLES|HANDOVER)|LD_LIBRARY_PATH|DENO_\w+)$/;

/** The names that sources ask for: in the call, in a NAME_VARIABLE, in VARIABLES, or in the launcher's table. */
async function variablesRead(): Promise<string[]> {
  const found = new Set<string>();
  for (const folder of [SOURCE, LAUNCHER]) {
    for await (const path of sources(folder)) {
      const code = await Deno.readTextFile(path);
      const literals = /(?:\benv\.(?:get|has)|\.env|\bgetenv|\bvariable)\("(\w+)"\)|^\t\{ "(\w+)", "[^"]*", \w+ \}/gm;
      for (const [, called, listed] of code.matchAll(literals)) found.add(called ?? listed!);
      for (const [, named] of code.matchAll(/\b\w+_VARIABLE = "(\w+)"/g)) found.add(named!);
      const list = /\bVARIABLES = \[([^\]]*)\]/.exec(code)?.[1];
      for (const [, name] of (list ?? "").matchAll(/"(\w+)"/g)) found.add(name!);
      const isOpen = /\benv\.get\((?!["`]|\w+_VARIABLE\))/.test(code);
      assert.ok(!isOpen || list !== undefined, `${path}: put the names into VARIABLES, or one into NAME_VARIABLE`);
    }
  }
  return [...found].filter((name) => !INTERNAL.test(name)).sort();
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sources(join(folder, name));
    else if (/\.[ch]$|\.ts$/.test(name) && !name.endsWith("_test.ts")) yield join(folder, name);
  }
}

Deno.test("every environment variable that is read is in the manual, and no other", async () => {
  const read = await variablesRead();
  assert.deepEqual(Object.keys(ENVIRONMENT).sort(), read);
  const page = manual(buildProgram(new URL("file:///main.ts")));
  for (const name of read) assert.ok(page.includes(`\n.B ${name}\n`), name);
});

Deno.test("what xdpsteer is said to be has all that a rule can do with packets", () => {
  for (const word of ["count", "echo", "forward", "drop", "capture"]) {
    assert.match(ABOUT[0]!, new RegExp(`\\b${word}\\b`));
  }
});
