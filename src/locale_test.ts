import assert from "node:assert/strict";
import { join } from "node:path";
import { isUtf8, toAscii } from "./locale.ts";

const locale = (variables: Readonly<Record<string, string>>): boolean => isUtf8((name) => variables[name]);

Deno.test("isUtf8() takes LC_ALL before LC_CTYPE before LANG, and an empty one for unset", () => {
  assert.equal(locale({}), false);
  for (const value of ["C.UTF-8", "en_GB.utf8", "de_DE.UTF-8@euro"]) assert.equal(locale({ LANG: value }), true, value);
  for (const value of ["C", "POSIX", "en_GB", "en_GB.ISO-8859-1", ""]) {
    assert.equal(locale({ LANG: value }), false, value);
  }
  assert.equal(locale({ LANG: "C.UTF-8", LC_ALL: "C" }), false);
  assert.equal(locale({ LANG: "C.UTF-8", LC_CTYPE: "C" }), false);
  assert.equal(locale({ LANG: "C", LC_CTYPE: "C.UTF-8" }), true);
  assert.equal(locale({ LANG: "C", LC_CTYPE: "C", LC_ALL: "C.UTF-8" }), true);
  assert.equal(locale({ LANG: "C.UTF-8", LC_ALL: "" }), true);
});

Deno.test("toAscii() keeps every character in its column", () => {
  assert.equal(toAscii("PPS ▼  ██░░  ▁▂▃▄▅▆▇  telem…"), "PPS v  ##--  _.:-=+#  telem~");
  assert.equal(toAscii("ölige 😀\n\tA"), "?lige ?\n\tA");
});

Deno.test("toAscii() has a substitute for every character that the sources print", async () => {
  // deno-lint-ignore no-control-regex -- ASCII is what is left out
  const beyond = /[^\x00-\x7f]/gu;
  const found = new Set<string>();
  for await (const path of sources(import.meta.dirname!)) {
    const code = (await Deno.readTextFile(path)).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
    for (const [character] of code.matchAll(beyond)) found.add(character);
  }
  assert.ok(found.has("…") && found.has("▼"), "the search finds some");
  assert.deepEqual([...found].filter((character) => toAscii(character) === "?"), []);
});

/** What runs on the box: neither tests nor what browsers get. */
async function* sources(directory: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    if (isDirectory && name !== "dashboard") yield* sources(join(directory, name));
    else if (name.endsWith(".ts") && !name.endsWith("_test.ts")) yield join(directory, name);
  }
}
